//! EPS files.

use super::{RenderError, Spec};

/// The file of a code that is `width` points wide.
pub fn render(_spec: &Spec, _width: u32) -> Result<Vec<u8>, RenderError> {
    Err(RenderError::Encoding("EPS"))
}
