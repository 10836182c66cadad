//! SVG logos: only shapes, and no more than are quickly drawn.
//!
//! What could do harm is refused with the reason, so that its author can remove it. What is left is
//! parsed and serialized by usvg: elements, attributes, styles and comments that it doesn't know
//! are gone.

use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId, ParsingOptions};
use resvg::usvg::{Group, ImageHrefResolver, Node as Drawn, Options, Path, Tree, WriteOptions};

use super::logo::LogoError;

const SVG: &str = "http://www.w3.org/2000/svg";
/// The XML parser and the renderer call themselves for each level.
const MAX_DEPTH: usize = 64;
const MAX_NODES: u32 = 10_000;
/// Each rule is compared with each element.
const MAX_CSS_BYTES: usize = 16 << 10;
/// The maximum number of shapes after all references are followed, and of 8 bytes of paths.
const MAX_WEIGHT: u64 = 50_000;
/// How many times as heavy everything is if something is stroked: the parser computes the outlines
/// of strokes.
const STROKED_WEIGHT: u64 = 8;
/// Each needs a canvas of its own while it is drawn.
const MAX_LAYERS: usize = 50;
/// The maximum number of lines and curves. Outlines of strokes take about ten times as long.
const MAX_SEGMENTS: usize = 20_000;
const STROKED_SEGMENT: usize = 10;
/// How far all lines and curves may go up and down, in heights of the logo: each row of pixels that
/// they cross takes time.
const MAX_TRAVEL: f32 = 2_000.0;
/// More digits before the point, or an exponent: curves of such sizes need too many segments.
const MAX_DIGITS: usize = 6;

const ALLOWED: &[&str] = &[
    "svg",
    "g",
    "defs",
    "symbol",
    "use",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "mask",
    "title",
    "desc",
    "metadata",
    "style",
    "switch",
    "view",
];
const GEOMETRY: &[&str] = &[
    "d",
    "points",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "fx",
    "fy",
    "fr",
    "r",
    "rx",
    "ry",
    "width",
    "height",
    "transform",
    "gradientTransform",
    "viewBox",
    "stroke-width",
    "stroke-miterlimit",
];

type Result<T> = std::result::Result<T, LogoError>;

fn refused<T>(reason: impl Into<String>) -> Result<T> {
    Err(LogoError(reason.into().into()))
}

/// The SVG that is stored, and what it shows.
pub fn sanitize(text: &str) -> Result<(String, Tree)> {
    check_nesting(text)?;
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES };
    let document = Document::parse_with_options(text, options)
        .or_else(|error| refused(format!("is not valid XML: {error}")))?;
    if document.root_element().tag_name().namespace() != Some(SVG) {
        return refused(format!("must begin with <svg xmlns=\"{SVG}\">"));
    }
    let mut css = String::new();
    for node in document.descendants() {
        check_node(node, &mut css)?;
    }
    if css.len() > MAX_CSS_BYTES {
        return refused("must have at most 16 KiB of style sheets");
    }
    check_references(&css, "style sheet")?;
    check_weight(&document, &css)?;
    let tree = Tree::from_xmltree(&document, &usvg_options())
        .or_else(|error| refused(format!("cannot be read: {error}")))?;
    check_drawing(tree.root(), &mut Effort::of(&tree))?;
    if tree.root().children().is_empty() {
        return refused("has no shapes");
    }
    let prefix = Some("logo-".to_owned());
    let written = tree.to_string(&WriteOptions { id_prefix: prefix, ..WriteOptions::default() });
    // What is shown from now on is what is stored.
    let tree =
        parse_stored(&written).ok_or(LogoError("cannot be written as plain paths".into()))?;
    Ok((written, tree))
}

/// Parses what [`sanitize`] returned.
pub fn parse_stored(text: &str) -> Option<Tree> {
    Tree::from_str(text, &usvg_options()).ok()
}

fn usvg_options() -> Options<'static> {
    let image_href_resolver = ImageHrefResolver {
        resolve_data: Box::new(|_, _, _| None),
        resolve_string: Box::new(|_, _| None),
    };
    Options { image_href_resolver, ..Options::default() }
}

/// Refuses deep nesting before the XML parser sees it, which would overflow the stack, and what
/// declares entities.
fn check_nesting(text: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let after = |end: &str| tag.split_once(end).map_or("", |(_, rest)| rest);
        rest = if tag.starts_with("!--") {
            after("-->")
        } else if tag.starts_with("![CDATA[") {
            after("]]>")
        } else if tag.starts_with('?') {
            if tag.starts_with("?xml-stylesheet") {
                return refused("must not refer to a style sheet in another file");
            }
            after("?>")
        } else if tag.starts_with('!') {
            if tag.split('>').next().is_some_and(|declaration| declaration.contains('[')) {
                return refused("must not declare entities; save it as plain SVG");
            }
            after(">")
        } else if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            after(">")
        } else {
            let (is_empty, rest) = end_of_tag(tag);
            depth += usize::from(!is_empty);
            rest
        };
        if depth > MAX_DEPTH {
            return refused(format!("must not be nested deeper than {MAX_DEPTH} levels"));
        }
    }
    Ok(())
}

/// Whether a tag is empty (`<a/>`), and what follows it.
fn end_of_tag(tag: &str) -> (bool, &str) {
    let mut quote = None;
    let mut last = b' ';
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return (last == b'/', &tag[at + 1..]),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        last = byte;
    }
    (false, "")
}

fn check_node(node: Node<'_, '_>, css: &mut String) -> Result<()> {
    if !node.is_element() {
        return Ok(());
    }
    let name = node.tag_name().name();
    let is_svg = node.tag_name().namespace() == Some(SVG);
    let reason = match name {
        "script" => "must not have scripts",
        "foreignObject" => "must not have <foreignObject>",
        "text" | "tspan" | "textPath" if is_svg => "must not have text: convert it to paths",
        "image" | "feImage" if is_svg => "must not have pictures: upload the picture instead",
        "a" if is_svg => "must not have links",
        "animate" | "animateMotion" | "animateTransform" | "set" if is_svg => {
            "must not have animations"
        }
        "filter" if is_svg => "must not have filters, such as shadows: remove or flatten them",
        _ if is_svg && !ALLOWED.contains(&name) => {
            return refused(format!("must not have <{name}>: convert it to paths"));
        }
        _ => "",
    };
    if !reason.is_empty() {
        return refused(reason);
    }
    if is_svg && name == "style" {
        css.extend(node.children().filter_map(|child| child.text()));
    }
    for attribute in node.attributes() {
        let (name, value) = (attribute.name(), attribute.value());
        if name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("on")) {
            return refused(format!("must not have event handlers ({name})"));
        }
        if name == "href" && !value.trim_start().starts_with('#') && is_svg {
            return refused("must not refer to anything outside of itself (href)");
        }
        if is_svg {
            check_references(value, name)?;
        }
        if GEOMETRY.contains(&name) && has_huge_number(value) {
            return refused(format!("must have coordinates below 1,000,000 ({name})"));
        }
    }
    Ok(())
}

/// Refuses references to anything but the document itself.
fn check_references(value: &str, place: &str) -> Result<()> {
    let lower = value.to_ascii_lowercase();
    let is_outside = |target: &str| {
        let target = target.trim_start().trim_start_matches(['"', '\'']);
        !target.starts_with('#')
    };
    if lower.contains("@import") || lower.split("url(").skip(1).any(is_outside) {
        return refused(format!("must not refer to anything outside of itself ({place})"));
    }
    Ok(())
}

/// The ids that a value refers to: `#a`, `url(#a)`.
fn references(value: &str) -> impl Iterator<Item = &str> {
    value
        .split('#')
        .skip(1)
        .map(|rest| rest.split([')', '"', '\'', ';', ' ', ',']).next().unwrap_or_default())
}

fn has_huge_number(value: &str) -> bool {
    let mut digits = 0;
    let mut is_fraction = false;
    let mut last = b' ';
    for byte in value.bytes() {
        match byte {
            b'0'..=b'9' if !is_fraction => digits += 1,
            b'0'..=b'9' => {
                if last == b'e' {
                    return true;
                }
            }
            b'.' => (is_fraction, digits) = (true, 0),
            b'+' if last == b'e' => return true,
            _ => (is_fraction, digits) = (false, 0),
        }
        if digits > MAX_DIGITS || (last == b'e' && byte.is_ascii_digit()) {
            return true;
        }
        last = byte.to_ascii_lowercase();
    }
    false
}

/// Refuses documents that grow when their references are followed.
fn check_weight(document: &Document<'_>, css: &str) -> Result<()> {
    let ids = document
        .descendants()
        .filter_map(|node| Some((node.attribute("id")?, node)))
        .collect::<HashMap<_, _>>();
    let mut weights = Weights { ids, known: HashMap::new() };
    let mut weight = weights.of(document.root_element(), 0)?;
    for id in references(css) {
        // A rule may match each element.
        if let Some(&node) = weights.ids.get(id) {
            let elements = document.descendants().filter(Node::is_element).count() as u64;
            weight = weight.saturating_add(elements.saturating_mul(weights.of(node, 0)?));
        }
    }
    let is_stroke = |name: &str, value: &str| {
        (name == "stroke" && value.trim() != "none")
            || (name == "style" && value.contains("stroke"))
    };
    let mut attributes = document.descendants().flat_map(|node| node.attributes());
    let is_stroked = css.contains("stroke")
        || attributes.any(|attribute| is_stroke(attribute.name(), attribute.value()));
    if weight.saturating_mul(if is_stroked { STROKED_WEIGHT } else { 1 }) > MAX_WEIGHT {
        return refused("is too complex: simplify it to fewer shapes");
    }
    Ok(())
}

/// How much there is to draw of each element.
struct Weights<'a, 'input> {
    ids: HashMap<&'a str, Node<'a, 'input>>,
    known: HashMap<NodeId, u64>,
}

impl<'a, 'input> Weights<'a, 'input> {
    fn of(&mut self, node: Node<'a, 'input>, depth: usize) -> Result<u64> {
        if let Some(&weight) = self.known.get(&node.id()) {
            return Ok(weight);
        }
        // References in a circle come here, too.
        if depth > 2 * MAX_DEPTH {
            return refused("must not have references in a circle, or nested too deeply");
        }
        let mut weight = 1_u64;
        for attribute in node.attributes() {
            let value = attribute.value();
            if matches!(attribute.name(), "d" | "points") {
                weight = weight.saturating_add(value.len() as u64 / 8);
                continue;
            }
            for id in references(value) {
                if let Some(&target) = self.ids.get(id) {
                    weight = weight.saturating_add(self.of(target, depth + 1)?);
                }
            }
        }
        for child in node.children().filter(Node::is_element) {
            weight = weight.saturating_add(self.of(child, depth + 1)?);
        }
        self.known.insert(node.id(), weight);
        Ok(weight)
    }
}

/// What takes time to draw.
struct Effort {
    height: f32,
    layers: usize,
    segments: usize,
    travel: f32,
}

impl Effort {
    fn of(tree: &Tree) -> Self {
        Self { height: tree.size().height(), layers: 0, segments: 0, travel: 0.0 }
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let is_stroked = path.stroke().is_some();
        let times = if is_stroked { STROKED_SEGMENT } else { 1 };
        self.segments = self.segments.saturating_add(path.data().verbs().len() * times);
        let mut points = path.data().points().to_vec();
        path.abs_transform().map_points(&mut points);
        let steps = points.windows(2).map(|pair| (pair[1].y - pair[0].y).abs());
        // A stroke has two sides.
        let sides = if is_stroked { 2.0 } else { 1.0 };
        self.travel += steps.sum::<f32>() * sides / self.height;
        if self.segments > MAX_SEGMENTS || self.travel.is_nan() || self.travel > MAX_TRAVEL {
            return refused("is too complex: simplify its paths, strokes above all");
        }
        Ok(())
    }
}

fn check_drawing(group: &Group, effort: &mut Effort) -> Result<()> {
    effort.layers += usize::from(group.should_isolate());
    if effort.layers > MAX_LAYERS {
        return refused(format!(
            "must have at most {MAX_LAYERS} groups with opacity, masks or clips: flatten them"
        ));
    }
    for child in group.children() {
        match child {
            Drawn::Group(group) => check_drawing(group, effort)?,
            Drawn::Path(path) => {
                if path.stroke().is_some_and(|stroke| stroke.dasharray().is_some()) {
                    return refused("must not have dashed lines: convert them to paths");
                }
                effort.add(path)?;
            }
            Drawn::Image(_) | Drawn::Text(_) => {
                return refused("must not have pictures or text: convert them to paths");
            }
        }
    }
    Ok(())
}
