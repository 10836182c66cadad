//! What happens to a code between the screen and the scanner.

use image::codecs::jpeg::JpegEncoder;
use image::imageops;
use image::{DynamicImage, GrayImage, Luma, RgbaImage};

/// What is done to an image. All but the first lose information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    None,
    /// JPEG at quality 50.
    Jpeg,
    /// Rotated by 2°.
    Rotated,
    /// 30 % of the width.
    Shrunk,
    /// A Gaussian of a sixth of a module.
    Blurred,
    /// Held at an angle, in uneven light, with noise.
    Photographed,
}

impl Treatment {
    pub const EVERY: [Self; 6] =
        [Self::None, Self::Jpeg, Self::Rotated, Self::Shrunk, Self::Blurred, Self::Photographed];

    /// The image afterwards, in gray. `module` is the width of a module in pixels.
    pub fn apply(self, image: &DynamicImage, module: f32) -> GrayImage {
        let gray = || on_white(image).to_luma8();
        match self {
            Self::None => gray(),
            Self::Jpeg => {
                let mut jpeg = Vec::new();
                let encoder = JpegEncoder::new_with_quality(&mut jpeg, 50);
                on_white(image).write_with_encoder(encoder).unwrap();
                image::load_from_memory(&jpeg).unwrap().to_luma8()
            }
            Self::Rotated => rotated(&gray()),
            Self::Shrunk => {
                let part = |side: u32| (side * 3 / 10).max(1);
                imageops::thumbnail(&gray(), part(image.width()), part(image.height()))
            }
            Self::Blurred => imageops::blur(&gray(), module / 6.0),
            Self::Photographed => photographed(&gray()),
        }
    }
}

/// What is transparent shows white paper.
fn on_white(image: &DynamicImage) -> DynamicImage {
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

/// Seen from the lower right, a bit tilted: the upper edge is seven eighths of the lower one.
fn photographed(image: &GrayImage) -> GrayImage {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let (sin, cos) = 3_f32.to_radians().sin_cos();
    let mut noise = 1_u32;
    // The camera sees at least so much, however small the image was.
    let seen = width.max(400.0);
    let (seen_width, seen_height) = (seen, height * seen / width);
    GrayImage::from_fn((seen_width * 1.25) as u32, (seen_height * 1.25) as u32, |x, y| {
        // From the center, as parts of the image.
        let (x, y) = (x as f32 / seen_width - 0.625, y as f32 / seen_height - 0.625);
        let depth = 1.0 + 0.07 * x + 0.13 * y;
        let (from_x, from_y) = ((x * cos + y * sin) / depth, (y * cos - x * sin) / depth);
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
