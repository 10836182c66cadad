//! The cost of one redirect, step by step: the service's code called in a loop.
//!
//! `--steps` says it in nanoseconds. Instructions are counted by callgrind, as the difference of
//! two runs of one step:
//!
//! ```text
//! valgrind --tool=callgrind redirect-… --bench --steps --step lookup --times 100000
//! ```

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use prost::Message as _;
use slugline::clicks::{
    BotList, ClickBatch, ClickCaps, Enricher, GeoReader, Language, Recorder, Referrer, SaltPeriod,
    UserAgentCache, Visit, VisitorBucketer, VisitorSalts,
};
use slugline::domain::event::{Envelope, Event, LinkState, VERSION};
use slugline::engine::{Package, Progress, default_cache_dir, fetch};
use slugline::http::DialectHosts;
use slugline::http::redirect::unlock::Unlock;
use slugline::http::redirect::{Redirector, RequestHead, RequestTime};
use slugline::http::transport::reactor::head::{ParsedHead, no_lines, read};
use slugline::http::transport::reactor::render::Renderer;
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};
use slugline::projections::index::Index;
use slugline::queries::links::Links;

use crate::agents;
use crate::statistics::{as_f64, median};
use crate::traffic::{self, LinkKind, Traffic};

/// Links in the index.
const LINKS: u32 = 100_000;
/// Requests per group, about as many as arrive together under load.
const GROUP: usize = 16;
/// The proxy in front of the visitors.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A step of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The request's head is read.
    Parse,
    /// The link is found.
    Lookup,
    /// Whose word on the address is taken.
    Address,
    /// The user agent is found among those met.
    Agent,
    /// The visitor's id is worked out.
    Visitor,
    /// His place is looked up.
    Geo,
    /// Where he came from is read.
    Referrer,
    /// So is his language.
    Language,
    /// All of the interpretation, and the click's encoding.
    Click,
    /// A group's clicks are appended to the log, by click.
    Append,
    /// The answer is written to memory.
    Render,
    /// All of these.
    Whole,
    /// The system calls: a request received and an answer sent, over a connection.
    Wire,
}

/// The requests, and all that answers them.
struct World {
    requests: Vec<Vec<u8>>,
    links: Links,
    recorder: Arc<Recorder>,
    redirector: Redirector,
    _folder: tempfile::TempDir,
}

/// Measures one step, or all of them.
pub fn measure(step: Option<Step>, times: usize) -> anyhow::Result<()> {
    let world = World::new()?;
    let steps = step.map_or_else(|| Step::value_variants().to_vec(), |step| vec![step]);
    for step in steps {
        let nanoseconds = world.run(step, times)?;
        println!("{:<10} {nanoseconds:>8.0} ns", format!("{step:?}").to_lowercase());
    }
    Ok(())
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let traffic = Traffic::render(LinkKind::Plain, LINKS, &agents::profiles()?);
        let requests = (0..traffic.len()).map(|number| traffic.request(number).to_vec()).collect();
        let index = Index::open(&folder.path().join("index"), &log_of_links(folder.path())?)?;
        let cache = default_cache_dir()?;
        let crawlers = fetch(&Package::crawlers(), &cache, Progress::Shown)?;
        let countries = fetch(&Package::countries(), &cache, Progress::Shown)?;
        let enricher = Enricher {
            proxies: "127.0.0.1".parse().map_err(anyhow::Error::new)?,
            geo: GeoReader::new(Some(countries))?,
            agents: Arc::new(UserAgentCache::new(BotList::load(&crawlers)?)),
            visitors: VisitorSalts::open(folder.path().join("salt"), SaltPeriod::Never, 0)?,
            find_code: Box::new(|_| None),
        };
        let log: Arc<dyn Log> = Arc::new(open_log(folder.path(), "clicks")?);
        let limits = ClickCaps::open(&folder.path().join("limits"), &log)?;
        let recorder = Arc::new(Recorder::new(enricher, log, limits));
        let links = Links::new(Arc::new(index));
        let redirector = Redirector::new(
            links.clone(),
            Arc::clone(&recorder),
            Unlock::new(&[0; 32], false),
            VisitorBucketer::new(&[0; 32]),
            None,
            DialectHosts::default(),
        );
        Ok(Self { requests, links, recorder, redirector, _folder: folder })
    }

    /// Nanoseconds that a step takes: the median of stretches of [`GROUP`], which other work on the
    /// machine interrupts rarely.
    fn run(&self, step: Step, times: usize) -> anyhow::Result<f64> {
        if step == Step::Wire {
            return wire(self.requests.first().context("no requests")?, times);
        }
        let mut work = Work::default();
        // The heads of a stretch are read before its clock runs, but for the step that reads them.
        let stretches = (0..times.div_ceil(GROUP)).map(|stretch| {
            let from = stretch * GROUP % self.requests.len();
            let requests = self.requests.iter().cycle().skip(from).take(GROUP);
            as_f64(self.stretch(step, requests, &mut work)) / as_f64(GROUP as u64)
        });
        Ok(median(stretches))
    }

    fn stretch<'a>(
        &self,
        step: Step,
        requests: impl Iterator<Item = &'a Vec<u8>>,
        work: &mut Work,
    ) -> u64 {
        let moment = RequestTime::now();
        work.renderer.tick(moment.at_ms);
        let mut lines = vec![const { no_lines() }; GROUP];
        let bytes: Vec<_> = requests.zip(&mut lines).collect();
        let started = Instant::now();
        match step {
            Step::Parse => {
                for (bytes, lines) in bytes {
                    black_box(read(bytes, lines, PEER));
                }
                return elapsed(started);
            }
            Step::Whole => {
                for (bytes, lines) in bytes {
                    let Some(head) = head(bytes, lines) else { continue };
                    let answer = self.redirector.answer(&head, &moment, &mut work.clicks);
                    if let Some(answer) = answer {
                        work.renderer.render(&answer, false, false, &mut work.answers);
                    }
                }
                self.redirector.append_clicks(&mut work.clicks, &moment);
                work.answers.clear();
                return elapsed(started);
            }
            _ => {}
        }
        let heads = bytes.into_iter().filter_map(|(bytes, lines)| head(bytes, lines));
        let heads: Vec<_> = heads.collect();
        let started = match step {
            Step::Append => {
                for head in &heads {
                    self.redirector.answer(head, &moment, &mut work.clicks);
                }
                let started = Instant::now();
                self.redirector.append_clicks(&mut work.clicks, &moment);
                return elapsed(started);
            }
            Step::Render => {
                let answers: Vec<_> = heads
                    .iter()
                    .filter_map(|head| self.redirector.answer(head, &moment, &mut work.clicks))
                    .collect();
                let started = Instant::now();
                for answer in &answers {
                    work.renderer.render(answer, false, false, &mut work.answers);
                }
                started
            }
            _ => {
                let started = Instant::now();
                for head in &heads {
                    self.look(step, head, &moment, work);
                }
                started
            }
        };
        let took = elapsed(started);
        work.answers.clear();
        // What is not measured is not written either.
        let _dropped = work.clicks.append_with(|_| Err(()));
        took
    }

    /// The steps that look at one request by itself.
    fn look(&self, step: Step, head: &RequestHead<'_>, moment: &RequestTime, work: &mut Work) {
        let Enricher { proxies, geo, agents, visitors, .. } = &self.recorder.enricher;
        let RequestHead { peer, query, headers, .. } = *head;
        let slug = head.path.trim_start_matches('/');
        match step {
            Step::Lookup => drop(black_box(self.links.redirect("", slug))),
            Step::Address => drop(black_box(proxies.client(peer, &headers))),
            Step::Agent => drop(black_box(agents.of(headers.user_agent))),
            Step::Visitor => {
                let workspace = slugline::domain::ids::WorkspaceId::new(uuid::Uuid::nil());
                black_box(visitors.visitor(moment.at_ms, peer, 7, &workspace));
            }
            Step::Geo => {
                let geo = geo.load();
                let client = proxies.client(peer, &headers);
                black_box(geo.as_deref().map(|geo| geo.lookup(client)));
            }
            Step::Referrer => drop(black_box(Referrer::of(headers.referrer))),
            Step::Language => drop(black_box(Language::of(headers.accept_language))),
            _ => {
                let Ok(Some(redirect)) = self.links.redirect("", slug) else { return };
                let visit = Visit { peer, headers, query, head: false, at_ms: moment.at_ms };
                let (steps, target) = (&self.recorder.enricher, &redirect.target.click_target);
                let geo = geo.load();
                let found = steps.enrich(&visit, &target.workspace, geo.as_deref());
                work.clicks.push(&found, target);
            }
        }
    }
}

/// Memory that is used again.
#[derive(Default)]
struct Work {
    clicks: ClickBatch,
    answers: Vec<u8>,
    renderer: Renderer,
}

fn head<'a>(
    bytes: &'a [u8],
    lines: &'a mut slugline::http::transport::reactor::head::Lines<'a>,
) -> Option<RequestHead<'a>> {
    match read(bytes, lines, PEER) {
        ParsedHead::Visit { request, .. } => Some(request),
        ParsedHead::Partial | ParsedHead::Other => None,
    }
}

fn elapsed(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One thread is at both ends: what waits in the system is never waited for.
fn wire(request: &[u8], times: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut visitor = TcpStream::connect(listener.local_addr()?)?;
    let (mut service, _) = listener.accept()?;
    visitor.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (mut buffer, answer) = (vec![0; 32 << 10], vec![b'x'; 300]);
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        visitor.write_all(request)?;
        let started = Instant::now();
        black_box(service.read(&mut buffer)?);
        service.write_all(&answer)?;
        took.push(as_f64(elapsed(started)));
        visitor.read_exact(buffer.get_mut(..answer.len()).unwrap_or_default())?;
    }
    Ok(median(took.into_iter()))
}

fn open_log(folder: &Path, name: &str) -> anyhow::Result<LocalLog> {
    Ok(LocalLog::open(Arc::new(DiskStorage), &folder.join(name), LogOptions::default())?)
}

/// The links that the requests are for, each made by an event.
fn log_of_links(folder: &Path) -> anyhow::Result<LocalLog> {
    let log = open_log(folder, "mutations")?;
    for number in 0..LINKS {
        let slug = LinkKind::Plain.slug(number);
        let state = LinkState {
            id: uuid::Uuid::now_v7().as_bytes().to_vec(),
            destination: traffic::destination(&slug),
            slug,
            version: 1,
            ..LinkState::default()
        };
        let event = Event::LinkCreated(state);
        let kind = event.kind();
        let envelope = Envelope {
            debit: None,
            reservation: Vec::new(),
            at_ms: u64::from(number),
            workspace: vec![1; 16],
            token: vec![2; 16],
            user: Vec::new(),
            idempotency_until_ms: None,
            idempotency: None,
            event: Some(event),
        };
        let payload = envelope.encode_to_vec();
        log.append(&[NewRecord { kind: kind.number(), version: VERSION, payload: &payload }])?;
    }
    log.sync()?;
    Ok(log)
}
