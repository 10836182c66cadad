//! What a request says of one field.

use serde::{Deserialize, Deserializer};

/// A field of a request: absent, an explicit null, or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Not in the request.
    #[default]
    Absent,
    /// There, and null: to be cleared.
    Null,
    /// There.
    Value(T),
}

impl<T> Field<T> {
    /// The field's new value, given what stood before.
    pub fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// The same field, its value made another; what `make` refuses leaves the field absent, and
    /// is up to it to note.
    pub fn try_map<U>(self, make: impl FnOnce(T) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => make(value).map_or(Field::Absent, Field::Value),
        }
    }
}

/// Together with `#[serde(default)]`, which makes an absent field [`Field::Absent`].
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}
