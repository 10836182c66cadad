//! The requests: rendered before the measurement, identical for both servers and all runs.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use crate::agents::{CRAWLERS, Profile};

/// Requests in a pool that is not said to be larger; the connections walk through it again and
/// again.
const POOL: usize = 65_536;
/// The exponent of the law by which links are popular: the second gets half of the first.
const ZIPF: f64 = 1.0;
const CRAWLER_SHARE: f64 = 0.05;
const REFERRER_SHARE: f64 = 0.65;
const SEED: u64 = 0x0073_6c75_676c_696e;

/// The host of requests to the servers of a run, the same whatever their ports.
const HOST: &str = "localhost";
const ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The first octets of addresses that no private or special network shares.
const RESERVED_OCTETS: &[u8] = &[10, 100, 127, 169, 172, 192, 198, 203];

const REFERRERS: &[&str] = &[
    "https://www.google.com/",
    "https://www.google.de/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://search.brave.com/",
    "https://www.facebook.com/",
    "https://l.facebook.com/",
    "https://l.instagram.com/",
    "https://t.co/",
    "https://x.com/",
    "https://www.linkedin.com/",
    "https://www.reddit.com/",
    "https://old.reddit.com/r/rust/comments/1c5x0yz/show/",
    "https://news.ycombinator.com/item?id=40012345",
    "https://www.youtube.com/",
    "https://mail.google.com/",
    "https://outlook.live.com/",
    "https://app.slack.com/",
    "https://web.telegram.org/",
    "https://github.com/",
    "https://lobste.rs/",
];

/// The features of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Nothing.
    Plain,
    /// Five routing rules are evaluated.
    Ruled,
}

impl LinkKind {
    /// The slug of the link with this number: eight characters.
    pub fn slug(self, number: u32) -> String {
        let letter = match self {
            Self::Plain => 'b',
            Self::Ruled => 'r',
        };
        format!("{letter}{number:07}")
    }
}

/// The destination of a slug, at both servers.
pub fn destination(slug: &str) -> String {
    format!("https://www.example.com/articles/{slug}?utm_source=bench")
}

/// The placeholder in a user agent for the number that makes it unique.
const NUMBER: &str = "0000000000000000";

/// A pool of rendered requests.
#[derive(Debug)]
pub struct Traffic {
    bytes: Vec<u8>,
    /// Where each request ends, and the next one begins.
    ends: Vec<usize>,
    /// Where each request's [`NUMBER`] stands in it, if each is to come with an agent of its own;
    /// else empty.
    numbers: Vec<usize>,
    /// The number of such agents so far.
    unseen: AtomicU64,
    /// The requests in the pool.
    pub summary: Summary,
}

/// The content of a pool of requests.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Rendered requests.
    pub requests: usize,
    /// Different links among them.
    pub distinct_links: usize,
    /// Different user agents among them.
    pub distinct_agents: usize,
    /// Bytes of a request, on average.
    pub mean_bytes: usize,
}

impl Traffic {
    /// Renders requests for `links` links by visitors with these profiles.
    pub fn render(kind: LinkKind, links: u32, profiles: &[Profile]) -> Self {
        Self::render_pool(POOL, (kind, links), profiles, CRAWLER_SHARE)
    }

    /// The same with a pool of this many requests.
    pub fn render_many(requests: usize, links: u32, profiles: &[Profile]) -> Self {
        Self::render_pool(requests, (LinkKind::Plain, links), profiles, CRAWLER_SHARE)
    }

    /// Renders requests for these paths of a host, without their leading slash.
    pub fn render_paths(host: &str, paths: Vec<String>, profiles: &[Profile]) -> Self {
        Self::render_for(POOL, (host, paths), profiles, CRAWLER_SHARE)
    }

    fn render_pool(
        pool: usize,
        (kind, links): (LinkKind, u32),
        profiles: &[Profile],
        crawlers: f64,
    ) -> Self {
        let slugs = (0..links).map(|number| kind.slug(number)).collect();
        Self::render_for(pool, (HOST, slugs), profiles, crawlers)
    }

    fn render_for(
        pool: usize,
        (host, mut slugs): (&str, Vec<String>),
        profiles: &[Profile],
        crawlers: f64,
    ) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        // Popular links are not the oldest ones.
        slugs.shuffle(&mut random);
        let popularity =
            Cumulative::new((1_u32..).take(slugs.len()).map(|rank| f64::from(rank).powf(-ZIPF)));
        let browsers = Cumulative::new(profiles.iter().map(|profile| profile.weight));

        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(pool);
        let mut seen_links = HashSet::new();
        let mut seen_agents = HashSet::new();
        for _ in 0..pool {
            let link = popularity.draw(&mut random);
            let visitor = Visitor::draw(&mut random, profiles, &browsers, crawlers);
            seen_links.insert(link);
            seen_agents.insert(visitor.agent);
            visitor.render(host, &slugs[link], &mut bytes);
            ends.push(bytes.len());
        }
        let summary = Summary {
            requests: pool,
            distinct_links: seen_links.len(),
            distinct_agents: seen_agents.len(),
            mean_bytes: bytes.len() / pool,
        };
        Self { bytes, ends, numbers: Vec::new(), unseen: AtomicU64::new(0), summary }
    }

    /// The same visitors, each of whose requests comes with a user agent that nobody has sent
    /// before: the browser's, and a number.
    pub fn render_unseen(links: u32, profiles: &[Profile]) -> Self {
        let numbered = |profile: &Profile| Profile {
            user_agent: format!("{} build/{NUMBER}", profile.user_agent),
            language: profile.language.clone(),
            weight: profile.weight,
        };
        let profiles: Vec<_> = profiles.iter().map(numbered).collect();
        let mut traffic = Self::render_pool(POOL, (LinkKind::Plain, links), &profiles, 0.0);
        let find = |request: &[u8]| {
            let mut places = request.windows(NUMBER.len());
            places.position(|place| place == NUMBER.as_bytes())
        };
        traffic.numbers = (0..traffic.len())
            .map(|number| find(traffic.request(number)).unwrap_or_default())
            .collect();
        traffic
    }

    /// The number of requests in the pool.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The request with this number; after the last comes the first again.
    pub fn request(&self, number: usize) -> &[u8] {
        let number = number % self.ends.len();
        let start = number.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        &self.bytes[start..self.ends[number]]
    }
}

impl Traffic {
    /// The request with this number as it is sent: as it is in the pool, or in `scratch` with an
    /// agent that nobody has sent before.
    pub fn fresh<'a>(&'a self, number: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let request = self.request(number);
        let Some(place) = self.numbers.get(number % self.ends.len()) else { return request };
        let digits = format!("{:0width$x}", self.next_unseen(), width = NUMBER.len());
        scratch.clear();
        scratch.extend_from_slice(request);
        if let Some(place) = scratch.get_mut(*place..*place + NUMBER.len()) {
            place.copy_from_slice(digits.as_bytes());
        }
        scratch
    }

    /// Scattered, so that the agents have no more in common than the number's length.
    fn next_unseen(&self) -> u64 {
        // Odd, so the multiplication loses nothing: no two meet.
        self.unseen.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Who makes one request.
struct Visitor<'profiles> {
    agent: &'profiles str,
    /// Crawlers have none.
    language: Option<&'profiles str>,
    referrer: Option<&'static str>,
    address: Ipv4Addr,
}

impl<'profiles> Visitor<'profiles> {
    fn draw(
        random: &mut Xoshiro256PlusPlus,
        profiles: &'profiles [Profile],
        browsers: &Cumulative,
        crawlers: f64,
    ) -> Self {
        let address = public_address(random);
        if random.random_bool(crawlers) {
            return Self {
                agent: CRAWLERS.choose(random).copied().unwrap_or_default(),
                language: None,
                referrer: None,
                address,
            };
        }
        let profile = &profiles[browsers.draw(random)];
        let referrer = if random.random_bool(REFERRER_SHARE) {
            REFERRERS.choose(random).copied()
        } else {
            None
        };
        Self { agent: &profile.user_agent, language: Some(&profile.language), referrer, address }
    }

    fn render(&self, host: &str, slug: &str, into: &mut Vec<u8>) {
        let mut lines = vec![
            format!("GET /{slug} HTTP/1.1"),
            format!("Host: {host}"),
            format!("User-Agent: {}", self.agent),
            format!("Accept: {ACCEPT}"),
            "Accept-Encoding: gzip, deflate, br".to_owned(),
            format!("X-Forwarded-For: {}", self.address),
        ];
        if let Some(language) = self.language {
            let general = language.split('-').next().unwrap_or(language);
            lines.push(format!("Accept-Language: {language},{general};q=0.9,en;q=0.5"));
        }
        if let Some(referrer) = self.referrer {
            lines.push(format!("Referer: {referrer}"));
        }
        into.extend_from_slice(lines.join("\r\n").as_bytes());
        into.extend_from_slice(b"\r\n\r\n");
    }
}

/// A random address.
pub fn public_address(random: &mut Xoshiro256PlusPlus) -> Ipv4Addr {
    loop {
        let first = random.random_range(1..=223);
        if !RESERVED_OCTETS.contains(&first) {
            let [second, third, fourth] = random.random();
            return Ipv4Addr::new(first, second, third, fourth);
        }
    }
}

/// Draws indexes as often as their weights say.
struct Cumulative {
    sums: Vec<f64>,
}

impl Cumulative {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        let sums = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self { sums }
    }

    fn draw(&self, random: &mut Xoshiro256PlusPlus) -> usize {
        let total = self.sums.last().copied().unwrap_or_default();
        let point = random.random::<f64>() * total;
        let index = self.sums.partition_point(|sum| *sum <= point);
        index.min(self.sums.len() - 1)
    }
}
