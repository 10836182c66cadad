//! Codes of every style and level, decoded by two decoders after what happens to codes in practice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "images are small"
)]

mod cases;
mod decoders;
mod photo;

use std::fs;
use std::path::Path;
use std::process::Command;

use cases::{Case, SHORT};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage};
use photo::{Shot, Treatment};
use slugline::domain::qr::style::{ImageFormat, QrStyle};
use slugline::qr;

/// A scanner sees many frames, no two of them equal. What is not read in the first one is enlarged
/// by these. Each test limits how often that is needed.
const FRAMES: [f32; 4] = [1.0, 1.1, 1.25, 1.5];
/// rqrr gets images scaled so that a module has this many pixels: it samples single pixels, and at 3
/// misses plain codes that nothing was done to.
const RQRR_MODULE: f32 = 12.0;
/// How many cases are in memory at once.
const BATCH: usize = 60;

/// In which frame each decoder read an image, if in any.
struct Read {
    name: String,
    /// Whether the code consists of squares.
    is_plain: bool,
    by_zbar: Option<usize>,
    by_rqrr: Option<usize>,
}

/// A case after a treatment.
struct Seen<'a> {
    case: &'a Case,
    treatment: Treatment,
    shot: Shot,
    by_zbar: Option<usize>,
    by_rqrr: Option<usize>,
}

fn scaled(image: &GrayImage, factor: f32) -> GrayImage {
    let side = |side: u32| (side as f32 * factor).round() as u32;
    let (width, height) = (side(image.width()), side(image.height()));
    DynamicImage::from(image.clone())
        .resize_exact(width, height, FilterType::CatmullRom)
        .into_luma8()
}

fn seen(case: &Case) -> Vec<Seen<'_>> {
    let checked = qr::check(&case.spec, case.size);
    assert!(checked.is_ok(), "{}: {checked:?}", case.name);
    let png = qr::render(&case.spec, ImageFormat::Png, case.size).unwrap();
    let image = image::load_from_memory(&png).unwrap();
    let margin = 2.0 * case.spec.style.margin as f32;
    let columns = columns(case);
    let border = if case.spec.style.frame.is_some() { columns / 16.0 } else { 0.0 };
    let module = (case.size as f32 / (columns + margin + border)).floor();
    let shots = Treatment::EVERY.into_iter().filter_map(|treatment| {
        let shot = treatment.apply(&image, module, columns)?;
        let close = RQRR_MODULE / shot.module;
        // Of long texts, only the first frame counts.
        let frames = if case.is_long() { &FRAMES[..1] } else { &FRAMES[..] };
        let by_rqrr = frames.iter().position(|frame| {
            let read = decoders::rqrr(&scaled(&shot.image, close * frame));
            read.is_some_and(|content| content == case.spec.content)
        });
        Some(Seen { case, treatment, shot, by_zbar: None, by_rqrr })
    });
    shots.collect()
}

/// The width of a code, in modules, without its margin.
fn columns(case: &Case) -> f32 {
    let mut spec = case.spec.clone();
    (spec.style.margin, spec.style.frame) = (0, None);
    let svg = String::from_utf8(qr::render(&spec, ImageFormat::Svg, 1_000).unwrap()).unwrap();
    let columns = svg.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split(' ').next());
    columns.unwrap().parse().unwrap()
}

fn read(cases: &[Case]) -> Vec<Read> {
    let batches = cases.chunks(BATCH).enumerate();
    batches
        .flat_map(|(number, batch)| {
            println!("cases from {} of {}", number * BATCH, cases.len());
            read_batch(batch)
        })
        .collect()
}

fn read_batch(cases: &[Case]) -> Vec<Read> {
    let half = |first| cases.iter().skip(first).step_by(2).flat_map(seen).collect::<Vec<_>>();
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut all = half(0);
        all.extend(other.join().unwrap());
        all
    });
    for (number, factor) in FRAMES.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        for (index, seen) in all.iter().enumerate().filter(|(_, seen)| seen.by_zbar.is_none()) {
            let path = folder.path().join(format!("{index:04}.pgm"));
            match number {
                0 => decoders::save(&seen.shot.image, &path),
                _ => decoders::save(&scaled(&seen.shot.image, factor), &path),
            }
        }
        let contents = decoders::zbar(folder.path());
        for (index, seen) in all.iter_mut().enumerate() {
            let content = contents.get(&format!("{index:04}.pgm"));
            if content.is_some_and(|content| *content == seen.case.spec.content) {
                seen.by_zbar = Some(number);
            }
        }
    }
    let named = |seen: Seen<'_>| Read {
        name: format!("{} {} px {:?}", seen.case.name, seen.case.size, seen.treatment),
        is_plain: seen.case.is_plain(),
        by_zbar: seen.by_zbar,
        by_rqrr: seen.by_rqrr,
    };
    all.into_iter().map(named).collect()
}

/// How many images a decoder did not read in the first frame, and which it read in none.
fn misses(
    all: &[Read],
    decoder: &str,
    by: impl Fn(&Read) -> Option<usize>,
) -> (usize, Vec<String>) {
    let late: Vec<_> = all.iter().filter(|read| by(read) != Some(0)).collect();
    let unread = late.iter().filter(|read| by(read).is_none());
    let unread: Vec<_> = unread.map(|read| format!("{decoder}: {}", read.name)).collect();
    let (images, count) = (all.len(), late.len());
    println!(
        "{decoder}: {images} images, {count} not read in the first frame, {} in none",
        unread.len()
    );
    for read in &late {
        println!("  {}: {:?}", read.name, by(read));
    }
    (late.len(), unread)
}

/// Asserts that zbar reads all images and rqrr nearly all, and both nearly all in the first frame.
fn assert_read(all: &[Read]) {
    let (late_for_zbar, unread) = misses(all, "zbar", |read| read.by_zbar);
    let (late_for_rqrr, unread_by_rqrr) = misses(all, "rqrr", |read| read.by_rqrr);
    assert!(unread.is_empty(), "{} unread:\n{}", unread.len(), unread.join("\n"));
    let limit = |percent| all.len() as f32 * percent / 100.0;
    assert!(late_for_zbar as f32 <= limit(ZBAR_LATE), "zbar: {late_for_zbar} late");
    assert!(late_for_rqrr as f32 <= limit(RQRR_LATE), "rqrr: {late_for_rqrr} late");
    let unread = unread_by_rqrr.len();
    assert!(unread as f32 <= limit(RQRR_UNREAD), "{unread} unread:\n{}", unread_by_rqrr.join("\n"));
}

/// Asserts that zbar reads long texts as it does links. rqrr misses many of them: plain codes, too,
/// but shapes more often.
fn assert_long_texts_are_read(all: &[Read]) {
    let (late, unread) = misses(all, "zbar, long texts", |read| read.by_zbar);
    assert!(unread.is_empty(), "{} unread:\n{}", unread.len(), unread.join("\n"));
    assert!(late as f32 <= all.len() as f32 * ZBAR_LATE / 100.0, "zbar: {late} late");
    for is_plain in [true, false] {
        let such: Vec<_> = all.iter().filter(|read| read.is_plain == is_plain).collect();
        let late = such.iter().filter(|read| read.by_rqrr != Some(0)).count();
        let (images, kind) = (such.len(), if is_plain { "plain codes" } else { "shapes" });
        println!("rqrr, long texts, {kind}: {images} images, {late} not read in the first frame");
        assert!(late as f32 <= images as f32 * RQRR_LATE_LONG / 100.0, "rqrr: {late} late");
    }
}

/// The most images that zbar may not read in the first frame, in percent.
const ZBAR_LATE: f32 = 1.0;
/// The same for rqrr.
const RQRR_LATE: f32 = 4.0;
/// The most images that rqrr may read in no frame, in percent. zbar reads them all.
const RQRR_UNREAD: f32 = 1.5;

/// The same for texts of 300 characters.
const RQRR_LATE_LONG: f32 = 50.0;

fn assert_shapes_are_read(cases: Vec<Case>) {
    let (long, short): (Vec<_>, Vec<_>) = cases.into_iter().partition(Case::is_long);
    assert_read(&read(&short));
    assert_long_texts_are_read(&read(&long));
}

#[test]
fn every_shape_and_level_is_read_by_two_decoders() {
    assert_shapes_are_read(cases::sample());
}

#[test]
#[ignore = "long: the full product of shapes, levels, contents and sizes"]
fn the_full_product_is_read_by_two_decoders() {
    assert_shapes_are_read(cases::product());
}

#[test]
fn every_decoration_is_read_by_two_decoders() {
    assert_read(&read(&cases::decorations()));
}

#[test]
fn the_largest_logos_are_read_by_two_decoders() {
    let cases = cases::largest_logos();
    assert!(cases.len() >= 12, "{}", cases.len());
    assert_read(&read(&cases));
}

/// `ZXing`, which most Android apps have, as drawn: sharp and upright, it needs even markers.
#[test]
fn zxing_reads_every_shape() {
    let folder = tempfile::tempdir().unwrap();
    let all = cases::product();
    let cases: Vec<_> = all.iter().filter(|case| case.size >= 300 && !case.is_long()).collect();
    let save = |(number, case): (usize, &&Case)| {
        let path = folder.path().join(format!("{number}.png"));
        fs::write(&path, qr::render(&case.spec, ImageFormat::Png, case.size).unwrap()).unwrap();
        path
    };
    let files: Vec<_> = cases.iter().enumerate().map(save).collect();
    let Some(read) = decoders::zxing(&files) else {
        println!("skipped: .ci/qr installs ZXing");
        return;
    };
    assert_eq!(read.len(), cases.len());
    let unread = cases.iter().zip(&read).filter(|(case, text)| case.spec.content != **text);
    let unread: Vec<_> =
        unread.map(|(case, _)| format!("{} {} px", case.name, case.size)).collect();
    println!("ZXing: {} images, {} not read", cases.len(), unread.len());
    assert!(unread.len() * 100 <= cases.len(), "{}", unread.join("\n"));
}

/// Without the mark of UTF-8, zbar takes two bytes for one letter of another script.
#[test]
fn texts_in_all_letters_are_read_by_two_decoders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code.pgm");
    for text in ["Müller", "WIFI:T:WPA;S:Café;P:12345678;;", "Grüße – bis gleich", "日本 😀", "€5"]
    {
        let case = Case::with_content(text, QrStyle::default(), 300, text);
        let png = qr::render(&case.spec, ImageFormat::Png, case.size).unwrap();
        let image = photo::on_white(&image::load_from_memory(&png).unwrap()).to_luma8();
        assert_eq!(decoders::rqrr(&image).as_deref(), Some(text));
        decoders::save(&image, &path);
        assert_eq!(decoders::zbar_raw(&path), text);
    }
}

/// Each format shows what the PNG shows, and is read.
#[test]
fn every_format_shows_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases::decorations().iter().filter(|case| case.size == 300) {
        let png = qr::render(&case.spec, ImageFormat::Png, case.size).unwrap();
        let png = photo::on_white(&image::load_from_memory(&png).unwrap()).to_luma8();
        for format in [ImageFormat::Svg, ImageFormat::Pdf, ImageFormat::Eps] {
            let file = qr::render(&case.spec, format, case.size).unwrap();
            let drawn = match format {
                ImageFormat::Svg => draw_svg(&file),
                _ => draw_postscript(&file, &folder.path().join(format.as_str())),
            };
            let drawn = photo::on_white(&drawn).to_luma8();
            let name = format!("{} {}", case.name, format.as_str());
            assert_eq!(drawn.dimensions(), png.dimensions(), "{name}");
            // Modules have no whole number of pixels there: compare from a distance.
            let far = |image| image::imageops::thumbnail(image, 12, 12).into_raw();
            let pairs = far(&png).into_iter().zip(far(&drawn));
            let differences: u32 = pairs.map(|(one, other)| u32::from(one.abs_diff(other))).sum();
            assert!(differences < 144 * 24, "{name}: {differences}");
            assert_eq!(decoders::rqrr(&drawn).as_deref(), Some(SHORT), "{name}");
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
