//! Uploads that become logos, and those that are refused.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

use super::*;

const RED: Rgba<u8> = Rgba([200, 30, 20, 255]);

fn picture(width: u32, height: u32) -> DynamicImage {
    RgbaImage::from_pixel(width, height, RED).into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn svg(content: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' \
         viewBox='0 0 10 10'>{content}</svg>"
    )
}

fn refusal(bytes: &[u8]) -> String {
    Logo::parse_upload(bytes).unwrap_err().to_string()
}

#[test]
fn pictures_of_each_format_become_a_png() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
        let picture = match format {
            ImageFormat::Jpeg => DynamicImage::from(picture(60, 40).to_rgb8()),
            _ => picture(60, 40),
        };
        let logo = Logo::parse_upload(&encoded(&picture, format)).unwrap();
        assert_eq!((logo.content_type(), logo.size()), ("image/png", (60.0, 40.0)), "{format:?}");
        let stored = image::load_from_memory(logo.bytes()).unwrap().to_rgba8();
        let near = |one: u8, other: u8| one.abs_diff(other) < 4;
        assert!(
            stored.pixels().all(|pixel| pixel.0.into_iter().zip(RED.0).all(|(a, b)| near(a, b)))
        );
        let again = Logo::from_stored(logo.bytes()).unwrap();
        assert_eq!((again.bytes(), again.size()), (logo.bytes(), logo.size()));
    }
}

/// The encoder of `image` makes lossless files only; this one is from libwebp, at quality 60.
#[test]
fn lossy_webp_is_read() {
    let webp = "UklGRkwAAABXRUJQVlA4IEAAAACQAwCdASo8ACgAPrVaqE+nJSOiIqgA4BaJZwB2AAAqNMY4fBmAAP7sJl/+\
                IXextv//zNH3m+y3o9rrxDCAAAAA";
    let logo = Logo::parse_upload(&STANDARD.decode(webp).unwrap()).unwrap();
    let stored = image::load_from_memory(logo.bytes()).unwrap().to_rgba8();
    assert_eq!(stored.dimensions(), (60, 40));
    let is_red = |pixel: &Rgba<u8>| (0..4).all(|at| pixel.0[at].abs_diff(RED.0[at]) < 8);
    assert!(stored.pixels().all(is_red), "{:?}", stored.get_pixel(30, 20));
}

#[test]
fn the_first_frame_of_a_gif_is_taken() {
    let mut bytes = Vec::new();
    let blue = RgbaImage::from_pixel(20, 20, Rgba([0, 0, 255, 255]));
    GifEncoder::new(&mut bytes)
        .encode_frames([picture(20, 20).to_rgba8(), blue].map(image::Frame::new))
        .unwrap();
    let logo = Logo::parse_upload(&bytes).unwrap();
    let stored = image::load_from_memory(logo.bytes()).unwrap().to_rgba8();
    assert_eq!(stored.get_pixel(5, 5).0[2], RED.0[2]);
}

#[test]
fn large_pictures_shrink_and_keep_their_shape() {
    let logo = Logo::parse_upload(&encoded(&picture(2_000, 500), ImageFormat::Png)).unwrap();
    assert_eq!(logo.size(), (512.0, 128.0));
    // Noise, which cannot be compressed.
    let mut state = 1_u32;
    let noise = RgbaImage::from_fn(512, 512, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgba(state.to_be_bytes())
    });
    let logo = Logo::parse_upload(&encoded(&noise.into(), ImageFormat::Png)).unwrap();
    assert!(logo.bytes().len() <= MAX_STORED_BYTES && logo.size().0 > 200.0, "{logo:?}");
}

/// The edge of a transparent picture has the color of the picture, not of what can't be seen.
#[test]
fn transparent_edges_keep_their_color() {
    let half = |x: u32, _| if x < 1_001 { RED } else { Rgba([0, 0, 0, 0]) };
    let picture = DynamicImage::from(RgbaImage::from_fn(2_000, 100, half));
    let logo = Logo::parse_upload(&encoded(&picture, ImageFormat::Png)).unwrap();
    let stored = image::load_from_memory(logo.bytes()).unwrap().to_rgba8();
    let seen = stored.pixels().filter(|pixel| pixel.0[3] > 8);
    assert!(seen.clone().any(|pixel| pixel.0[3] < 250));
    for pixel in seen {
        assert!(pixel.0[0].abs_diff(RED.0[0]) < 16, "{pixel:?}");
    }
}

#[test]
fn metadata_is_dropped() {
    let mut png = encoded(&picture(8, 8), ImageFormat::Png);
    // A text chunk after the header, with its checksum.
    let mut chunk = b"tEXtComment\0taken at home".to_vec();
    let checksum = flate2::Crc::new();
    let mut checksum = checksum;
    checksum.update(&chunk);
    let length = u32::try_from(chunk.len() - 4).unwrap();
    chunk.splice(0..0, length.to_be_bytes());
    chunk.extend(checksum.sum().to_be_bytes());
    png.splice(33..33, chunk);
    let logo = Logo::parse_upload(&png).unwrap();
    assert!(!logo.bytes().windows(4).any(|bytes| bytes == b"tEXt" || bytes == b"home"));
}

/// A PNG whose header promises a square of so many pixels, of RGBA.
fn bomb(side: u32, bits: u8) -> Vec<u8> {
    let mut bomb = encoded(&picture(8, 8), ImageFormat::Png);
    let mut header = b"IHDR".to_vec();
    header.extend(side.to_be_bytes());
    header.extend(side.to_be_bytes());
    header.extend([bits, 6, 0, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&header);
    bomb.splice(12..29, header);
    bomb.splice(29..33, checksum.sum().to_be_bytes());
    bomb
}

#[test]
fn the_memory_of_an_upload_is_bounded() {
    let deep = refusal(&bomb(3_900, 16));
    assert!(deep.contains("8 megapixels with 16 bits"), "{deep}");
    let unfinished = [(3_900, 8), (2_800, 16)].map(|(side, bits)| refusal(&bomb(side, bits)));
    assert!(unfinished.iter().all(|reason| reason.starts_with("cannot be read")), "{unfinished:?}");
    let flat = DynamicImage::from(image::GrayImage::new(4_000, 4_000));
    assert!(Logo::parse_upload(&encoded(&flat, ImageFormat::Png)).is_ok());
}

#[test]
fn an_upload_is_not_read_on_once_it_is_cancelled() {
    let png = encoded(&picture(8, 8), ImageFormat::Png);
    assert!(Logo::parse_upload_cancellable(&CancellationToken::default(), &png).is_ok());
    let error = Logo::parse_upload_cancellable(&CancellationToken::cancelled(), &png).unwrap_err();
    assert_eq!(error.to_string(), crate::qr::RenderError::Cancelled.to_string());
}

#[test]
fn bombs_and_garbage_are_refused() {
    let bomb = bomb(60_000, 8);
    assert!(refusal(&bomb).contains("16 megapixels"), "{}", refusal(&bomb));
    let mut gif = encoded(&picture(8, 8), ImageFormat::Gif);
    gif.splice(6..10, [0xff, 0xff, 0xff, 0xff]);
    assert!(refusal(&gif).contains("16 megapixels"), "{}", refusal(&gif));
    assert!(refusal(&vec![0; MAX_UPLOAD_BYTES + 1]).contains("at most 2 MiB"));
    for garbage in ["", "hello", "<html></html>", "<svg/>", "<svg xmlns='urn:x'/>", "<svg"] {
        assert!(!refusal(garbage.as_bytes()).is_empty(), "{garbage}");
    }
    let png = encoded(&picture(300, 300), ImageFormat::Png);
    for end in 0..png.len() {
        let _may_be_readable = Logo::parse_upload(&png[..end]);
    }
    assert!(refusal(&[0x1f, 0x8b, 8, 0]).contains("svgz"));
    assert!(Logo::from_stored(b"").is_none() && Logo::from_stored(b"\x89PNG").is_none());
}

#[test]
fn an_svg_is_serialized_again() {
    let upload = svg(
        "<!-- drawn by Ada --><title>secret</title><metadata><x xmlns='urn:x'>secret</x></metadata>\
         <style>.a{fill:#d32}</style><defs><linearGradient id='g'><stop stop-color='red'/>\
         <stop offset='1' stop-color='blue'/></linearGradient><path id='p' d='M5 5h3v3z'/></defs>\
         <path class='a' data-x='secret' d='M0 0h4v4z'/><use xlink:href='#p' fill='url(#g)'/>",
    );
    let logo = Logo::parse_upload(upload.as_bytes()).unwrap();
    let stored = logo.svg().unwrap();
    assert!(stored.contains("#dd3322") && stored.contains("linearGradient"), "{stored}");
    for gone in ["secret", "Ada", "style", "class", "<use", "data-x"] {
        assert!(!stored.contains(gone), "{gone}: {stored}");
    }
    assert_eq!((logo.content_type(), logo.size()), ("image/svg+xml", (10.0, 10.0)));
    assert_eq!(Logo::parse_upload(stored.as_bytes()).unwrap().size(), logo.size());
    assert_eq!(Logo::from_stored(logo.bytes()).unwrap().bytes(), logo.bytes());
    // As editors save it.
    let doctype =
        "<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'svg11.dtd'>\n";
    let upload = format!("\u{feff}{doctype}{}", svg("<path d='M0 0h9v9z'/>"));
    assert!(Logo::parse_upload(upload.as_bytes()).is_ok());
}

#[test]
fn what_could_harm_in_an_svg_is_refused_with_the_reason() {
    let shape = "<path d='M0 0h9v9z'/>";
    for (content, reason) in [
        ("<script>alert(1)</script>", "scripts"),
        (
            "<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>",
            "foreignObject",
        ),
        ("<path d='M0 0h9v9z' onload='alert(1)'/>", "event handlers (onload)"),
        ("<path d='M0 0h9v9z' OnClick='alert(1)'/>", "event handlers"),
        ("<use xlink:href='https://example.com/a.svg#p'/>", "outside of itself"),
        ("<use href='a.svg#p'/>", "outside of itself"),
        ("<a href='javascript:alert(1)'><path d='M0 0h9v9z'/></a>", "links"),
        ("<image href='https://example.com/a.png'/>", "pictures"),
        ("<image href='data:image/png;base64,AA'/>", "pictures"),
        ("<text>hello</text>", "text: convert it to paths"),
        ("<path d='M0 0h9v9z' fill='url(https://example.com/#a)'/>", "outside of itself (fill)"),
        ("<path d='M0 0h9v9z' style='fill:url( \"//example.com\")'/>", "outside of itself (style)"),
        ("<style>@import 'a.css';</style>", "outside of itself (style sheet)"),
        ("<style>.a{fill:URL(a.svg#b)}</style>", "outside of itself (style sheet)"),
        ("<animate attributeName='x'/>", "animations"),
        ("<filter id='f'/>", "filters"),
        ("<pattern id='p'/>", "<pattern>"),
        ("<path d='M0 0h9' stroke='red' stroke-dasharray='0.0001'/>", "dashed"),
        ("<circle r='99999999' />", "coordinates"),
        ("<path d='M0 0a1e30 1e30 0 1 1 1 1'/>", "coordinates"),
        ("<path d='M0 0a9e+9 1 0 1 1 1 1'/>", "coordinates"),
    ] {
        let refusal = refusal(svg(&format!("{shape}{content}")).as_bytes());
        assert!(refusal.contains(reason), "{content}: {refusal}");
    }
    assert!(refusal(svg("").as_bytes()).contains("no shapes"));
    let sheet = format!("<?xml-stylesheet href='a.css'?>{}", svg(shape));
    assert!(refusal(sheet.as_bytes()).contains("style sheet"));
}

#[test]
fn svgs_that_grow_or_are_deep_are_refused_quickly() {
    let start = std::time::Instant::now();
    let entity = "<!DOCTYPE svg [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>";
    assert!(refusal(format!("{entity}{}", svg("&b;")).as_bytes()).contains("entities"));
    for levels in [65, 100_000] {
        let deep = svg(&("<g>".repeat(levels) + &"</g>".repeat(levels)));
        assert!(refusal(deep.as_bytes()).contains("nested"), "{levels}");
        // What is hidden in attributes and comments does not count as the end.
        let deep = svg(&("<g id='/>'><!-- </g> -->".repeat(levels.min(50_000))));
        assert!(refusal(deep.as_bytes()).contains("nested"), "{levels}");
    }
    // A billion laughs by reference: each level is ten times the one before.
    for reference in
        ["<use href='#{}'/>", "<g mask='url(#{})'/>", "<g style='clip-path:url(#{})'/>"]
    {
        let mut laughs = "<path id='l0' d='M0 0h9v9z'/>".to_owned();
        for level in 1..10 {
            let reference = reference.replace("{}", &format!("l{}", level - 1));
            write!(laughs, "<mask id='l{level}'>{}</mask>", reference.repeat(10)).unwrap();
        }
        let refusal = refusal(svg(&laughs).as_bytes());
        assert!(refusal.contains("too complex"), "{refusal}");
    }
    let circle = "<g id='a'><use href='#b'/></g><g id='b'><use href='#a'/></g>";
    assert!(refusal(svg(circle).as_bytes()).contains("circle"));
    let many = svg(&"<path d='M0 0h9v9z'/>".repeat(60_000));
    assert!(refusal(many.as_bytes()).contains("nodes limit"), "{}", refusal(many.as_bytes()));
    let by_style = format!(
        "<style>path{{mask:url(#m)}}</style><mask id='m'>{}</mask>{}",
        "<rect width='9' height='9'/>".repeat(500),
        "<path d='M0 0h9v9z'/>".repeat(500)
    );
    assert!(refusal(svg(&by_style).as_bytes()).contains("too complex"));
    let layers =
        svg(&"<g opacity='0.5'><path d='M0 0h9v9z'/><path d='M0 0h9v9z'/></g>".repeat(201));
    assert!(refusal(layers.as_bytes()).contains("at most 50 groups"));
    let long = svg(&format!("<path d='M0 0{}'/>", "l1 2.7182818".repeat(40_000)));
    assert!(refusal(long.as_bytes()).contains("too complex"));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// Small files that take long to draw.
#[test]
fn svgs_with_much_to_draw_are_refused_quickly() {
    let start = std::time::Instant::now();
    let zigzag = |lines: usize| -> String {
        let line =
            |line: usize| ["L", &(line * 7 % 10).to_string(), [" 0 ", " 9 "][line % 2]].concat();
        (0..lines).map(line).collect()
    };
    let stroked = |d: &str| {
        let style = "fill='none' stroke='red' stroke-width='9' stroke-linejoin='round'";
        svg(&format!("<path {style} d='M0 0{d}'/>"))
    };
    let curves = "C9 0 1 9 5 5".repeat(100_000);
    for heavy in [
        stroked(&zigzag(30_000)),
        stroked(&zigzag(2_500)),
        stroked(&zigzag(1_200)),
        stroked(&curves),
        svg(&format!("<path d='M0 0{}'/>", zigzag(3_000))),
        svg(&format!("<style>path{{stroke:red}}</style><path d='M0 0{curves}'/>")),
    ] {
        let refusal = refusal(heavy.as_bytes());
        assert!(refusal.contains("too complex"), "{refusal}");
    }
    assert!(Logo::parse_upload(stroked(&zigzag(1_000)).as_bytes()).is_ok());
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
