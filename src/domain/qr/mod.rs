//! QR codes of links.

pub mod style;
