//! Schemas of string enumerations, generated from the lists that requests are validated against.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Array, OneOfBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::analytics::filters::OPERATORS;
use super::links::export::TableFormat;
use crate::commands::secret::SecretFormat;
use crate::domain::action::Action;
use crate::domain::click::Device;
use crate::domain::command::OnConflict;
use crate::domain::link::Block;
use crate::domain::plan::credit::CreditKind;
use crate::domain::qr::style::{CornerStyle, DotStyle, ErrorCorrection, GradientKind, ImageFormat};
use crate::domain::report::Reason;
use crate::domain::token::Ability;
use crate::domain::user::UserRole;
use crate::domain::workspace::Role;
use crate::jobs::State as JobState;
use crate::jobs::imports::formats::Format as ImportFormat;
use crate::queries::analytics::{
    Bots, Compare, Dedupe, Dimension, Format as ClickFormat, Granularity, Metric,
};
use crate::queries::links::{Archived, Sort};

/// The schema of a string with these possible values.
pub fn words<W: Into<serde_json::Value>>(words: impl IntoIterator<Item = W>) -> Schema {
    let string = ObjectBuilder::new().schema_type(Type::String);
    Schema::Object(string.enum_values(Some(words)).build())
}

macro_rules! word_schemas {
    ($($type:ty, $name:literal: $words:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T(words($words))
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

word_schemas! {
    Ability, "Ability": Ability::EVERY.iter().map(|one| one.as_str()).chain(["*"]);
    Action, "Action": Action::every().map(Action::name);
    Bots, "Bots": Bots::EVERY.iter().map(|one| one.as_str());
    ClickFormat, "ClickFormat": ClickFormat::EVERY.iter().map(|one| one.as_str());
    Compare, "Compare": Compare::EVERY.iter().map(|one| one.as_str());
    CornerStyle, "QrCornerStyle": CornerStyle::EVERY.iter().map(|one| one.as_str());
    Dedupe, "Dedupe": Dedupe::EVERY.iter().map(|one| one.as_str());
    Device, "Device": ["desktop", "mobile", "tablet", "bot", "other"];
    Dimension, "Dimension": Dimension::EVERY.iter().map(|one| one.as_str());
    DotStyle, "QrDotStyle": DotStyle::EVERY.iter().map(|one| one.as_str());
    ErrorCorrection, "QrErrorCorrection": ErrorCorrection::EVERY.iter().map(|one| one.as_str());
    GradientKind, "QrGradientKind": GradientKind::EVERY.iter().map(|one| one.as_str());
    Granularity, "Granularity": Granularity::EVERY.iter().map(|one| one.as_str());
    ImageFormat, "QrImageFormat": ImageFormat::EVERY.iter().map(|one| one.as_str());
    ImportFormat, "ImportFormat": ImportFormat::EVERY.iter().map(|one| one.as_str());
    Metric, "Metric": Metric::EVERY.iter().map(|one| one.as_str());
    OnConflict, "OnConflict": OnConflict::EVERY.iter().map(|one| one.as_str());
    Reason, "ReportReason": Reason::IN_FORM.iter().map(|one| one.as_str());
    Sort, "LinkSort": Sort::EVERY.iter().map(|one| one.as_str());
    Archived, "Archived": Archived::EVERY.iter().map(|one| one.as_str());
    BlockReason, "BlockReason": Block::EVERY.iter().skip(1).map(|one| one.as_str());
    Direction, "Direction": ["asc", "desc"];
    FilterOperator, "FilterOperator": OPERATORS.iter().copied();
    GranularityValue, "GranularityOrAuto":
        Granularity::EVERY.iter().map(|one| one.as_str()).chain(["auto"]);
    JobState, "JobState": JobState::EVERY.iter().map(|one| one.as_str());
    RebuildStatus, "RebuildStatus": ["idle", "running", "done", "failed"];
    Role, "WorkspaceRole": Role::EVERY.iter().map(|one| one.as_str());
    AssignableRole, "AssignableRole": Role::ASSIGNABLE.iter().map(|one| one.as_str());
    UserRole, "UserRole": UserRole::EVERY.iter().map(|one| one.as_str());
    CreditKind, "CreditKind": CreditKind::EVERY.iter().map(|one| one.as_str());
    TokenFormat, "TokenFormat": SecretFormat::EVERY.iter().map(|one| one.as_str());
    TableFormat, "TableFormat": TableFormat::EVERY.iter().map(|one| one.as_str());
    VersionChange, "VersionChange": ["created", "changed", "reverted", "deleted", "restored"];
}

/// A role that a member can be given.
pub enum AssignableRole {}
/// Why a visit was blocked.
pub enum BlockReason {}
/// A sort direction.
pub enum Direction {}
/// The operator of a filter.
pub enum FilterOperator {}
/// The length of the buckets of time, or `auto`.
pub enum GranularityValue {}
/// The format of a token's secret.
pub enum TokenFormat {}
/// The state of a rebuild.
pub enum RebuildStatus {}
/// What created a version of a link.
pub enum VersionChange {}

/// The bytes of an image.
pub enum ImageFile {}

impl PartialSchema for ImageFile {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let bytes = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        RefOr::T(Schema::Object(bytes.build()))
    }
}

impl ToSchema for ImageFile {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ImageFile")
    }
}

/// A date range: a name, or two days or times.
pub enum DateRangeValue {}

impl PartialSchema for DateRangeValue {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let mut between = Array::new(text().build());
        (between.min_items, between.max_items) = (Some(2), Some(2));
        let one_of = OneOfBuilder::new().item(text().build()).item(between);
        RefOr::T(one_of.build().into())
    }
}

impl ToSchema for DateRangeValue {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("DateRange")
    }
}
