//! The codes that are read.

use slugline::domain::ids::LogoId;
use slugline::domain::qr::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, LogoPlacement,
    QrStyle,
};
use slugline::qr::{self, Logo, Spec};

/// What short links are, of 28 characters.
pub const SHORT: &str = "https://sho.rt/spring?qr=4c9";
/// 100 characters.
const URL: &str = "https://links.example.com/spring-sale/overview?utm_source=poster\
                   &utm_campaign=spring-2027-north&qr=4";
/// 300 characters.
const TEXT: &str = "Your table is ready. Today we serve pea soup with mint, trout from the lake \
                    with potatoes, and rhubarb cake. Ask us about nuts, milk and gluten: we are \
                    happy to help. The guest network is Terrace, its password is on the back of \
                    the menu. We close at 10:30 pm; last orders are half an hour before that. \
                    See you!";
/// A wide logo in one color.
const LOGO: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 60 40'>\
                    <rect width='60' height='40' rx='8' fill='#d32'/>\
                    <circle cx='30' cy='20' r='12' fill='#fff'/></svg>";
/// The largest image whose size is searched.
const MAX_SIZE: u32 = 2_000;

pub struct Case {
    pub name: String,
    pub spec: Spec,
    pub size: u32,
}

impl Case {
    pub fn new(name: impl Into<String>, style: QrStyle, size: u32) -> Self {
        Self::with_content(name, style, size, SHORT)
    }

    pub fn with_content(name: impl Into<String>, style: QrStyle, size: u32, content: &str) -> Self {
        let logo = style.logo.map(|_| Logo::parse_upload(LOGO.as_bytes()).unwrap());
        Self { name: name.into(), spec: Spec { content: content.to_owned(), style, logo }, size }
    }

    /// Whether it has a text of 300 characters, for versions 11 to 20.
    pub fn is_long(&self) -> bool {
        self.spec.content == TEXT
    }

    /// Whether it has nothing but squares.
    pub fn is_plain(&self) -> bool {
        let style = &self.spec.style;
        style.dot_style == DotStyle::Square && style.corner_style == CornerStyle::Square
    }

    /// In the smallest size that is allowed.
    fn smallest(self) -> Self {
        let sizes: Vec<u32> = (100..MAX_SIZE).collect();
        let first = sizes.partition_point(|&size| qr::check(&self.spec, size).is_err());
        Self { size: sizes[first], ..self }
    }
}

pub fn color(text: &str) -> Color {
    text.parse().unwrap()
}

/// Every shape of modules and of position markers at every level, with contents of 28, 100 and 300
/// characters, in the smallest size that is allowed and in 200, 300 and 1,000 px.
pub fn product() -> Vec<Case> {
    let mut cases = Vec::new();
    for &dot_style in DotStyle::EVERY {
        for &corner_style in CornerStyle::EVERY {
            for &error_correction in ErrorCorrection::EVERY {
                let name = [dot_style.as_str(), corner_style.as_str(), error_correction.as_str()]
                    .join(" ");
                let style =
                    QrStyle { dot_style, corner_style, error_correction, ..QrStyle::default() };
                for content in [SHORT, URL, TEXT] {
                    let name = format!("{name} {} characters", content.len());
                    let sized = |size| Case::with_content(&*name, style.clone(), size, content);
                    cases.push(sized(0).smallest());
                    let larger = [200, 300, 1_000].map(sized).into_iter();
                    cases.extend(larger.filter(|case| qr::check(&case.spec, case.size).is_ok()));
                }
            }
        }
    }
    cases
}

/// Every shape at every level once, in contents and sizes drawn from the product: always the same.
pub fn sample() -> Vec<Case> {
    let mut state = 1_u32;
    let mut cases: Vec<Case> = Vec::new();
    let mut choices = 0;
    let style_of = |case: &Case| {
        let QrStyle { dot_style, corner_style, error_correction, .. } = case.spec.style;
        (dot_style, corner_style, error_correction)
    };
    for case in product() {
        // Each of a style's cases replaces the choice with a chance that makes all equally likely.
        let is_new = cases.last().is_none_or(|last| style_of(last) != style_of(&case));
        choices = if is_new { 1 } else { choices + 1 };
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if is_new {
            cases.push(case);
        } else if (state >> 16).is_multiple_of(choices) {
            *cases.last_mut().unwrap() = case;
        }
    }
    cases
}

/// Everything else that a style can have.
pub fn decorations() -> Vec<Case> {
    let mut cases = Vec::new();
    for &dot_style in DotStyle::EVERY {
        for (name, style) in decorated(&QrStyle { dot_style, ..QrStyle::default() }) {
            let name = format!("{} {name}", dot_style.as_str());
            cases.push(Case::new(&*name, style.clone(), 300));
            cases.push(Case::new(name, style, 0).smallest());
        }
    }
    cases
}

fn decorated(plain: &QrStyle) -> Vec<(&'static str, QrStyle)> {
    let ramp = |kind, angle| Some(Gradient { kind, color: color("#0a7d4f"), angle });
    let framed =
        Frame { caption: "Scan me".to_owned(), color: Color::BLACK, text_color: Color::WHITE };
    let frame = || Some(framed.clone());
    let logo = |size_percent, clears| {
        let logo = LogoId::from_bytes(&[0; 16]).unwrap();
        Some(LogoPlacement { logo, size_percent, clears })
    };
    let purple = QrStyle { color: color("#5b1e8c"), ..plain.clone() };
    let colored = |modules, background| QrStyle {
        color: color(modules),
        background_color: Some(color(background)),
        ..plain.clone()
    };
    let corners = QrStyle {
        corner_color: Some(color("#c0261b")),
        corner_dot_color: Some(color("#1d3a8a")),
        corner_style: CornerStyle::Dot,
        ..plain.clone()
    };
    vec![
        ("linear", QrStyle { gradient: ramp(GradientKind::Linear, 45), ..purple.clone() }),
        ("radial", QrStyle { gradient: ramp(GradientKind::Radial, 0), ..purple }),
        ("corners", corners),
        ("transparent", QrStyle { background_color: None, ..plain.clone() }),
        // 3.03:1, and 4.54:1 for smaller modules.
        ("low contrast", colored("#949494", "#ffffff")),
        ("fair contrast", colored("#767676", "#ffffff")),
        ("low contrast in color", colored("#d1495b", "#f5e663")),
        ("frame", QrStyle { frame: frame(), ..plain.clone() }),
        ("narrow frame", QrStyle { frame: frame(), margin: 2, ..plain.clone() }),
        ("no margin", QrStyle { margin: 0, ..plain.clone() }),
        ("logo", QrStyle { logo: logo(22, false), ..plain.clone() }),
        ("clearing logo", QrStyle { logo: logo(20, true), ..plain.clone() }),
    ]
}

/// The largest logos that the check allows, at each level.
pub fn largest_logos() -> Vec<Case> {
    let mut cases = Vec::new();
    for &error_correction in ErrorCorrection::EVERY {
        for clears in [false, true] {
            for content in [SHORT, URL] {
                let sized = |size_percent| {
                    let logo = LogoId::from_bytes(&[0; 16]).unwrap();
                    let logo = Some(LogoPlacement { logo, size_percent, clears });
                    let style = QrStyle { error_correction, logo, ..QrStyle::default() };
                    Case::with_content("", style, 400, content)
                };
                let is_allowed = |&size: &u32| qr::check(&sized(size).spec, 400).is_ok();
                let Some(largest) = (1..=50).rev().find(is_allowed) else { continue };
                let name = format!("{} logo of {largest} %", error_correction.as_str());
                assert!(!is_allowed(&(largest + 1)), "{name}");
                cases.push(Case { name, ..sized(largest) });
            }
        }
    }
    cases
}
