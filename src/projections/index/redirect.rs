//! A link as the redirect path sees it: worked out once per version, read by each visit.

use crate::domain::click::ClickTarget;
use crate::domain::destination::Location;
use crate::domain::ids::LinkId;
use crate::domain::link::{Content, Forwarding, Gates, Link};
use crate::domain::rule::app_url::{AppLink, AppLinks};
use crate::domain::rule::compiled::CompiledRules;
use crate::domain::rule::target::Way as RuleWay;

/// See the module.
#[derive(Debug)]
pub struct Redirect {
    /// Where it leads, unless a rule or an app comes before.
    pub way: Way,
    /// Whether a visitor's own query is handed on.
    pub forward_query: bool,
    /// What a visit has to look at beside; nothing for nearly all links.
    pub special: Option<Box<LinkFeatures>>,
}

/// One place that a link leads to.
#[derive(Debug)]
pub struct Way {
    /// The address, with the link's UTM parameters.
    pub location: Location,
    /// What a click that is led there says of the link.
    pub target: ClickTarget,
}

/// What not every link has.
#[derive(Debug)]
pub struct LinkFeatures {
    /// Which link it is.
    pub id: LinkId,
    /// Which version of it.
    pub version: u32,
    /// In which way visitors are sent on.
    pub forwarding: Forwarding,
    /// What has to hold for a visit to be let through.
    pub gates: Gates,
    /// Whether it leads to a page of the service's own.
    pub is_page: bool,
    /// Whether readers of social networks are shown what it says of itself.
    pub is_shared: bool,
    /// Its rules; none for none.
    pub rules: Option<CompiledRouting>,
    /// What opens where no rule fits.
    pub apps: Apps,
}

/// The rules of a link, and all that they lead to.
pub struct CompiledRouting {
    /// Chooses.
    pub rules: CompiledRules,
    /// What is chosen from, in the order of [`Chosen::destination`](
    /// crate::domain::rule::compiled::Chosen::destination).
    pub ways: Box<[Way]>,
    /// The apps of each rule.
    pub apps: Box<[Apps]>,
}

/// The apps that open instead of a page, by system.
#[derive(Debug, Default)]
pub struct Apps {
    ios: Option<App>,
    android: Option<App>,
}

/// The app of one system.
#[derive(Debug)]
pub struct App {
    /// Opens it, or leads to where it is to be had.
    pub way: Way,
    /// Where it is to be had, in case that it doesn't open; the browser can't tell.
    pub store: Option<Box<str>>,
}

impl std::fmt::Debug for CompiledRouting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledRouting").field("ways", &self.ways).finish_non_exhaustive()
    }
}

impl Redirect {
    /// Of a link; `None` where what stands in the log is no address.
    pub fn new(link: &Link) -> Option<Self> {
        let fields = &link.fields;
        let way = match &fields.content {
            Content::Url(destination) => {
                Way::new(link, destination.as_str(), Location::new(destination, &fields.utm)?)
            }
            Content::Page(_) => {
                Way::new(link, "", Location::verbatim(&format!("/l/{}", link.slug)))
            }
        };
        let special = LinkFeatures::new(link)?;
        let special = special.is_needed().then(|| Box::new(special));
        Some(Self { way, forward_query: fields.forward_query, special })
    }

    /// How much memory its texts take, in bytes.
    pub fn bytes(&self) -> usize {
        self.way.bytes() + self.special.as_ref().map_or(0, |special| special.bytes())
    }
}

impl Way {
    fn new(link: &Link, destination: &str, location: Location) -> Self {
        let (workspace, domain) = (link.workspace, &link.fields.domain);
        let address = location.as_str();
        let target =
            ClickTarget::new(workspace, link.id, link.version, domain, destination, address);
        Self { location, target }
    }

    fn by(self, rule: &str, variant: &str) -> Self {
        Self { target: self.target.by(rule, variant), ..self }
    }

    fn bytes(&self) -> usize {
        self.location.as_str().len() + self.target.part.len()
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
        let ways = self.rules.iter().flat_map(|ruled| &ruled.ways);
        let ways: usize = ways.map(|way| way.bytes() + size_of::<Way>()).sum();
        // Rules, compiled, take about as much as what they lead to.
        size_of::<Self>() + 2 * ways
    }
}

impl CompiledRouting {
    fn new(link: &Link) -> Option<Self> {
        let (mut ways, mut apps) = (Vec::new(), Vec::new());
        for rule in link.fields.routing.rules.as_slice() {
            let id = rule.id.to_string();
            let way = |destination: &crate::domain::destination::Destination, variant: &str| {
                let location = Location::new(destination, &link.fields.utm)?;
                Some(Way::new(link, destination.as_str(), location).by(&id, variant))
            };
            match &rule.target.way {
                RuleWay::Destination(destination) => ways.push(way(destination, "")?),
                RuleWay::Split(split) => {
                    for variant in &split.variants {
                        ways.push(way(&variant.destination, &variant.name)?);
                    }
                }
            }
            apps.push(Apps::new(link, &rule.target.app, &id));
        }
        let rules = CompiledRules::new(&link.fields.routing.rules);
        Some(Self { rules, ways: ways.into(), apps: apps.into() })
    }
}

impl Apps {
    fn new(link: &Link, apps: &AppLinks, rule: &str) -> Self {
        Self { ios: App::new(link, &apps.ios, rule), android: App::new(link, &apps.android, rule) }
    }

    /// The app of a system, by the name that clicks record.
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
        // A web address shows a page of its own where the app is missing.
        let store = app.store.as_ref().filter(|_| app.url.is_some() && !first.is_web());
        let way = Way::new(link, first.as_str(), Location::verbatim(first.as_str()));
        Some(Self { way: way.by(rule, ""), store: store.map(|store| store.as_str().into()) })
    }
}
