//! What proves who somebody is, and the keys of what is stored about them.
//!
//! Users and sessions themselves are aggregates of the domain; here they are only ids.

pub mod jwt;
pub mod passwords;
pub mod personal_data;
pub mod recovery_codes;
pub mod signing;
pub mod totp;

pub use jwt::{Claims, InvalidJwt, JwtKeys};
pub use passwords::Passwords;
pub use personal_data::PersonalData;
pub use totp::TotpSecret;
