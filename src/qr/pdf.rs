//! PDF files, of the SVG.

use resvg::usvg::{Options, Tree};
use svg2pdf::{ConversionOptions, PageOptions};

use super::{CancellationToken, RenderError, Spec, svg};

/// The file of a code that is `width` points wide.
pub fn render(spec: &Spec, width: u32, token: &CancellationToken) -> Result<Vec<u8>, RenderError> {
    let failed = RenderError::Encoding("PDF");
    let svg = svg::render(spec, width)?;
    let tree = Tree::from_str(&svg, &Options::default()).map_err(|_| failed)?;
    token.check()?;
    svg2pdf::to_pdf(&tree, ConversionOptions::default(), PageOptions::default()).map_err(|_| failed)
}
