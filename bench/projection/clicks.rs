//! Realistic clicks: the requests of the redirect benchmark, enriched and logged by slugline's
//! recorder.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use slugline::clicks::{
    BotList, ClickCaps, Enricher, GeoReader, Headers, Recorder, SaltPeriod, TrustedProxies,
    UserAgentCache, Visit, VisitorSalts,
};
use slugline::domain::click::ClickTarget;
use slugline::domain::ids::{LinkId, WorkspaceId};
use slugline::engine::{Package, Progress, default_cache_dir, fetch};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions};
use uuid::Uuid;

use crate::agents;
use crate::traffic::{LinkKind, Traffic};

/// Links that are clicked.
const LINKS: u32 = 100_000;

/// Visitors' requests, and the links that they are for.
pub struct Visitors {
    requests: Vec<Request>,
    targets: Vec<ClickTarget>,
}

struct Request {
    link: usize,
    headers: HeaderMap,
}

impl Visitors {
    pub fn load() -> anyhow::Result<Self> {
        let traffic = Traffic::render(LinkKind::Plain, LINKS, &agents::profiles()?);
        let requests = (0..traffic.len()).map(|number| Request::parse(traffic.request(number)));
        let requests = requests.collect::<Option<Vec<_>>>().context("a request can't be read")?;
        let workspace = WorkspaceId::new(Uuid::now_v7());
        let target = |_| {
            ClickTarget::new(
                workspace,
                LinkId::new(Uuid::now_v7()),
                1,
                "",
                "https://example.com",
                "https://example.com/",
            )
        };
        Ok(Self { requests, targets: (0..LINKS).map(target).collect() })
    }

    /// Has the recorder log a click: number after number another visitor's.
    pub fn click(&self, recorder: &Recorder, number: u64, at_ms: u64) {
        let many = self.requests.len() as u64;
        let at = usize::try_from(number % many).unwrap_or_default();
        let Request { link, headers } = &self.requests[at];
        let headers = Headers::of_map(headers);
        let visit = Visit { peer: address(number), headers, query: None, head: false, at_ms };
        recorder.record(&visit, &self.targets[*link]);
    }
}

impl Request {
    /// Reads a request as the traffic renders it: `GET /b0000042 HTTP/1.1`, and header lines.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.trim_end().split("\r\n");
        let slug = lines.next()?.strip_prefix("GET /b")?.split(' ').next()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(Self { link: slug.parse().ok()?, headers })
    }
}

/// An address that is no other number's.
fn address(number: u64) -> IpAddr {
    // Odd, so the multiplication loses nothing: numbers lie scattered, and none meet.
    let [.., a, b, c, d] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// A click log of its own, and the recorder that writes to it.
pub fn open_log(folder: &Path) -> anyhow::Result<(Arc<dyn Log>, Arc<Recorder>)> {
    let cache = default_cache_dir()?;
    let crawlers = fetch(&Package::crawlers(), &cache, Progress::Shown)?;
    let countries = fetch(&Package::countries(), &cache, Progress::Shown)?;
    let log = LocalLog::open(Arc::new(DiskStorage), &folder.join("clicks"), LogOptions::default())?;
    let log: Arc<dyn Log> = Arc::new(log);
    let limits = ClickCaps::open(&folder.join("limits"), &log)?;
    let enricher = Enricher {
        proxies: TrustedProxies::default(),
        geo: GeoReader::new(Some(countries))?,
        agents: Arc::new(UserAgentCache::new(BotList::load(&crawlers)?)),
        visitors: VisitorSalts::open(folder.join("visitor.salt"), SaltPeriod::Never, 0)?,
        find_code: Box::new(|_| None),
    };
    let recorder = Arc::new(Recorder::new(enricher, Arc::clone(&log), limits));
    Ok((log, recorder))
}
