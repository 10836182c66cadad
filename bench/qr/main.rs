//! Images of QR codes per second of processor time, in turns with two other programs.
//!
//! `cargo bench --bench qr`. `PyPI`'s `segno` is measured if `python3` has it, npm's
//! `qr-code-styling` if `node` finds it, `jsdom` and `@napi-rs/canvas` in `NODE_PATH`.
#![allow(clippy::unwrap_used, reason = "a benchmark may end at any defect")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use slugline::domain::ids::LogoId;
use slugline::domain::qr::style::{
    Color, CornerStyle, DotStyle, Gradient, GradientKind, ImageFormat, LogoPlacement, QrStyle,
};
use slugline::qr::{Logo, Spec, check, render};

const CONTENT: &str = "https://sho.rt/spring?qr=4c9";
const SIZE: u32 = 300;
/// The width of the logo as a picture.
const LOGO_SIZE: u32 = 256;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// Other programs. Each prints lines of a name and images per second.
const OTHERS: [(&str, &[&str]); 2] =
    [("python3", &["-c", include_str!("segno.py")]), ("node", &["-e", include_str!("styling.js")])];

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("qr bench: measures under `cargo bench --bench qr` only");
        return;
    }
    println!(
        "load average {}",
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    let specs = [("plain", plain()), ("styled with logo", styled())];
    let mut rates = BTreeMap::<String, Vec<f64>>::new();
    for _ in 0..ROUNDS {
        for (name, spec) in &specs {
            assert!(check(spec, SIZE).is_ok(), "{name}");
            for &format in ImageFormat::EVERY {
                let name = format!("slugline {name} {}", format.as_str());
                rates.entry(name).or_default().push(rate(spec, format));
            }
        }
        for (program, arguments) in OTHERS {
            for (name, rate) in measured(program, arguments) {
                rates.entry(name).or_default().push(rate);
            }
        }
    }
    println!(
        "images of {SIZE} px per second of processor time: median of the rounds (lowest to highest)"
    );
    for (name, mut rates) in rates {
        rates.sort_by(f64::total_cmp);
        let (lowest, highest) = (rates[0], rates[rates.len() - 1]);
        println!("{name:<32} {:>9.1} ({lowest:.1} to {highest:.1})", rates[rates.len() / 2]);
    }
}

fn plain() -> Spec {
    Spec { content: CONTENT.to_owned(), style: QrStyle::default(), logo: None }
}

/// A code with gradient, round shapes, and a picture as its logo.
fn styled() -> Spec {
    let logo = LogoId::from_bytes(&[0; 16]).unwrap();
    let picture = image(LOGO_SIZE);
    Spec {
        style: QrStyle {
            color: Color { red: 90, green: 30, blue: 140 },
            gradient: Some(Gradient { kind: GradientKind::Linear, color: Color::BLACK, angle: 45 }),
            dot_style: DotStyle::Rounded,
            corner_style: CornerStyle::Dot,
            logo: Some(LogoPlacement { logo, size_percent: 20, clears: true }),
            ..QrStyle::default()
        },
        logo: Some(Logo::parse_upload(&picture).unwrap()),
        ..plain()
    }
}

/// A PNG with many colors.
fn image(side: u32) -> Vec<u8> {
    let colors = image::RgbImage::from_fn(side, side, |x, y| {
        image::Rgb([x, y, x ^ y].map(|part| u8::try_from(part % 256).unwrap_or_default()))
    });
    let mut file = std::io::Cursor::new(Vec::new());
    colors.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Images per second of processor time: other work on the machine does not count.
fn rate(spec: &Spec, format: ImageFormat) -> f64 {
    let (start, mut count) = (processor_time(), 0);
    loop {
        black_box(render(black_box(spec), format, SIZE).unwrap());
        count += 1;
        let used = processor_time().saturating_sub(start);
        if used >= ROUND {
            return f64::from(count) / used.as_secs_f64();
        }
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// What another program measures. Empty, with a line that says so, if it is not installed.
fn measured(program: &str, arguments: &[&str]) -> Vec<(String, f64)> {
    let output = Command::new(program).args(arguments).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        println!("{program}: not measured, a package is missing");
        return Vec::new();
    };
    let lines = String::from_utf8(output.stdout).unwrap();
    let rates = lines.lines().map(|line| {
        let (name, rate) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), rate.parse().unwrap())
    });
    rates.collect()
}
