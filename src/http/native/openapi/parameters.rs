//! The parameters that operations have in common: those of paths, the idempotency key and the
//! workspace.

use std::collections::BTreeMap;
use std::sync::Arc;

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{HttpMethod, Paths, Ref, RefOr, Required};

use super::operations;
use crate::domain::ids::{
    CampaignId, ExportId, ImportId, InvitationId, LogoId, QrExportId, ReportId, SessionId, TokenId,
    UserId, UtmTemplateId, WorkspaceId,
};
use crate::http::native::path_ref;
use crate::http::native::schema::words;

/// The form of a path parameter.
enum Form {
    /// An identifier with this prefix.
    Id(&'static str),
    /// A link's slug, or an identifier.
    Slug,
    /// Text.
    Text,
    /// A number, from 1.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// Path parameters: name, description, form.
const PATH_PARAMETERS: [(&str, &str, Form); 20] = [
    ("workspace", "The workspace's ID.", Form::Id(WorkspaceId::PREFIX)),
    ("user", "The user's ID.", Form::Id(UserId::PREFIX)),
    ("session", "The session's ID.", Form::Id(SessionId::PREFIX)),
    ("invitation", "The invitation's ID.", Form::Id(InvitationId::PREFIX)),
    ("invitation_token", "The last part of the invitation's link.", Form::Text),
    ("link", "The link's ID, or its slug on `domain`.", Form::Slug),
    ("external_id", "The link's ID in another system.", Form::Text),
    ("campaign", "The campaign's ID.", Form::Id(CampaignId::PREFIX)),
    ("template", "The UTM template's ID.", Form::Id(UtmTemplateId::PREFIX)),
    ("domain", "The domain's ID or hostname.", Form::Text),
    (
        "qr_code",
        "The QR code's ID; or a link's ID, or its slug on `domain`, for its oldest code.",
        Form::Slug,
    ),
    ("version", "The version.", Form::Number),
    ("logo", "The logo's ID.", Form::Id(LogoId::PREFIX)),
    ("import", "The import's ID.", Form::Id(ImportId::PREFIX)),
    ("export", "The export's ID.", Form::Id(ExportId::PREFIX)),
    ("qr_export", "The export's ID.", Form::Id(QrExportId::PREFIX)),
    ("report", "The report's ID.", Form::Id(ReportId::PREFIX)),
    ("token", "The token's ID.", Form::Id(TokenId::PREFIX)),
    (
        "which",
        "The UTM parameter.",
        Form::Words(&["source", "medium", "campaign", "content", "term"]),
    ),
    ("projection", "The projection.", Form::Words(&["index", "analytics"])),
];

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

impl Form {
    fn schema(&self) -> Schema {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let schema = match self {
            Self::Id(prefix) => text().pattern(Some(id_pattern(prefix))),
            Self::Slug => text().pattern(Some("^[0-9A-Za-z_-]{1,128}$")),
            Self::Text => text().min_length(Some(1)),
            Self::Number => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(1)),
            Self::Words(each) => return words(each.iter().copied()),
        };
        Schema::Object(schema.build())
    }
}

/// The pattern of the identifiers with a prefix: 128 bits in Crockford's base 32.
fn id_pattern(prefix: &str) -> String {
    format!("^{prefix}[0-7][0-9a-hjkmnp-tv-z]{{25}}$")
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// The names of the query parameters of a route that changes something; `None` for another.
pub fn query_parameters_of_change(paths: &Paths) -> Option<Arc<[String]>> {
    let mut names = Vec::new();
    for (path, mut item) in paths.paths.clone() {
        for (method, operation) in operations(&mut item) {
            if method == HttpMethod::Get {
                return None;
            }
            path_ref::describe(operation, &path);
            let query = parameters(operation).filter(|one| one.parameter_in == ParameterIn::Query);
            names.extend(query.map(|one| one.name.clone()));
        }
    }
    Some(names.into())
}

/// Whether an operation has a parameter.
pub fn has_parameter(operation: &Operation, name: &str) -> bool {
    parameters(operation).any(|parameter| parameter.name == name)
}

/// Adds the header that names the workspace.
pub fn add_workspace(operation: &mut Operation) {
    let description = "The ID of the workspace, for users who are signed in; their default \
                       workspace if absent. A token has a workspace of its own.";
    let header = ParameterBuilder::new()
        .name("X-Workspace")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(Form::Id(WorkspaceId::PREFIX).schema()))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(header));
}

/// Adds the path parameters and the idempotency key. Optional parameters may be absent, but not
/// null.
pub fn add_parameters(operation: &mut Operation, path: &str, has_key: bool) {
    let in_path = PATH_PARAMETERS.iter().filter(|(name, ..)| path.contains(&format!("{{{name}}}")));
    let in_path = in_path.map(|(name, description, form)| {
        ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(*description))
            .schema(Some(form.schema()))
            .build()
    });
    let key = has_key.then(|| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let description = "Makes retries safe: for 24 hours, a request with the same key and \
                           content returns the first one's result.";
        ParameterBuilder::new()
            .name(IDEMPOTENCY_KEY)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text.min_length(Some(1)).max_length(Some(255)).build()))
            .build()
    });
    path_ref::describe(operation, path);
    let own = operation.parameters.take().into_iter().flatten();
    let own = own.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path => None,
        RefOr::T(mut parameter) => {
            parameter.schema = parameter.schema.map(without_null);
            Some(RefOr::T(parameter))
        }
        shared @ RefOr::Ref(_) => Some(shared),
    });
    let all: Vec<_> = in_path.map(RefOr::T).chain(own).chain(key.map(RefOr::T)).collect();
    operation.parameters = Some(all).filter(|all| !all.is_empty());
}

fn without_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|one| *one != Type::Null);
                if let [only] = types.as_slice() {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::OneOf(mut one_of)) => {
            let is_null = |item: &RefOr<Schema>| {
                matches!(item, RefOr::T(Schema::Object(object))
                    if object.schema_type == SchemaType::Type(Type::Null))
            };
            one_of.items.retain(|item| !is_null(item));
            match one_of.items.as_slice() {
                [only] => only.clone(),
                _ => RefOr::T(Schema::OneOf(one_of)),
            }
        }
        other => other,
    }
}

fn all_parameters(paths: &mut Paths) -> impl Iterator<Item = &mut RefOr<Parameter>> {
    let operations = paths.paths.values_mut().flat_map(operations);
    operations.flat_map(|(_, operation)| operation.parameters.iter_mut().flatten())
}

/// Moves parameters that several operations have into the components.
pub fn share_parameters(paths: &mut Paths) -> BTreeMap<String, RefOr<Parameter>> {
    let mut uses: Vec<(Parameter, usize)> = Vec::new();
    for parameter in all_parameters(paths) {
        let RefOr::T(parameter) = parameter else { continue };
        match uses.iter_mut().find(|(known, _)| known == parameter) {
            Some((_, count)) => *count += 1,
            None => uses.push((parameter.clone(), 1)),
        }
    }
    let mut shared = BTreeMap::new();
    for (parameter, count) in uses {
        if count > 1 {
            shared.entry(parameter.name.clone()).or_insert(RefOr::T(parameter));
        }
    }
    for parameter in all_parameters(paths) {
        let RefOr::T(own) = &parameter else { continue };
        if matches!(shared.get(&own.name), Some(RefOr::T(shared)) if shared == own) {
            *parameter = RefOr::Ref(Ref::new(format!("#/components/parameters/{}", own.name)));
        }
    }
    shared
}
