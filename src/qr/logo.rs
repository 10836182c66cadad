//! Logos: what users upload becomes a small PNG or a plain SVG before anything is stored.

use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, Limits, Rgba};
use resvg::tiny_skia::{IntSize, Pixmap, Transform};
use resvg::usvg::Tree;

use super::{CancellationToken, logo_svg, png};

/// The maximum size of an upload.
pub const MAX_UPLOAD_BYTES: usize = 2 << 20;
/// The maximum size of a stored logo.
pub const MAX_STORED_BYTES: usize = 256 << 10;
/// The maximum width and height of a stored picture: a logo of 30 % on a code of 1,700 px.
pub const MAX_STORED_PIXELS: u32 = 512;
/// The maximum number of pixels of an upload, by its header.
const MAX_PIXELS: u64 = 16_000_000;
/// The maximum memory of the decoded upload, by its header: all pixels with 8 bits for each of four
/// channels, or half of them with 16.
const MAX_DECODED_BYTES: u64 = 64 << 20;
/// Where a picture takes too much space, its sides are shortened to this percentage.
const SHRINK_PERCENT: u32 = 75;

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Why an upload cannot be a logo: a sentence without a subject, such as `must be …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogoError(pub(super) Cow<'static, str>);

type Result<T> = std::result::Result<T, LogoError>;

fn refused<T>(reason: impl Into<Cow<'static, str>>) -> Result<T> {
    Err(LogoError(reason.into()))
}

/// A checked logo. Cheap to clone.
#[derive(Clone)]
pub struct Logo {
    bytes: Arc<[u8]>,
    drawing: Arc<Drawing>,
}

enum Drawing {
    Raster(Picture),
    Vector(Box<Tree>),
}

/// Pixels whose colors are multiplied by their alpha.
type Picture = ImageBuffer<Rgba<u8>, Vec<u8>>;

impl std::fmt::Debug for Logo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logo({}, {} bytes)", self.content_type(), self.bytes.len())
    }
}

impl Logo {
    /// Checks an uploaded PNG, JPEG, WebP, GIF (its first frame) or SVG, told apart by their first
    /// bytes. Pictures are scaled down and encoded again; of an SVG, only shapes are kept. So only
    /// what can be seen of the upload survives.
    pub fn parse_upload(bytes: &[u8]) -> Result<Self> {
        Self::parse_upload_cancellable(&CancellationToken::default(), bytes)
    }

    /// The same as [`Self::parse_upload`], until the token is cancelled.
    pub fn parse_upload_cancellable(token: &CancellationToken, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_UPLOAD_BYTES {
            return refused("must have at most 2 MiB; shrink the picture");
        }
        if let Some(format) = raster_format(bytes) {
            return Self::from_picture(token, decode(bytes, format)?);
        }
        match bytes {
            [0x1f, 0x8b, ..] => refused("is compressed: upload the SVG file itself, not an .svgz"),
            _ => match std::str::from_utf8(bytes) {
                Ok(text) if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') => {
                    Self::from_svg(text)
                }
                _ => refused("must be a PNG, JPEG, WebP, GIF or SVG file"),
            },
        }
    }

    /// A logo that [`Self::bytes`] returned. `None` if the bytes are damaged.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let drawing = if bytes.starts_with(PNG_MAGIC) {
            Drawing::Raster(premultiplied(decode(bytes, ImageFormat::Png).ok()?))
        } else {
            Drawing::Vector(Box::new(logo_svg::parse_stored(std::str::from_utf8(bytes).ok()?)?))
        };
        Some(Self { bytes: bytes.into(), drawing: Arc::new(drawing) })
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The media type of [`Self::bytes`].
    pub fn content_type(&self) -> &'static str {
        match *self.drawing {
            Drawing::Raster(_) => "image/png",
            Drawing::Vector(_) => "image/svg+xml",
        }
    }

    /// The text of an SVG.
    pub(super) fn svg(&self) -> Option<&str> {
        match *self.drawing {
            Drawing::Raster(_) => None,
            Drawing::Vector(_) => std::str::from_utf8(&self.bytes).ok(),
        }
    }

    /// The width and the height, in a unit of its own.
    #[allow(clippy::cast_precision_loss, reason = "at most 512 pixels")]
    pub(super) fn size(&self) -> (f32, f32) {
        match &*self.drawing {
            Drawing::Raster(picture) => (picture.width() as f32, picture.height() as f32),
            Drawing::Vector(tree) => (tree.size().width(), tree.size().height()),
        }
    }

    /// The logo with this number of pixels. `None` if there is none.
    #[allow(clippy::cast_precision_loss, reason = "few thousand pixels")]
    pub(super) fn pixels(&self, width: u32, height: u32) -> Option<Pixmap> {
        match &*self.drawing {
            Drawing::Raster(picture) => {
                let shrinks = width <= picture.width() && height <= picture.height();
                let scaled = if shrinks {
                    imageops::thumbnail(picture, width, height)
                } else {
                    imageops::resize(picture, width, height, FilterType::CatmullRom)
                };
                let mut data = scaled.into_raw();
                // Sharpening filters may make a color brighter than its alpha allows.
                for [color @ .., alpha] in data.as_chunks_mut::<4>().0 {
                    *color = color.map(|channel| channel.min(*alpha));
                }
                Pixmap::from_vec(data, IntSize::from_wh(width, height)?)
            }
            Drawing::Vector(tree) => {
                let mut pixmap = Pixmap::new(width, height)?;
                let (x, y) = (tree.size().width(), tree.size().height());
                let scale = Transform::from_scale(width as f32 / x, height as f32 / y);
                resvg::render(tree, scale, &mut pixmap.as_mut());
                Some(pixmap)
            }
        }
    }

    fn from_svg(text: &str) -> Result<Self> {
        let (text, tree) = logo_svg::sanitize(text)?;
        if text.len() > MAX_STORED_BYTES {
            return refused("is too complex: it must have at most 256 KiB as plain paths");
        }
        Ok(Self {
            bytes: text.into_bytes().into(),
            drawing: Arc::new(Drawing::Vector(Box::new(tree))),
        })
    }

    fn from_picture(token: &CancellationToken, picture: DynamicImage) -> Result<Self> {
        check_cancelled(token)?;
        let (width, height) = (picture.width(), picture.height());
        let mut picture = premultiplied(picture);
        let mut longest = width.max(height).min(MAX_STORED_PIXELS);
        loop {
            if longest < width.max(height) {
                let side = |side: u32| {
                    let side = u64::from(side) * u64::from(longest) / u64::from(width.max(height));
                    u32::try_from(side).unwrap_or(longest).max(1)
                };
                picture = imageops::thumbnail(&picture, side(width), side(height));
            }
            check_cancelled(token)?;
            let bytes = encode(&picture).ok_or(LogoError("cannot be encoded as a PNG".into()))?;
            if bytes.len() <= MAX_STORED_BYTES {
                let drawing = Arc::new(Drawing::Raster(picture));
                return Ok(Self { bytes: bytes.into(), drawing });
            }
            check_cancelled(token)?;
            longest = longest * SHRINK_PERCENT / 100;
        }
    }
}

/// Nobody sees the error.
fn check_cancelled(token: &CancellationToken) -> Result<()> {
    token.check().map_err(|cancelled| LogoError(cancelled.to_string().into()))
}

fn raster_format(bytes: &[u8]) -> Option<ImageFormat> {
    Some(match bytes {
        _ if bytes.starts_with(PNG_MAGIC) => ImageFormat::Png,
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [b'G', b'I', b'F', b'8', ..] => ImageFormat::Gif,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        _ => return None,
    })
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage> {
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let unreadable = |error: ImageError| match error {
        ImageError::Limits(_) => too_many_pixels(),
        error => LogoError(format!("cannot be read: {error}").into()),
    };
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(too_many_pixels());
    }
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return refused(
            "must have at most 8 megapixels with 16 bits per channel; save it with 8 bits, or \
             shrink the picture",
        );
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn too_many_pixels() -> LogoError {
    LogoError("must have at most 16 megapixels; shrink the picture".into())
}

fn premultiplied(picture: DynamicImage) -> Picture {
    let mut picture = picture.into_rgba8();
    for Rgba([color @ .., alpha]) in picture.pixels_mut() {
        *color = color.map(|channel| multiplied(channel, *alpha));
    }
    picture
}

/// `channel × alpha`, where 255 is 1.
fn multiplied(channel: u8, alpha: u8) -> u8 {
    let product = (u16::from(channel) * u16::from(alpha) + 127) / 255;
    u8::try_from(product).unwrap_or(u8::MAX)
}

fn encode(picture: &Picture) -> Option<Vec<u8>> {
    let mut data = picture.as_raw().clone();
    for [color @ .., alpha] in data.as_chunks_mut::<4>().0 {
        let divided = |channel: u8| {
            let quotient =
                (u16::from(channel) * 255 + u16::from(*alpha) / 2).checked_div(u16::from(*alpha));
            u8::try_from(quotient.unwrap_or_default()).unwrap_or(u8::MAX)
        };
        *color = color.map(divided);
    }
    png::encode_small(picture.width(), picture.height(), &data)
}

#[cfg(test)]
#[path = "logo_tests.rs"]
mod tests;
