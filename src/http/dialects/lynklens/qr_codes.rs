//! The QR codes of Lynklens, of which a link has one.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request::{self, ImageAnswer, Span};
use super::response::{self, enveloped, success};
use crate::domain::error::Result;
use crate::domain::link::Field;
use crate::domain::qr::QrCodeInput;
use crate::http::auth::Api;
use crate::http::dialects::clicks::{Clicks, Of};
use crate::http::dialects::fields::Fields;
use crate::http::dialects::{links, qr_codes};
use crate::http::params::{Name, Params};
use crate::http::qr_codes::images::file_response;
use crate::queries::analytics::Granularity;
use crate::queries::qr_codes::LinkedQrCode;

/// What the codes are marked with that these operations manage.
const MANAGER: &str = "lynklens";

fn find(api: &Api, slug: &str) -> Result<LinkedQrCode> {
    qr_codes::of_link(api, &links::by_slug(api, slug)?, MANAGER)
}

pub async fn create(api: Api, fields: Fields) -> Result<Response> {
    let (slug, input) = request::new_qr_code(fields)?;
    let link = links::by_slug(&api, &slug)?;
    let input = QrCodeInput { link: Field::Value(link.id.to_string()), ..input };
    let shown = qr_codes::create(&api, Some(MANAGER), input, &[]).await?;
    let created = enveloped("QR code created successfully.", response::saved_qr_code(&shown));
    Ok((StatusCode::CREATED, created).into_response())
}

pub async fn list(api: Api, params: Params) -> Result<Json<Value>> {
    let (page, limit) = request::page(params);
    let part = ((page - 1).saturating_mul(limit), limit);
    let codes = api.services.qr.codes.list_of_dialect(api.actor.workspace, MANAGER, part);
    let (codes, total) = codes.await?;
    let shown = qr_codes::show_all(&api, codes).await;
    Ok(response::page(shown.iter().map(response::qr_code).collect(), (page, limit), total))
}

pub async fn show(api: Api, Name(slug): Name) -> Result<Json<Value>> {
    let found = find(&api, &slug)?;
    Ok(success(response::qr_code(&qr_codes::show(&api, found).await?)))
}

pub async fn image(api: Api, Name(slug): Name, params: Params) -> Result<Response> {
    let answer = request::image(params)?;
    let found = find(&api, &slug)?;
    let format = if let ImageAnswer::File(format) = answer { format } else { None };
    let (image, format) = qr_codes::image(&api, &found, format).await?;
    Ok(match answer {
        ImageAnswer::File(_) => file_response(&slug, format, image),
        ImageAnswer::Base64 => success(response::image(&slug, format, &image)).into_response(),
    })
}

pub async fn update(api: Api, Name(slug): Name, fields: Fields) -> Result<Json<Value>> {
    let input = request::changed_qr_code(fields)?;
    let shown = qr_codes::change(&api, find(&api, &slug)?, input).await?;
    Ok(success(response::saved_qr_code(&shown)))
}

pub async fn remove(api: Api, Name(slug): Name) -> Result<Json<Value>> {
    qr_codes::delete(&api, find(&api, &slug)?).await?;
    Ok(success(json!([])))
}

/// The scans of a code in a span of time.
fn scans_in<'a>(api: &'a Api, slug: &str, span: &Span) -> Result<Clicks<'a>> {
    let of = Of::QrCode(find(api, slug)?.code.id);
    Ok(Clicks { api, of, period: Some(span.period) })
}

pub async fn scans(api: Api, Name(slug): Name, params: Params) -> Result<Json<Value>> {
    let span = Span::of(params, (Granularity::Day, 7))?;
    let series = scans_in(&api, &slug, &span)?.over_time(span.unit).await?;
    Ok(success(response::series("scans", series, &span)))
}

pub async fn summary(api: Api, Name(slug): Name, params: Params) -> Result<Json<Value>> {
    let span = Span::of(params, (Granularity::Month, 1))?;
    let totals = scans_in(&api, &slug, &span)?.totals().await?;
    Ok(success(response::summary("total_scans", totals, &span)))
}
