//! A service with generated clicks: of some links over 400 days, and a few of recent weeks; and
//! clicks of another workspace, which must stay invisible.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use jiff::Timestamp;
use prost::Message;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, LogView};

use super::fact::Fact;
use super::hostile::HOSTILE;
use super::rng::Dice;
use crate::harness::{Link, Options, Server};

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// When most of the clicks were: the days are fixed, because clocks are changed on some of them.
pub const BEGIN: &str = "2024-09-01T00:00:00Z";
pub const DAYS: i64 = 400;
const CLICKS: usize = 2_800;
const RECENT_CLICKS: i64 = 150;
/// Clicks of one link, each with a campaign's long text of its own: many visitors, many rows.
pub const CROWD: usize = 2_500;
pub const CROWD_MONTH: (&str, &str) = ("2023-05-01T00:00:00Z", "2023-06-01T00:00:00Z");
/// The number of offsets in a chunk of the log. The last clicks begin another.
const CHUNK: u64 = 4_194_304;
/// What clicks of the other workspace say of their campaign.
pub const FOREIGN: &str = "foreign";

/// When clocks are changed: Berlin, New York, Lord Howe (by half an hour), Cairo (at midnight).
pub const CHANGES: [&str; 9] = [
    "2024-10-27T01:00:00Z",
    "2025-03-30T01:00:00Z",
    "2024-11-03T06:00:00Z",
    "2025-03-09T07:00:00Z",
    "2024-10-05T15:30:00Z",
    "2025-04-05T15:00:00Z",
    "2025-10-04T15:30:00Z",
    "2024-10-31T21:00:00Z",
    "2025-04-24T22:00:00Z",
];

/// The service and all that it is asked about.
pub struct World {
    pub server: Server,
    pub clicks: Vec<Fact>,
    /// Links of the workspace; clicks are of others too, which are gone.
    pub links: Vec<Link>,
    pub host: String,
}

static WORLD: Mutex<Weak<World>> = Mutex::new(Weak::new());

/// The one of all tests that are running at the time.
pub fn world() -> Arc<World> {
    let mut shared = WORLD.lock().unwrap();
    if let Some(world) = shared.upgrade() {
        return world;
    }
    let world = Arc::new(World::new());
    *shared = Arc::downgrade(&world);
    world
}

pub fn ms(moment: &str) -> i64 {
    moment.parse::<Timestamp>().unwrap().as_millisecond()
}

impl World {
    fn new() -> Self {
        let options = Options::new().public_url("http://links.example");
        let server = options.start();
        let links: Vec<_> = (0..5).map(|_| server.link()).collect();
        server.visit(&links[0]).send().expect(302);
        assert!(server.stop().success());
        let folder = options.data.path().join("log/clicks");
        let first = only_click(&folder);
        let mut ids: Vec<_> =
            links.iter().map(|link| link.id.parse::<slugline::domain::ids::LinkId>()).collect();
        // These were made at any time: what they are sorted by differs from half to half.
        ids.extend(
            [0x0192_ffff << 96 | 7, 0x0193_0001 << 96 | 3, 9 << 80 | 9 << 60].map(|number| {
                Ok(slugline::domain::ids::LinkId::new(uuid::Uuid::from_u128(number)))
            }),
        );
        let ids = ids.into_iter().map(|id| id.unwrap().as_bytes().to_vec()).collect();
        let mut maker = Maker::new(first.workspace.clone(), ids);
        let mut mine = maker.clicks();
        maker.workspace = uuid::Uuid::from_u128(0x0192_aaaa << 96 | 1).as_bytes().to_vec();
        let foreign = maker.foreign_clicks();
        let mut all: Vec<_> = mine.iter().chain(&foreign).cloned().collect();
        all.sort_by_key(|click| click.at_ms);
        // Reports read the clicks of the first chunk from rollups, those of today too.
        options.data.renumber_clicks(CHUNK - all.len() as u64);
        append(&folder, &all);
        mine.push(first);
        let server = options.start();
        server.await_projection();
        let host = "links.example".to_owned();
        Self { server, clicks: mine.iter().map(Fact::of).collect(), links, host }
    }
}

fn only_click(folder: &Path) -> Click {
    let view = LogView::open(Arc::new(DiskStorage), folder).unwrap();
    let mut reader = view.read_from(0);
    let mut records = std::iter::from_fn(|| reader.next_record().unwrap());
    let click = records.find(|record| record.kind == kind::CLICK).unwrap();
    Click::decode(click.payload.as_ref()).unwrap()
}

fn append(folder: &Path, clicks: &[Click]) {
    let log = LocalLog::open(Arc::new(DiskStorage), folder, LogOptions::default()).unwrap();
    for some in clicks.chunks(500) {
        let payloads: Vec<_> = some.iter().map(Message::encode_to_vec).collect();
        log.append_payloads(kind::CLICK, VERSION, &payloads).unwrap();
    }
    log.sync().unwrap();
}

/// Makes up clicks.
struct Maker {
    dice: Dice,
    workspace: Vec<u8>,
    links: Vec<Vec<u8>>,
    visitors: Vec<u64>,
}

impl Maker {
    fn new(workspace: Vec<u8>, links: Vec<Vec<u8>>) -> Self {
        let mut dice = Dice::new(20_260_301);
        let visitors = (0..300).map(|_| dice.next()).collect();
        Self { dice, workspace, links, visitors }
    }

    fn clicks(&mut self) -> Vec<Click> {
        let begin = ms(BEGIN);
        let mut clicks: Vec<Click> = Vec::new();
        while clicks.len() < CLICKS {
            let at = begin + i64::try_from(self.dice.below(DAYS as u64 * DAY_MS as u64)).unwrap();
            let click = self.click(at);
            // Some come again within the hour or just after it.
            for _ in 0..self.dice.below(4).saturating_sub(1) {
                let later = click.at_ms + self.dice.below(80 * MINUTE_MS as u64);
                let last = u64::try_from(begin + DAYS * DAY_MS - 1).unwrap();
                clicks.push(Click { at_ms: later.min(last), ..click.clone() });
            }
            clicks.push(click);
        }
        for change in CHANGES {
            for minutes in [-121, -61, -60, -31, -30, -29, -1, 0, 1, 29, 30, 31, 59, 60, 61, 121] {
                clicks.push(self.click(ms(change) + minutes * MINUTE_MS));
            }
        }
        let now = Timestamp::now().as_millisecond();
        for number in 0..RECENT_CLICKS {
            clicks.push(self.click(now - HOUR_MS - number * 27 * DAY_MS / RECENT_CLICKS));
        }
        let crowd = ms(CROWD_MONTH.0) + DAY_MS;
        for number in 0..CROWD {
            let at = crowd + i64::try_from(number).unwrap() * 10 * MINUTE_MS;
            let utm_content = format!("{number}{}", "ü'\\ ".repeat(70));
            let (visitor, link) = (self.dice.next(), self.links[7].clone());
            let bot = 0;
            clicks.push(Click { visitor, link, bot, utm_content, ..self.click(at) });
        }
        // Before all people there were machines.
        for day in [40, 41, 63] {
            clicks.push(Click { bot: 1, ..self.click(crowd - day * DAY_MS) });
        }
        clicks
    }

    fn foreign_clicks(&mut self) -> Vec<Click> {
        let mut clicks = Vec::new();
        for number in 0..600 {
            let at = ms(BEGIN) + number * DAYS * DAY_MS / 600;
            let mut click = self.click(at);
            if number % 2 == 0 {
                FOREIGN.clone_into(&mut click.utm_campaign);
            }
            clicks.push(click);
        }
        clicks
    }

    fn click(&mut self, at_ms: i64) -> Click {
        let dice = &mut self.dice;
        let mut one = |of: &[&str]| dice.pick(of).to_owned();
        let browser = one(&["", "Chrome", "Safari", "Firefox"]);
        let browser_version = one(&["", "138.0.0.0", "17.5", "9"]);
        let os = one(&["", "Windows", "macOS", "iOS"]);
        let os_version = one(&["", "10", "17.5.1"]);
        let country = one(&["", "DE", "DE", "FR", "US", "JP", "BR", "ZA", "AU"]);
        let region = one(&["", "Bavaria", "Île-de-France", "Ohio"]);
        let city = one(&["", "München", "Paris", "Columbus", "São Paulo"]);
        let referrer = one(REFERRERS);
        let referrer_url =
            one(&["", "https://x.com/a/b", "https://example.org/%C3%BC?", "android-app://a"]);
        let language = one(&["", "en", "de", "pt"]);
        let domain = one(&["", "", "go.example", "l.example.net"]);
        let destination =
            one(&["https://example.com/landing", "https://example.com/ÄÖ", "http://a.b/?c=d&e"]);
        let rule =
            one(&["", "", "rule_00000000000000000000000007", "rule_00000000000000000000000008"]);
        let variant = one(&["", "", "a", "b"]);
        let utm_source = one(&["", "newsletter", "Newsletter", "twitter"]);
        let utm_medium = one(&["", "email", "social"]);
        let utm_campaign = one(&["", "spring", "spring sale", "SPRING", "10%"]);
        let utm_content = one(&["", "a", "b", "aa"]);
        let utm_term =
            if dice.per_cent(30) { dice.pick(HOSTILE).to_owned() } else { String::new() };
        let qr = dice.per_cent(20);
        let code = if qr { dice.below(4) } else { 0 };
        let code = (code > 0).then(|| uuid::Uuid::from_u64_pair(code, code).as_bytes().to_vec());
        let bot = if dice.per_cent(20) { 1 + dice.below(5) } else { 0 };
        Click {
            at_ms: u64::try_from(at_ms).unwrap(),
            workspace: self.workspace.clone(),
            link: dice.pick(&self.links),
            link_version: u32::try_from(1 + dice.below(12)).unwrap(),
            agent: 1,
            browser,
            browser_version,
            os,
            os_version,
            device: i32::try_from(dice.below(5)).unwrap(),
            bot: i32::try_from(bot).unwrap(),
            visitor: dice.pick(&self.visitors),
            country,
            region,
            city,
            referrer,
            referrer_url,
            language,
            head: bot == 4,
            prefetch: bot == 3,
            domain,
            destination,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_content,
            utm_term,
            qr,
            qr_code: code.unwrap_or_default(),
            rule,
            variant,
            ..labels(&mut self.dice)
        }
    }
}

const REFERRERS: &[&str] =
    &["", "x.com", "t.co", "google.co.uk", "google.com", "de.linkedin.com", "example.org"];

/// What the link had when it was clicked.
fn labels(dice: &mut Dice) -> Click {
    let mut one = |of: &[&str]| dice.pick(of).to_owned();
    Click {
        tags: one(&["", "", "mail", "größe", "a"]),
        folder: one(&["", "clients", "clients/acme", "Clients"]),
        campaign: one(&["", "camp_00000000000000000000000007", "camp_00000000000000000000000008"]),
        ..Click::default()
    }
}
