//! What happens to a code between the screen and the scanner.

use image::codecs::jpeg::JpegEncoder;
use image::imageops;
use image::{DynamicImage, GrayImage, Luma, RgbaImage};

/// The width of a module in a photograph, in pixels: from further away or closer, nobody scans.
const SEEN_PIXELS: (f32, f32) = (4.0, 12.0);
/// 30 % of the width.
const SHRUNK: f32 = 0.3;
/// The minimum width of a module, in pixels, for anything to read it. With 2, zbar misses an eighth
/// of all codes, plain ones as well.
const MIN_SHRUNK_PIXELS: f32 = 2.25;
/// The maximum width of a code that is read at a steep angle, in modules: version 10. zbar and rqrr
/// don't read larger ones, plain ones as well: they look at one alignment pattern, at the lower right.
const MAX_STEEP_COLUMNS: f32 = 57.0;

/// What is done to an image. All but the first lose information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    None,
    /// JPEG at quality 50.
    Jpeg,
    /// Rotated by 2°.
    Rotated,
    /// 30 % of the width, where modules then have enough pixels.
    Shrunk,
    /// A Gaussian of a quarter of a module.
    Blurred,
    /// Held at an angle, in uneven light, with noise: the upper edge has four fifths of the width of
    /// the lower one, or seven eighths above version 10.
    Photographed,
}

/// An image in gray.
pub struct Shot {
    pub image: GrayImage,
    /// The width of a module, in pixels.
    pub module: f32,
}

impl Treatment {
    pub const EVERY: [Self; 6] =
        [Self::None, Self::Jpeg, Self::Rotated, Self::Shrunk, Self::Blurred, Self::Photographed];

    /// The image of a code of `columns` modules afterwards. `module` is the width of a module, in
    /// pixels. `None` if too little of it would remain.
    pub fn apply(self, image: &DynamicImage, module: f32, columns: f32) -> Option<Shot> {
        let gray = || on_white(image).to_luma8();
        let mut seen = module;
        let image = match self {
            Self::None => gray(),
            Self::Jpeg => {
                let mut jpeg = Vec::new();
                let encoder = JpegEncoder::new_with_quality(&mut jpeg, 50);
                on_white(image).write_with_encoder(encoder).unwrap();
                image::load_from_memory(&jpeg).unwrap().to_luma8()
            }
            Self::Rotated => rotated(&gray()),
            Self::Shrunk => {
                seen = module * SHRUNK;
                if seen < MIN_SHRUNK_PIXELS {
                    return None;
                }
                from_afar(gray(), SHRUNK)
            }
            Self::Blurred => DynamicImage::from(gray()).blur(module / 4.0).into_luma8(),
            Self::Photographed => {
                seen = module.clamp(SEEN_PIXELS.0, SEEN_PIXELS.1);
                let upper_edge = if columns <= MAX_STEEP_COLUMNS { 0.8 } else { 0.875 };
                let image = from_afar(gray(), (seen / module).min(1.0));
                photographed(&image, (seen / module).max(1.0), upper_edge)
            }
        };
        Some(Shot { image, module: seen })
    }
}

/// Each pixel is the mean of those it covers.
fn from_afar(image: GrayImage, factor: f32) -> GrayImage {
    let part = |side: u32| ((side as f32 * factor).round() as u32).max(1);
    let (width, height) = (part(image.width()), part(image.height()));
    DynamicImage::from(image).thumbnail_exact(width, height).into_luma8()
}

/// What is transparent shows white paper.
pub fn on_white(image: &DynamicImage) -> DynamicImage {
    let image = image.to_rgba8();
    let mut paper = RgbaImage::from_pixel(image.width(), image.height(), [255; 4].into());
    imageops::overlay(&mut paper, &image, 0, 0);
    DynamicImage::from(DynamicImage::ImageRgba8(paper).to_rgb8())
}

fn rotated(image: &GrayImage) -> GrayImage {
    let (sin, cos) = 2_f32.to_radians().sin_cos();
    let side = (image.width().max(image.height()) as f32 * (sin + cos)).ceil() as u32;
    let middle = side as f32 / 2.0;
    GrayImage::from_fn(side, side, |x, y| {
        let (x, y) = (x as f32 + 0.5 - middle, y as f32 + 0.5 - middle);
        let from_x = x * cos + y * sin + image.width() as f32 / 2.0;
        let from_y = y * cos - x * sin + image.height() as f32 / 2.0;
        Luma([sampled(image, from_x, from_y).round() as u8])
    })
}

/// Seen from below and a bit from the left: the upper edge has `upper_edge` of the width of the lower
/// one. `zoom` is how many pixels of the photograph a pixel has.
fn photographed(image: &GrayImage, zoom: f32, upper_edge: f32) -> GrayImage {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let (sin, cos) = 3_f32.to_radians().sin_cos();
    let tilt = 2.0 * (1.0 - upper_edge) / (1.0 + upper_edge);
    let mut noise = 1_u32;
    let (seen_width, seen_height) = (width * zoom, height * zoom);
    GrayImage::from_fn((seen_width * 1.3) as u32, (seen_height * 1.3) as u32, |x, y| {
        // From the center, as parts of the image.
        let (x, y) = (x as f32 / seen_width - 0.65, y as f32 / seen_height - 0.65);
        let nearness = 1.0 + 0.07 * x + tilt * y;
        let (from_x, from_y) = ((x * cos + y * sin) / nearness, (y * cos - x * sin) / nearness);
        let light = 0.75 + 0.25 * x + 0.1 * y;
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 24) as f32 / 255.0 * 12.0 - 6.0;
        let brightness =
            20.0 + sampled(image, (from_x + 0.5) * width, (from_y + 0.5) * height) * 0.8;
        Luma([(brightness * light + grain).clamp(0.0, 255.0) as u8])
    })
}

/// The brightness between pixels, and white outside of the image.
fn sampled(image: &GrayImage, x: f32, y: f32) -> f32 {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let pixel = |x: f32, y: f32| {
        let is_outside = x < 0.0 || y < 0.0;
        let pixel = image.get_pixel_checked(x as u32, y as u32).filter(|_| !is_outside);
        pixel.map_or(255.0, |pixel| f32::from(pixel.0[0]))
    };
    let (right, below) = (x - left, y - top);
    let upper = pixel(left, top) * (1.0 - right) + pixel(left + 1.0, top) * right;
    let lower = pixel(left, top + 1.0) * (1.0 - right) + pixel(left + 1.0, top + 1.0) * right;
    upper * (1.0 - below) + lower * below
}
