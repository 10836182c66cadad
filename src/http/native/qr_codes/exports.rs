//! `/api/v1/qr-codes/exports`: ZIP files of images, written in the background.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::ids::{QrCodeId, QrExportId, WorkspaceId};
use crate::domain::qr::input::SIZES;
use crate::domain::qr::style::ImageFormat;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::links;
use crate::http::native::path_ref::PathRef;
use crate::http::native::{Data, download, iso8601};
use crate::http::params::Name;
use crate::http::qr_codes::content;
use crate::http::{Services, Site};
use crate::jobs::State as JobState;
use crate::jobs::qr_exports::{
    Image, ImageSource, Job, MAX_CODES, QrExport, Selection, StoredSpec,
};
use crate::queries::qr_codes::{LinkedQrCode, QrCodes};

/// The QR codes to draw. All of the workspace if neither `qr_codes` nor `link` is present.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "format": "svg", "size": 1000 }))]
pub struct QrExportBody {
    /// The IDs of at most 1,000 codes.
    qr_codes: Option<Vec<String>>,
    /// All codes of this link, by its ID or slug.
    link: Option<String>,
    /// The domain that the slug in `link` is on, by hostname or ID; defaults to the service's own.
    #[serde(default)]
    domain: Option<String>,
    /// The format of the images; that of each code by default.
    #[schema(value_type = Option<ImageFormat>)]
    format: Option<String>,
    /// The width of the images in pixels; that of each code by default.
    #[schema(minimum = 100, maximum = 4096)]
    size: Option<u32>,
}

/// An export of QR codes.
#[derive(Debug, Serialize, ToSchema)]
pub struct QrExportView {
    #[schema(example = "qrexp_01jd8vx1h5e9fs6q2b7c3m4n5p")]
    id: String,
    /// The state of the export.
    #[schema(value_type = JobState)]
    state: &'static str,
    /// The number of codes.
    codes: u64,
    /// The number of codes so far, those without an image included.
    done: u64,
    /// The number of codes without an image: `index.csv` in the file has the reason of each.
    failed: u64,
    /// The size of the finished file.
    bytes: u64,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the file is deleted.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The URL of the file; null until the export is done.
    download_url: Option<String>,
    /// Why the export failed.
    error: Option<String>,
}

impl QrExportView {
    fn new(job: &Job, services: &Services) -> Self {
        let id = job.id().to_string();
        let base = &services.site.base;
        let is_done = job.state == JobState::Done;
        let QrExport { codes, done, failed, bytes, .. } = job.details;
        Self {
            download_url: is_done.then(|| format!("{base}/api/v1/qr-codes/exports/{id}/download")),
            id,
            state: job.state.as_str(),
            codes,
            done,
            failed,
            bytes,
            created_at: iso8601(job.created_at_ms),
            expires_at: iso8601(job.expires_at_ms().unwrap_or_default()),
            error: job.error.clone(),
        }
    }
}

/// Starts an export of images of QR codes: a ZIP file.
///
/// It has an image of each code, named after the slug of its link, and `index.csv`. Codes that
/// scanners would not read have no image, but the reason in the index. The file is kept for a day.
#[utoipa::path(
    post, path = "/qr-codes/exports", request_body = QrExportBody,
    responses(
        (status = 202, body = Data<QrExportView>),
        (status = 404, description = "The workspace has no such link or QR code."),
        (status = 409, description = "There are already ten exports."),
    ),
)]
pub async fn create(
    Api { services, actor }: Api,
    JsonBody { value: body, .. }: JsonBody<QrExportBody>,
) -> Result<(StatusCode, Json<Data<QrExportView>>)> {
    let QrExportBody { qr_codes, link, domain, format, size } = body;
    let mut invalid = Invalid::default();
    let named = format.as_deref().map(ImageFormat::named);
    if named == Some(None) {
        invalid.add("format", format!("must be one of {}", ImageFormat::names()));
    }
    if size.is_some_and(|size| !SIZES.contains(&size)) {
        invalid.add("size", format!("must be from {} to {}", SIZES.start(), SIZES.end()));
    }
    if link.is_some() && qr_codes.is_some() {
        invalid.add("link", "must be absent if there are `qr_codes`");
    }
    invalid.into_result()?;
    let codes = match (qr_codes, link) {
        (Some(ids), _) => named_codes(&services, actor.workspace, &ids)?,
        (None, Some(link)) => {
            let name = PathRef::on_domain(&services, &actor, link, domain.as_deref())?;
            let link = links::find(&services, &actor, &name)?;
            services.qr.codes.list_of(&link, (None, 0, MAX_CODES))?.items
        }
        (None, None) => all_codes(&services, actor.workspace).await?,
    };
    if codes.is_empty() {
        return Err(ServiceError::field(
            "qr_codes",
            "must not be empty: there is nothing to export",
        ));
    }
    let (format, ids) = (named.flatten(), codes.iter().map(|found| found.code.id.uuid()));
    let name = format.map(|format| format.as_str().to_owned());
    let selection = Selection { codes: ids.collect(), format: name, size };
    let source = StoredCodes::new(&services);
    let job = services.qr.exports.begin(actor.workspace, selection, source).await?;
    Ok((StatusCode::ACCEPTED, Json(Data { data: QrExportView::new(&job, &services) })))
}

fn too_many() -> ServiceError {
    ServiceError::field("qr_codes", format!("must be at most {MAX_CODES}: export them in parts"))
}

fn named_codes(
    services: &Services,
    workspace: WorkspaceId,
    ids: &[String],
) -> Result<Vec<LinkedQrCode>> {
    if ids.len() > MAX_CODES {
        return Err(too_many());
    }
    let find = |text: &String| {
        let id = text.parse().map_err(|_| {
            ServiceError::field("qr_codes", format!("`{text}` is not the id of a QR code"))
        })?;
        let found = services.qr.codes.get(workspace, id)?;
        found.ok_or_else(|| ServiceError::not_found("QR code"))
    };
    ids.iter().map(find).collect()
}

async fn all_codes(services: &Services, workspace: WorkspaceId) -> Result<Vec<LinkedQrCode>> {
    let all = services.qr.codes.list(workspace, (None, 0, MAX_CODES)).await?;
    if all.next.is_some() { Err(too_many()) } else { Ok(all.items) }
}

/// Begins the exports again that a restart interrupted.
pub fn resume(services: &Services) {
    services.qr.exports.resume(&StoredCodes::new(services));
}

/// Reads the codes of an export.
#[derive(Clone)]
struct StoredCodes {
    codes: QrCodes,
    site: Arc<Site>,
}

impl StoredCodes {
    fn new(services: &Services) -> Self {
        Self { codes: services.qr.codes.clone(), site: Arc::clone(&services.site) }
    }
}

impl ImageSource for StoredCodes {
    async fn image(
        &self,
        workspace: WorkspaceId,
        id: QrCodeId,
        selection: &Selection,
    ) -> Result<Image> {
        let Some(LinkedQrCode { code, number, link }) = self.codes.get(workspace, id)? else {
            return Ok(Image::of_deleted(id));
        };
        let content = content(&self.site, &code, number, &link);
        let spec = match &code.style.logo {
            None => Ok(None),
            Some(placed) => {
                let logo = self.codes.logo_image(workspace, placed.logo).await?;
                logo.map(|bytes| Some((placed.logo, bytes)))
                    .ok_or_else(|| "the logo was deleted".to_owned())
            }
        };
        let format = selection.format.as_deref().and_then(ImageFormat::named);
        Ok(Image {
            code: code.id.to_string(),
            link: link.id.to_string(),
            short_url: self.site.short_url(&link.fields.domain, link.slug.as_str()),
            name: code.name.unwrap_or_default(),
            file: link.slug.to_string(),
            format: format.unwrap_or(code.format),
            size: selection.size.unwrap_or(code.size),
            spec: spec.map(|logo| StoredSpec { content, style: code.style, logo }),
        })
    }
}

/// Lists the workspace's exports of QR codes, newest first.
#[utoipa::path(
    get, path = "/qr-codes/exports",
    responses((status = 200, body = Data<Vec<QrExportView>>)),
)]
pub async fn list(Api { services, actor }: Api) -> Json<Data<Vec<QrExportView>>> {
    let jobs = services.qr.exports.jobs.list(actor.workspace);
    Json(Data { data: jobs.iter().map(|job| QrExportView::new(job, &services)).collect() })
}

/// Retrieves an export of QR codes.
#[utoipa::path(
    get, path = "/qr-codes/exports/{qr_export}",
    responses((status = 200, body = Data<QrExportView>)),
)]
pub async fn get(
    Api { services, actor }: Api,
    Name(export): Name,
) -> Result<Json<Data<QrExportView>>> {
    let job = find(&services, actor.workspace, &export)?;
    Ok(Json(Data { data: QrExportView::new(&job, &services) }))
}

/// Cancels an export of QR codes and deletes its file.
#[utoipa::path(
    delete, path = "/qr-codes/exports/{qr_export}",
    responses((status = 204)),
)]
pub async fn delete(Api { services, actor }: Api, Name(export): Name) -> Result<StatusCode> {
    let job = find(&services, actor.workspace, &export)?;
    services.qr.exports.jobs.remove(&job).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Downloads the file of an export of QR codes.
///
/// Supports `Range` requests.
#[utoipa::path(
    get, path = "/qr-codes/exports/{qr_export}/download",
    responses(
        (status = 200, description = "The file.", content_type = "application/zip", body = String),
        (status = 206, description = "The requested part of the file.", content_type = "application/zip", body = String),
        (status = 409, description = "The export is not done."),
    ),
)]
pub async fn download(
    Api { services, actor }: Api,
    Name(export): Name,
    request: Request,
) -> Result<Response<Body>> {
    let job = find(&services, actor.workspace, &export)?;
    let file = (services.qr.exports.file(&job), job.error.as_deref());
    download::download(file, request, ("application/zip", "qr-codes.zip")).await
}

fn find(services: &Services, workspace: WorkspaceId, export: &str) -> Result<Job> {
    let id = export.parse::<QrExportId>().ok();
    let job = id.and_then(|id| services.qr.exports.jobs.find(workspace, id.uuid()));
    job.ok_or_else(|| ServiceError::not_found("export"))
}
