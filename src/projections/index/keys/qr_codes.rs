//! The keys of QR codes, logos and brand defaults.

use super::Family;
use crate::domain::ids::{DomainId, LinkId, LogoId, QrCodeId, WorkspaceId};

pub fn qr_code(id: QrCodeId) -> Vec<u8> {
    Family::QrCode.key(&[id.as_bytes()])
}

pub fn qr_codes_of_link(link: LinkId) -> Vec<u8> {
    Family::QrCodesOfLink.key(&[link.as_bytes()])
}

pub fn qr_codes_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::QrCodeOfWorkspace.key(&[workspace.as_bytes()])
}

pub fn qr_code_of(workspace: WorkspaceId, id: QrCodeId) -> Vec<u8> {
    Family::QrCodeOfWorkspace.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub fn qr_code_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::Count.key(&[workspace.as_bytes(), b"q"])
}

pub fn qr_number(number: u64) -> Vec<u8> {
    Family::QrNumber.key(&[&number.to_be_bytes()])
}

pub fn logos_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Logo.key(&[workspace.as_bytes()])
}

pub fn logo(workspace: WorkspaceId, id: LogoId) -> Vec<u8> {
    Family::Logo.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub fn logo_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::Count.key(&[workspace.as_bytes(), b"o"])
}

/// The brand defaults of a workspace, or of one of its domains.
pub fn qr_defaults(workspace: WorkspaceId, domain: Option<DomainId>) -> Vec<u8> {
    let domain = domain.as_ref().map_or(&[][..], |id| id.as_bytes());
    Family::QrDefaults.key(&[workspace.as_bytes(), domain])
}
