//! A link compiled for the redirect path: once per version, for use by each visit.

use crate::domain::click::ClickTarget;
use crate::domain::destination::Location;
use crate::domain::ids::LinkId;
use crate::domain::link::{Content, Forwarding, Gates, Link};
use crate::domain::rule::app_url::{AppLink, AppLinks};
use crate::domain::rule::compiled::CompiledRules;
use crate::domain::rule::target::TargetKind;

/// A link compiled for the redirect path.
#[derive(Debug)]
pub struct Redirect {
    /// The target, unless a rule or an app takes precedence.
    pub target: RedirectTarget,
    /// Whether the visitor's query string is appended to the target.
    pub forward_query: bool,
    /// Features that a visit has to check; `None` for nearly all links.
    pub features: Option<Box<LinkFeatures>>,
}

/// A target of a link.
#[derive(Debug)]
pub struct RedirectTarget {
    /// The location, with the link's UTM parameters.
    pub location: Location,
    /// The fields of a click on this target.
    pub click_target: ClickTarget,
}

/// The features that not every link has.
#[derive(Debug)]
pub struct LinkFeatures {
    /// The link's ID.
    pub id: LinkId,
    /// The link's version.
    pub version: u32,
    /// How visitors are redirected.
    pub forwarding: Forwarding,
    /// The conditions for a visit.
    pub gates: Gates,
    /// Whether the link shows a page of the service itself.
    pub is_page: bool,
    /// Whether crawlers of social networks get the link's own preview.
    pub is_shared: bool,
    /// The compiled rules, if any.
    pub rules: Option<CompiledRouting>,
    /// The apps to open if no rule matches.
    pub apps: Apps,
}

/// The rules of a link and their targets.
pub struct CompiledRouting {
    /// The rules.
    pub rules: CompiledRules,
    /// The targets, in the order of
    /// [`Chosen::destination`](crate::domain::rule::compiled::Chosen::destination).
    pub targets: Box<[RedirectTarget]>,
    /// The apps of each rule.
    pub apps: Box<[Apps]>,
}

/// The apps to open instead of a page, by operating system.
#[derive(Debug, Default)]
pub struct Apps {
    ios: Option<App>,
    android: Option<App>,
}

/// The app for one operating system.
#[derive(Debug)]
pub struct App {
    /// The target that opens the app, or its store page.
    pub target: RedirectTarget,
    /// The store page, in case the app does not open, which browsers cannot detect.
    pub store: Option<Box<str>>,
}

impl std::fmt::Debug for CompiledRouting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledRouting").field("ways", &self.targets).finish_non_exhaustive()
    }
}

impl Redirect {
    /// Compiles a link; `None` if its logged address is invalid.
    pub fn new(link: &Link) -> Option<Self> {
        let fields = &link.fields;
        let target = match &fields.content {
            Content::Url(destination) => RedirectTarget::new(
                link,
                destination.as_str(),
                Location::new(destination, &fields.utm)?,
            ),
            Content::Page(_) => {
                RedirectTarget::new(link, "", Location::verbatim(&format!("/l/{}", link.slug)))
            }
        };
        let features = LinkFeatures::new(link)?;
        let features = features.is_needed().then(|| Box::new(features));
        Some(Self { target, forward_query: fields.forward_query, features })
    }

    /// The memory used by its text, in bytes.
    pub fn bytes(&self) -> usize {
        self.target.bytes() + self.features.as_ref().map_or(0, |features| features.bytes())
    }
}

impl RedirectTarget {
    fn new(link: &Link, destination: &str, location: Location) -> Self {
        let (workspace, domain) = (link.workspace, &link.fields.domain);
        let address = location.as_str();
        let click_target =
            ClickTarget::new(workspace, link.id, link.version, domain, destination, address);
        Self { location, click_target: click_target.labelled(&link.fields.labels) }
    }

    fn by(self, rule: &str, variant: &str) -> Self {
        Self { click_target: self.click_target.by(rule, variant), ..self }
    }

    fn bytes(&self) -> usize {
        self.location.as_str().len() + self.click_target.part.len()
    }
}

impl LinkFeatures {
    fn new(link: &Link) -> Option<Self> {
        let fields = &link.fields;
        let rules = &fields.routing.rules;
        Some(Self {
            id: link.id,
            version: link.version,
            forwarding: fields.forwarding.clone(),
            gates: fields.gates.clone(),
            is_page: matches!(fields.content, Content::Page(_)),
            is_shared: fields.social.preview,
            rules: if rules.is_empty() { None } else { Some(CompiledRouting::new(link)?) },
            apps: Apps::new(link, &fields.routing.app, ""),
        })
    }

    fn is_needed(&self) -> bool {
        self.is_page
            || self.is_shared
            || self.rules.is_some()
            || !self.apps.is_empty()
            || self.forwarding != Forwarding::default()
            || self.gates != Gates::default()
    }

    fn bytes(&self) -> usize {
        let targets = self.rules.iter().flat_map(|routing| &routing.targets);
        let targets: usize =
            targets.map(|target| target.bytes() + size_of::<RedirectTarget>()).sum();
        // Compiled rules take about as much memory as their targets.
        size_of::<Self>() + 2 * targets
    }
}

impl CompiledRouting {
    fn new(link: &Link) -> Option<Self> {
        let (mut targets, mut apps) = (Vec::new(), Vec::new());
        for rule in link.fields.routing.rules.as_slice() {
            let id = rule.id.to_string();
            let target = |destination: &crate::domain::destination::Destination, variant: &str| {
                let location = Location::new(destination, &link.fields.utm)?;
                Some(RedirectTarget::new(link, destination.as_str(), location).by(&id, variant))
            };
            match &rule.target.kind {
                TargetKind::Destination(destination) => targets.push(target(destination, "")?),
                TargetKind::Split(split) => {
                    for variant in &split.variants {
                        targets.push(target(&variant.destination, &variant.name)?);
                    }
                }
            }
            apps.push(Apps::new(link, &rule.target.app, &id));
        }
        let rules = CompiledRules::new(&link.fields.routing.rules);
        Some(Self { rules, targets: targets.into(), apps: apps.into() })
    }
}

impl Apps {
    fn new(link: &Link, apps: &AppLinks, rule: &str) -> Self {
        Self { ios: App::new(link, &apps.ios, rule), android: App::new(link, &apps.android, rule) }
    }

    /// The app for an operating system, by its name in clicks.
    pub fn on(&self, os: &str) -> Option<&App> {
        match os {
            "iOS" => self.ios.as_ref(),
            "Android" => self.android.as_ref(),
            _ => None,
        }
    }

    const fn is_empty(&self) -> bool {
        self.ios.is_none() && self.android.is_none()
    }
}

impl App {
    fn new(link: &Link, app: &AppLink, rule: &str) -> Option<Self> {
        let first = app.url.as_ref().or(app.store.as_ref())?;
        // A web address shows a page by itself if the app is missing.
        let store = app.store.as_ref().filter(|_| app.url.is_some() && !first.is_web());
        let target = RedirectTarget::new(link, first.as_str(), Location::verbatim(first.as_str()));
        Some(Self { target: target.by(rule, ""), store: store.map(|store| store.as_str().into()) })
    }
}
