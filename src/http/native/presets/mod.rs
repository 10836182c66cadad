//! `/api/v1/campaigns` and `/api/v1/utm-templates`: named sets of UTM parameters, with equal
//! handlers.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::page::{Page, PageMeta, PageParams};
use super::route::Routes;
use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::domain::command::{Command, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::preset::{UtmPresetId, UtmPresetInput, UtmPresetKind};
use crate::domain::token::Ability;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::queries::links::UtmPresetCount;

/// A campaign or a UTM template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresetView)]
pub struct UtmPresetView {
    #[schema(example = "camp_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    name: String,
    description: Option<String>,
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_content: Option<String>,
    utm_term: Option<String>,
    /// The number of links in the campaign, including archived ones; absent from a UTM template.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<u64>,
    created_at: String,
    updated_at: String,
}

/// A page of campaigns or UTM templates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresetPage)]
pub struct UtmPresetPage {
    data: Vec<UtmPresetView>,
    meta: PageMeta,
}

impl From<UtmPresetCount> for UtmPresetView {
    fn from(counted: UtmPresetCount) -> Self {
        let UtmPresetCount { preset, links } = counted;
        let is_campaign = preset.id.kind() == UtmPresetKind::Campaign;
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

/// Declares the handlers of one kind.
macro_rules! preset_routes {
    (
        $module:ident: $tag:literal, $noun:literal, $kind:ident, $list_path:literal, $path:literal,
        $create:literal, $list:literal, $get:literal, $update:literal, $delete:literal,
        [$($conflict:tt)*]
    ) => {
        pub mod $module {
            use super::{
                Ability, Api, Changed, Command, Data, Json, JsonBody, Name, Page, PageParams, Params,
                Response, Result, Routes, ServiceError, UtmPresetInput, UtmPresetKind,
                UtmPresetPage, UtmPresetView, id_of, routes, write,
            };

            const KIND: UtmPresetKind = UtmPresetKind::$kind;

            pub fn routes() -> Routes {
                Routes::of($tag, $noun)
                    .route(Ability::LinksWrite, routes!(create))
                    .route(Ability::LinksRead, routes!(list))
                    .route(Ability::LinksRead, routes!(get))
                    .route(Ability::LinksWrite, routes!(update))
                    .route(Ability::LinksWrite, routes!(delete))
            }

            #[doc = $create]
            #[utoipa::path(
                post, path = $list_path, request_body = UtmPresetInput,
                responses(
                    (status = 201, body = Changed<UtmPresetView>),
                    (status = 409, description = "The name is taken."),
                ),
            )]
            async fn create(api: Api, body: JsonBody<UtmPresetInput>) -> Result<Response> {
                write(api, Command::CreatePreset(KIND, body.value), body.idempotency).await
            }

            #[doc = $list]
            #[utoipa::path(
                get, path = $list_path, params(PageParams),
                responses((status = 200, body = UtmPresetPage)),
            )]
            async fn list(
                Api { services, actor }: Api,
                mut params: Params,
            ) -> Result<Json<UtmPresetPage>> {
                let page = Page::take(&mut params);
                params.finish()?;
                let (number, size) = (page.number(), page.size());
                let found = services.links.presets(actor.workspace, KIND, number, size);
                let (presets, total) = found.await?;
                let data = presets.into_iter().map(UtmPresetView::from).collect();
                Ok(Json(UtmPresetPage { data, meta: page.meta(total) }))
            }

            #[doc = $get]
            #[utoipa::path(
                get, path = $path,
                responses((status = 200, body = Data<UtmPresetView>)),
            )]
            async fn get(
                Api { services, actor }: Api,
                Name(id): Name,
            ) -> Result<Json<Data<UtmPresetView>>> {
                let preset = services.links.preset(actor.workspace, id_of(KIND, &id)?)?;
                let preset = preset.ok_or_else(|| ServiceError::not_found(KIND.noun()))?;
                Ok(Json(Data { data: preset.into() }))
            }

            #[doc = $update]
            #[utoipa::path(
                patch, path = $path, request_body = UtmPresetInput,
                responses(
                    (status = 200, body = Changed<UtmPresetView>),
                    (status = 409, description = "The name is taken."),
                ),
            )]
            async fn update(
                api: Api,
                Name(id): Name,
                body: JsonBody<UtmPresetInput>,
            ) -> Result<Response> {
                let command = Command::ChangePreset(id_of(KIND, &id)?, body.value);
                write(api, command, body.idempotency).await
            }

            #[doc = $delete]
            #[utoipa::path(delete, path = $path, responses((status = 204), $($conflict)*))]
            async fn delete(api: Api, Name(id): Name) -> Result<Response> {
                write(api, Command::DeletePreset(id_of(KIND, &id)?), None).await
            }
        }
    };
}

preset_routes! {
    campaigns: "campaigns", "campaigns", Campaign, "/campaigns", "/campaigns/{campaign}",
    "Creates a campaign.",
    "Lists campaigns, newest first.",
    "Retrieves a campaign.",
    "Updates a campaign. Existing links do not change.",
    "Deletes a campaign that has no links. `GET /links?campaign=…&archived=any` finds its links.",
    [(status = 409, description = "The campaign has links.")]
}

preset_routes! {
    utm_templates: "utm-templates", "utm_templates", Template,
    "/utm-templates", "/utm-templates/{template}",
    "Creates a UTM template.",
    "Lists UTM templates, newest first.",
    "Retrieves a UTM template.",
    "Updates a UTM template. Existing links do not change.",
    "Deletes a UTM template. Existing links do not change.",
    []
}

/// Parses the id in a path.
fn id_of(kind: UtmPresetKind, text: &str) -> Result<UtmPresetId> {
    kind.parse_id(text).ok_or_else(|| ServiceError::not_found(kind.noun()))
}

/// Runs a command, and answers with the campaign or template unless it is deleted.
async fn write(
    Api { services, actor }: Api,
    command: Command,
    idempotency: Option<Idempotency>,
) -> Result<Response> {
    let is_new = matches!(command, Command::CreatePreset(..));
    let done = services.commands.run(actor, command, idempotency).await?;
    let preset = match done.outcome {
        Outcome::UtmPreset(preset) => *preset,
        Outcome::Gone => {
            return Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response());
        }
        _ => return Err(ServiceError::internal("a campaign or a template was expected")),
    };
    let body = Changed::new(UtmPresetView::from(services.links.counted(preset)?), done.offset);
    let headers = (log_offset(done.offset), replayed(done.is_replay));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, headers, Json(body)).into_response())
}
