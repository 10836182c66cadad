//! What campaigns and UTM templates have in common on the wire.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, PageMeta};
use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::commands::Done;
use crate::domain::command::{Command, Outcome};
use crate::domain::preset::{PresetId, PresetInput, PresetKind};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::body::JsonBody;
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::queries::links::PresetCount;

/// A campaign or a UTM template.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresetView {
    #[schema(example = "camp_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    name: String,
    description: Option<String>,
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_content: Option<String>,
    utm_term: Option<String>,
    /// How many links belong to the campaign, archived ones among them; absent from a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<u64>,
    created_at: String,
    updated_at: String,
}

/// A part of a list of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresetPage {
    data: Vec<PresetView>,
    meta: PageMeta,
}

impl From<PresetCount> for PresetView {
    fn from(counted: PresetCount) -> Self {
        let PresetCount { preset, links } = counted;
        let is_campaign = preset.id.kind() == PresetKind::Campaign;
        Self {
            id: preset.id.to_string(),
            name: preset.name,
            description: preset.description,
            utm_source: preset.utm.source,
            utm_medium: preset.utm.medium,
            utm_campaign: preset.utm.campaign,
            utm_content: preset.utm.content,
            utm_term: preset.utm.term,
            links: is_campaign.then_some(links),
            created_at: iso8601(preset.created_at_ms),
            updated_at: iso8601(preset.updated_at_ms),
        }
    }
}

/// The id in a path.
fn id_of(kind: PresetKind, text: &str) -> Result<PresetId, Problem> {
    kind.parse_id(text).ok_or_else(|| Problem::not_found(kind.noun()))
}

pub async fn create(
    services: &Services,
    actor: Actor,
    kind: PresetKind,
    body: JsonBody<PresetInput>,
) -> Result<Response, Problem> {
    let command = Command::CreatePreset(kind, body.value);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    answer(services, done, StatusCode::CREATED)
}

pub async fn list(
    services: &Services,
    actor: Actor,
    kind: PresetKind,
    mut params: Params,
) -> Result<Json<PresetPage>, Problem> {
    let page = Page::take(&mut params);
    params.finish()?;
    let found = services.links.presets(actor.workspace, kind, page.number(), page.size());
    let (presets, total) = found.await?;
    let data = presets.into_iter().map(PresetView::from).collect();
    Ok(Json(PresetPage { data, meta: page.meta(total) }))
}

pub fn read(
    services: &Services,
    actor: Actor,
    kind: PresetKind,
    id: &str,
) -> Result<Json<Data<PresetView>>, Problem> {
    let preset = services.links.preset(actor.workspace, id_of(kind, id)?)?;
    let preset = preset.ok_or_else(|| Problem::not_found(kind.noun()))?;
    Ok(Json(Data { data: preset.into() }))
}

pub async fn change(
    services: &Services,
    actor: Actor,
    kind: PresetKind,
    id: &str,
    body: JsonBody<PresetInput>,
) -> Result<Response, Problem> {
    let command = Command::ChangePreset(id_of(kind, id)?, body.value);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    answer(services, done, StatusCode::OK)
}

pub async fn delete(
    services: &Services,
    actor: Actor,
    kind: PresetKind,
    id: &str,
) -> Result<Response, Problem> {
    let command = Command::DeletePreset(id_of(kind, id)?);
    let done = services.commands.run(actor, command, None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

fn answer(services: &Services, done: Done, status: StatusCode) -> Result<Response, Problem> {
    let Outcome::Preset(preset) = done.outcome else {
        return Err(Problem::internal("a campaign or a template was expected"));
    };
    let counted = services.links.counted(*preset)?;
    let body = Changed::new(PresetView::from(counted), done.offset);
    let headers = (log_offset(done.offset), replayed(done.is_replay));
    Ok((status, headers, Json(body)).into_response())
}
