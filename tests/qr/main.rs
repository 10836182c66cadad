//! Codes of every style and level, decoded by two decoders after what happens to codes in practice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "images are small"
)]

mod decoders;
mod photo;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage};
use photo::Treatment;
use slugline::domain::ids::LogoId;
use slugline::domain::qr::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, ImageFormat,
    LogoPlacement, QrStyle,
};
use slugline::qr::{self, Logo, Spec};

const CONTENT: &str = "https://sho.rt/spring?qr=4c9";
/// A wide logo in one color.
const LOGO: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 60 40'>\
                    <rect width='60' height='40' rx='8' fill='#d32'/>\
                    <circle cx='30' cy='20' r='12' fill='#fff'/></svg>";

struct Case {
    name: String,
    spec: Spec,
    size: u32,
}

fn case(name: impl Into<String>, style: QrStyle, size: u32) -> Case {
    let logo = style.logo.map(|_| Logo::parse_upload(LOGO.as_bytes()).unwrap());
    Case { name: name.into(), spec: Spec { content: CONTENT.to_owned(), style, logo }, size }
}

fn color(text: &str) -> Color {
    text.parse().unwrap()
}

/// Every shape of modules and of position markers, at every level, in two sizes.
fn shapes() -> Vec<Case> {
    let mut cases = Vec::new();
    for &dot_style in DotStyle::EVERY {
        for &corner_style in CornerStyle::EVERY {
            for &level in ErrorCorrection::EVERY {
                let smallest = if corner_style == CornerStyle::Dot { 205 } else { 170 };
                for size in [smallest, 480] {
                    let name =
                        [dot_style.as_str(), corner_style.as_str(), level.as_str()].join(" ");
                    let style = QrStyle {
                        dot_style,
                        corner_style,
                        error_correction: level,
                        ..QrStyle::default()
                    };
                    cases.push(case(name, style, size));
                }
            }
        }
    }
    cases
}

/// Everything else that a style can have, with the modules that are the hardest to read.
fn decorations() -> Vec<Case> {
    let mut cases = Vec::new();
    for &dot_style in DotStyle::EVERY {
        let plain = QrStyle { dot_style, ..QrStyle::default() };
        let ramp = |kind, angle| Gradient { kind, color: color("#0a7d4f"), angle };
        let framed = Frame {
            caption: "Scan me".to_owned(),
            color: color("#1d3a8a"),
            text_color: Color::WHITE,
        };
        let logo = |size_percent, clears| {
            let logo = LogoId::from_bytes(&[0; 16]).unwrap();
            Some(LogoPlacement { logo, size_percent, clears })
        };
        let purple = color("#5b1e8c");
        let styles = [
            (
                "linear",
                QrStyle {
                    color: purple,
                    gradient: Some(ramp(GradientKind::Linear, 45)),
                    ..plain.clone()
                },
            ),
            (
                "radial",
                QrStyle {
                    color: purple,
                    gradient: Some(ramp(GradientKind::Radial, 0)),
                    ..plain.clone()
                },
            ),
            (
                "corners",
                QrStyle {
                    corner_color: Some(color("#c0261b")),
                    corner_dot_color: Some(color("#1d3a8a")),
                    corner_style: CornerStyle::Dot,
                    ..plain.clone()
                },
            ),
            ("transparent", QrStyle { background_color: None, ..plain.clone() }),
            (
                "low contrast",
                QrStyle {
                    color: color("#8a8a8a"),
                    background_color: Some(color("#f4f4f4")),
                    ..plain.clone()
                },
            ),
            ("frame", QrStyle { frame: Some(framed.clone()), ..plain.clone() }),
            ("narrow frame", QrStyle { frame: Some(framed), margin: 2, ..plain.clone() }),
            ("no margin", QrStyle { margin: 0, ..plain.clone() }),
            ("logo", QrStyle { logo: logo(22, false), ..plain.clone() }),
            ("clearing logo", QrStyle { logo: logo(20, true), ..plain.clone() }),
        ];
        for (name, style) in styles {
            for size in [300, 480] {
                if size == 480 && dot_style != DotStyle::Dots {
                    continue;
                }
                cases.push(case(format!("{} {name}", dot_style.as_str()), style.clone(), size));
            }
        }
    }
    cases
}

/// Whether the modules have enough pixels after the treatment.
fn is_fair(treatment: Treatment, module: f32) -> bool {
    module * if treatment == Treatment::Shrunk { 0.3 } else { 1.0 } >= 3.0
}

/// What a case looks like to a scanner.
struct Seen {
    /// The case and the treatment.
    name: String,
    file: String,
    frame: GrayImage,
    read_by_rqrr: Vec<bool>,
}

fn seen(number: usize, case: &Case) -> Vec<Seen> {
    let checked = qr::check(&case.spec, case.size);
    assert!(checked.is_ok(), "{}: {checked:?}", case.name);
    let png = qr::render(&case.spec, ImageFormat::Png, case.size).unwrap();
    let image = image::load_from_memory(&png).unwrap();
    let svg =
        String::from_utf8(qr::render(&case.spec, ImageFormat::Svg, case.size).unwrap()).unwrap();
    let columns = svg.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split(' ').next());
    let module = (case.size as f32 / columns.unwrap().parse::<f32>().unwrap()).floor();
    let fair = Treatment::EVERY.into_iter().filter(|treatment| is_fair(*treatment, module));
    fair.map(|treatment| {
        let frame = treatment.apply(&image, module);
        let is_read = |frame| decoders::rqrr(frame).is_some_and(|content| content == CONTENT);
        let mut read_by_rqrr = vec![is_read(&frame)];
        if !read_by_rqrr[0] {
            read_by_rqrr.push(is_read(&second_frame(&frame)));
        }
        Seen {
            name: format!("{} {} px {treatment:?}", case.name, case.size),
            file: format!("{number:03}-{treatment:?}.pgm"),
            frame,
            read_by_rqrr,
        }
    })
    .collect()
}

/// A scanner sees many frames, no two of them equal: what is not read as it is may be read in
/// another one, taken from a bit nearer.
fn second_frame(frame: &GrayImage) -> GrayImage {
    let nearer = |side: u32| side * 11 / 10;
    let (width, height) = (nearer(frame.width()), nearer(frame.height()));
    image::imageops::resize(frame, width, height, FilterType::Triangle)
}

/// Asserts that both decoders read the cases in every treatment, nearly all in the first frame.
fn assert_read(cases: &[Case]) {
    let numbered: Vec<_> = cases.iter().enumerate().collect();
    let halves = numbered.chunks(cases.len().div_ceil(2));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let threads: Vec<_> = halves
            .map(|half| {
                scope.spawn(|| {
                    half.iter().flat_map(|(number, case)| seen(*number, case)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for seen in &seen {
        decoders::save(&seen.frame, &folders[0].path().join(&seen.file));
    }
    let first = decoders::zbar(folders[0].path());
    let is_read = |read: &HashMap<String, String>, seen: &Seen| {
        read.get(&seen.file).is_some_and(|content| content == CONTENT)
    };
    let missed: Vec<_> = seen.iter().filter(|seen| !is_read(&first, seen)).collect();
    for seen in &missed {
        decoders::save(&second_frame(&seen.frame), &folders[1].path().join(&seen.file));
    }
    let second = decoders::zbar(folders[1].path());
    let by_zbar = missed.iter().filter(|seen| !is_read(&second, seen));
    let by_rqrr = seen.iter().filter(|seen| !seen.read_by_rqrr.contains(&true));
    let unread: Vec<_> = by_zbar
        .map(|seen| format!("zbar: {}", seen.name))
        .chain(by_rqrr.map(|seen| format!("rqrr: {}", seen.name)))
        .collect();
    let late = missed.len() + seen.iter().filter(|seen| !seen.read_by_rqrr[0]).count();
    println!("{} images, {late} not read in the first frame by one decoder", seen.len());
    assert!(unread.is_empty(), "{} unread:\n{}", unread.len(), unread.join("\n"));
    assert!(late * 100 <= seen.len() * 2 * 3, "{late} of {}", seen.len());
}

#[test]
fn every_shape_is_read_by_two_decoders() {
    assert_read(&shapes());
}

#[test]
fn every_decoration_is_read_by_two_decoders() {
    assert_read(&decorations());
}

/// The largest logos that the check allows, at each level.
#[test]
fn the_largest_logos_are_read_by_two_decoders() {
    let mut cases = Vec::new();
    for &error_correction in ErrorCorrection::EVERY {
        for clears in [false, true] {
            let sized = |size_percent| {
                let logo = LogoId::from_bytes(&[0; 16]).unwrap();
                let logo = Some(LogoPlacement { logo, size_percent, clears });
                case("", QrStyle { error_correction, logo, ..QrStyle::default() }, 480)
            };
            let largest = (1..=50).rev().find(|&size| qr::check(&sized(size).spec, 480).is_ok());
            let Some(largest) = largest else { continue };
            let name = format!("{} logo of {largest} %", error_correction.as_str());
            assert!(qr::check(&sized(largest + 1).spec, 480).is_err(), "{name}");
            cases.push(Case { name, ..sized(largest) });
        }
    }
    assert!(cases.len() >= 6, "{}", cases.len());
    assert_read(&cases);
}

/// Each format shows what the PNG shows, and is read.
#[test]
fn every_format_shows_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for case in decorations().iter().filter(|case| case.size == 300) {
        let png = qr::render(&case.spec, ImageFormat::Png, case.size).unwrap();
        let png = Treatment::None.apply(&image::load_from_memory(&png).unwrap(), 1.0);
        for format in [ImageFormat::Svg, ImageFormat::Pdf, ImageFormat::Eps] {
            let file = qr::render(&case.spec, format, case.size).unwrap();
            let drawn = match format {
                ImageFormat::Svg => draw_svg(&file),
                _ => draw_postscript(&file, &folder.path().join(format.as_str())),
            };
            let drawn = Treatment::None.apply(&drawn, 1.0);
            let name = format!("{} {}", case.name, format.as_str());
            assert_eq!(drawn.dimensions(), png.dimensions(), "{name}");
            // Modules have no whole number of pixels there: compare from a distance.
            let far = |image| image::imageops::thumbnail(image, 12, 12).into_raw();
            let pairs = far(&png).into_iter().zip(far(&drawn));
            let differences: u32 = pairs.map(|(one, other)| u32::from(one.abs_diff(other))).sum();
            assert!(differences < 144 * 24, "{name}: {differences}");
            assert_eq!(decoders::rqrr(&drawn).as_deref(), Some(CONTENT), "{name}");
        }
    }
}

fn draw_svg(file: &[u8]) -> DynamicImage {
    use resvg::{tiny_skia, usvg};
    let options = usvg::Options::default();
    let tree = usvg::Tree::from_data(file, &options).unwrap();
    let size = tree.size().to_int_size();
    let mut pixmap = tiny_skia::Pixmap::new(size.width(), size.height()).unwrap();
    pixmap.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::identity(), &mut pixmap.as_mut());
    image::load_from_memory(&pixmap.encode_png().unwrap()).unwrap()
}

/// Draws a PDF or EPS with Ghostscript.
fn draw_postscript(file: &[u8], path: &Path) -> DynamicImage {
    fs::write(path, file).unwrap();
    let output = path.with_extension("png");
    let run = Command::new("gs")
        .args(["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-dEPSCrop", "-sDEVICE=png16m", "-r72"])
        .args(["-dGraphicsAlphaBits=4", "-dTextAlphaBits=4", "-o"])
        .args([&output, path])
        .output();
    let run = run.unwrap_or_else(|error| {
        panic!("this test needs gs ({error}): install ghostscript with apt-get or Homebrew")
    });
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    image::load_from_memory(&fs::read(output).unwrap()).unwrap()
}
