//! A link as the redirect path sees it: worked out once per version, read by each visit.

use crate::domain::click::ClickTarget;
use crate::domain::destination::Location;
use crate::domain::ids::LinkId;
use crate::domain::link::{Content, Forwarding, Gates, Link};
use crate::domain::rule::app_url::AppLinks;
use crate::domain::rule::compiled::CompiledRules;
use crate::domain::rule::target::{Target, Way as RuleWay};

/// See the module.
#[derive(Debug)]
pub struct Redirect {
    /// Where it leads, unless a rule says otherwise.
    pub way: Way,
    /// Whether a visitor's own query is handed on.
    pub forward_query: bool,
    /// What a visit has to look at beside; nothing for nearly all links.
    pub special: Option<Box<Special>>,
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
pub struct Special {
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
    /// Its rules; none for none.
    pub rules: Option<Ruled>,
    /// What opens where no rule fits.
    pub app: AppLinks,
}

/// The rules of a link, and all that they lead to.
pub struct Ruled {
    /// Chooses.
    pub rules: CompiledRules,
    /// What is chosen from, in the order of [`Chosen::destination`](
    /// crate::domain::rule::compiled::Chosen::destination).
    pub ways: Box<[Way]>,
    /// The apps of each rule.
    pub apps: Box<[AppLinks]>,
}

impl std::fmt::Debug for Ruled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ruled").field("ways", &self.ways).finish_non_exhaustive()
    }
}

impl Redirect {
    /// Of a link; `None` where what stands in the log is no address.
    pub fn new(link: &Link) -> Option<Self> {
        let fields = &link.fields;
        let way = match &fields.content {
            Content::Url(destination) => Way::new(link, destination, "", "")?,
            Content::Page(_) => Way::to_page(link),
        };
        let special = Special::new(link)?;
        let special = special.is_needed().then(|| Box::new(special));
        Some(Self { way, forward_query: fields.forward_query, special })
    }

    /// How much memory its texts take, in bytes.
    pub fn bytes(&self) -> usize {
        let special = self.special.as_ref().map_or(0, |special| special.bytes());
        self.way.bytes() + special
    }
}

impl Way {
    fn new(
        link: &Link,
        destination: &crate::domain::destination::Destination,
        rule: &str,
        variant: &str,
    ) -> Option<Self> {
        let location = Location::new(destination, &link.fields.utm)?;
        let (workspace, domain) = (link.workspace, &link.fields.domain);
        let (wanted, address) = (destination.as_str(), location.as_str());
        let target = ClickTarget::new(workspace, link.id, link.version, domain, wanted, address);
        Some(Self { target: target.by(rule, variant), location })
    }

    /// The link's own page.
    fn to_page(link: &Link) -> Self {
        let location = Location::to_page(&link.slug);
        let (workspace, domain) = (link.workspace, &link.fields.domain);
        let target = ClickTarget::new(workspace, link.id, link.version, domain, "", "");
        Self { location, target }
    }

    fn bytes(&self) -> usize {
        self.location.as_str().len() + self.target.part.len()
    }
}

impl Special {
    /// What a way takes beside its texts.
    const WAY_BYTES: usize = 96;

    fn new(link: &Link) -> Option<Self> {
        let fields = &link.fields;
        let rules = &fields.routing.rules;
        Some(Self {
            id: link.id,
            version: link.version,
            forwarding: fields.forwarding.clone(),
            gates: fields.gates.clone(),
            is_page: matches!(fields.content, Content::Page(_)),
            rules: if rules.is_empty() { None } else { Some(Ruled::new(link)?) },
            app: fields.routing.app.clone(),
        })
    }

    fn is_needed(&self) -> bool {
        self.is_page
            || self.rules.is_some()
            || !self.app.is_empty()
            || self.forwarding != Forwarding::default()
            || self.gates != Gates::default()
    }

    fn bytes(&self) -> usize {
        let ways = self.rules.iter().flat_map(|ruled| &ruled.ways);
        let ways: usize = ways.map(|way| way.bytes() + Self::WAY_BYTES).sum();
        // Rules, compiled, take about as much as what they lead to.
        size_of::<Self>() + 2 * ways
    }
}

impl Ruled {
    fn new(link: &Link) -> Option<Self> {
        let rules = &link.fields.routing.rules;
        let mut ways = Vec::new();
        for rule in rules.as_slice() {
            let Target { way, .. } = &rule.target;
            let id = rule.id.to_string();
            match way {
                RuleWay::Destination(destination) => {
                    ways.push(Way::new(link, destination, &id, "")?)
                }
                RuleWay::Split(split) => {
                    for variant in &split.variants {
                        ways.push(Way::new(link, &variant.destination, &id, &variant.name)?);
                    }
                }
            }
        }
        let apps = rules.as_slice().iter().map(|rule| rule.target.app.clone());
        Some(Self { rules: CompiledRules::new(rules), ways: ways.into(), apps: apps.collect() })
    }
}
