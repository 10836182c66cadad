//! A field of a request.

use serde::{Deserialize, Deserializer};

/// A field of a request: absent, an explicit null, or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// The field is not in the request.
    #[default]
    Absent,
    /// The field is null: clear it.
    Null,
    /// The field has a value.
    Value(T),
}

impl<T> Field<T> {
    /// The new value, given the old one.
    pub fn apply_to(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Maps the value. If `make` fails, which it has to report itself, the field becomes absent.
    pub fn try_map<U>(self, make: impl FnOnce(T) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => make(value).map_or(Field::Absent, Field::Value),
        }
    }
}

/// Requires `#[serde(default)]`, which makes an absent field [`Field::Absent`].
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}
