//! What proves who somebody is, and the keys of what is stored about them.
//!
//! Users and sessions themselves are aggregates of the domain; here they are only ids.

pub mod passwords;

pub use passwords::Passwords;
