//! Renders QR codes: knows nothing of links.
//!
//! A code's modules ([`matrix`]) become outlines ([`shapes`]), these a scene ([`scene`]) that each
//! format draws. [`check`] refuses what would not be scanned.

mod caption;
mod eps;
mod legibility;
mod logo;
mod logo_svg;
mod matrix;
mod pdf;
mod png;
mod pool;
mod scene;
mod shapes;
mod svg;
mod terminal;

pub use legibility::{Illegible, Warning, check};
pub use logo::{Logo, LogoError, MAX_STORED_BYTES, MAX_UPLOAD_BYTES};
pub use pool::{CancellationToken, RenderPool, RenderPoolError, RenderTask};
pub use terminal::terminal;

use self::matrix::Matrix;
use self::scene::Cover;
use crate::domain::qr::style::{ImageFormat, QrStyle};

/// What a code encodes and how it looks.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The text.
    pub content: String,
    /// The look.
    pub style: QrStyle,
    /// The logo that the style names. A style whose logo is missing here is drawn without one.
    pub logo: Option<Logo>,
}

/// Why a code cannot be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No QR code has room for the content.
    #[error("the content is too long for a QR code")]
    TooLong,
    /// A file cannot be made: a defect, or a size of 0.
    #[error("the {0} file cannot be made")]
    Encoding(&'static str),
    /// The caller has given up.
    #[error("the caller has given up")]
    Cancelled,
}

impl Spec {
    /// The modules. `None` if the content is too long.
    fn matrix(&self) -> Option<Matrix> {
        Matrix::encode(&self.content, self.style.error_correction, self.style.logo.is_some())
    }

    /// What the logo covers.
    fn cover(&self, matrix: &Matrix) -> Option<Cover> {
        let (placement, logo) = self.style.logo.as_ref().zip(self.logo.as_ref())?;
        Some(Cover::new(matrix.width(), placement, logo))
    }
}

/// The file of a code. `size` is the width of the whole image in pixels, in points for PDF and EPS;
/// a frame makes the image higher.
///
/// It does not check whether scanners can read the result: call [`check`] first.
pub fn render(spec: &Spec, format: ImageFormat, size: u32) -> Result<Vec<u8>, RenderError> {
    render_cancellable(&CancellationToken::default(), spec, format, size)
}

/// The same as [`render`], until the token is cancelled.
pub fn render_cancellable(
    token: &CancellationToken,
    spec: &Spec,
    format: ImageFormat,
    size: u32,
) -> Result<Vec<u8>, RenderError> {
    token.check()?;
    match format {
        ImageFormat::Png => png::render(spec, size, token),
        ImageFormat::Svg => svg::render(spec, size).map(String::into_bytes),
        ImageFormat::Pdf => pdf::render(spec, size, token),
        ImageFormat::Eps => eps::render(spec, size),
    }
}
