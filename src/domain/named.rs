//! Enums whose variants have names in the API, in files or in the log's dumps.

/// Declares an enum with the name of each variant: `Variant => "name"`.
///
/// It gets `EVERY` (the variants in the order of their declaration), `as_str` (the name), `named`
/// (the variant with a name) and `names` (all names, for messages).
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        pub enum $enum:ident {
            $($(#[$of_variant:meta])* $variant:ident $(= $number:tt)? => $name:literal,)*
        }
    ) => {
        $(#[$attribute])*
        pub enum $enum {
            $($(#[$of_variant])* $variant $(= $number)?,)*
        }

        impl $enum {
            /// All variants, in the order of their declaration.
            pub const EVERY: &'static [Self] = &[$(Self::$variant),*];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The variant with this name.
            #[allow(dead_code, reason = "some enums are only written")]
            pub fn named(name: &str) -> Option<Self> {
                Self::EVERY.iter().copied().find(|variant| variant.as_str() == name)
            }

            /// All names, separated by commas, for messages.
            #[allow(dead_code, reason = "some enums are only written")]
            pub fn names() -> String {
                Self::EVERY.iter().map(|variant| variant.as_str()).collect::<Vec<_>>().join(", ")
            }
        }
    };
}

pub(crate) use named_enum;
