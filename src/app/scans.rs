//! Finds the code of a scan.

use std::sync::Arc;

use crate::clicks::FindQrCode;
use crate::projections::index::{Index, ReadQrCodes};

/// Looks up codes in the index. If it cannot be read, a scan counts for no code.
pub(super) fn find_code(index: &Arc<Index>) -> FindQrCode {
    let index = Arc::clone(index);
    Box::new(move |number| {
        index.qr_code_numbered(number).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look up a QR code");
            None
        })
    })
}
