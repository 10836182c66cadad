//! The declaration of a click's fields.
//!
//! [`click_fields!`] takes the message in prost's syntax, with the column of each field in
//! ClickHouse's table `clicks`, if it has one. It generates the borrowed view with its parser and
//! its list of fields, from which the ClickHouse rows and the log dump are produced.

/// Declares `Click` and implements `ClickView` and its methods.
macro_rules! click_fields {
    (
        $(#[doc = $about:expr])*
        pub struct Click {
            $(
                $(#[doc = $doc:expr])*
                #[prost($kind:ident $(= $of:tt)?, tag = $tag:tt)]
                $(#[column($column:literal $(, $form:ident)?)])?
                pub $name:ident: $type:ty,
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct Click {
            $(
                $(#[doc = $doc])*
                #[prost($kind $(= $of)?, tag = $tag)]
                pub $name: $type,
            )*
        }

        /// The number of fields.
        const FIELDS: usize = [$($tag),*].len();

        /// The fields of a [`Click`], borrowed from its encoding. Parsing doesn't allocate, which
        /// matters to readers of millions of clicks.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct ClickView<'a> {
            $($(#[doc = $doc])* pub $name: $crate::domain::click::fields::borrowed!('a $kind),)*
        }

        impl<'a> ClickView<'a> {
            /// Parses an encoded click; accepts and rejects the same bytes as `Click::decode`.
            pub fn parse(encoded: &'a [u8]) -> Result<Self, Malformed> {
                let mut click = Self::default();
                let mut wire = Wire::new(encoded);
                while let Some(key) = wire.key()? {
                    match key.tag {
                        $($tag => click.$name = wire.$kind(key)?,)*
                        _ => wire.skip(key)?,
                    }
                }
                Ok(click)
            }

            /// All fields, ordered by number.
            pub fn fields(&self) -> [Field<'a>; FIELDS] {
                [$(Field {
                    name: stringify!($name),
                    column: None $(.or(Some($column)))?,
                    value: $crate::domain::click::fields::value!(
                        $($($form)?)? $kind self.$name
                    ),
                }),*]
            }
        }
    };
}

/// The borrowed type for a protobuf type.
macro_rules! borrowed {
    ($life:lifetime uint64) => { u64 };
    ($life:lifetime fixed64) => { u64 };
    ($life:lifetime uint32) => { u32 };
    ($life:lifetime enumeration) => { i32 };
    ($life:lifetime bool) => { bool };
    ($life:lifetime string) => { &$life str };
    ($life:lifetime bytes) => { &$life [u8] };
}

/// The `FieldValue` of a field.
macro_rules! value {
    (Time uint64 $view:ident.$name:ident) => {
        FieldValue::Time($view.$name)
    };
    (uint64 $view:ident.$name:ident) => {
        FieldValue::Number($view.$name)
    };
    (fixed64 $view:ident.$name:ident) => {
        FieldValue::Hash($view.$name)
    };
    (uint32 $view:ident.$name:ident) => {
        FieldValue::Short($view.$name)
    };
    (enumeration $view:ident.$name:ident) => {
        FieldValue::Text($view.$name().as_str())
    };
    (bool $view:ident.$name:ident) => {
        FieldValue::Bool($view.$name)
    };
    (string $view:ident.$name:ident) => {
        FieldValue::Text($view.$name)
    };
    (bytes $view:ident.$name:ident) => {
        FieldValue::Id($view.$name)
    };
}

pub(super) use {borrowed, click_fields, value};
