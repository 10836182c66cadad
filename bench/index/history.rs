//! The measured log: links of one workspace, some of which are changed and deleted later.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use prost::Message as _;
use slugline::domain::event::{
    Envelope, Event, LinkDeleted, LinkState, TokenState, VERSION, WorkspaceCreated,
};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};

/// The number of records per append.
const GROUP: usize = 4_096;
/// The fraction of links that are changed, and deleted: one in this many.
const CHANGED_EVERY: u64 = 20;
const DELETED_EVERY: u64 = 50;
const STARTED_MS: u64 = 1_760_000_000_000;
const LETTERS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// Opens the log below a folder.
pub fn open(folder: &Path) -> anyhow::Result<LocalLog> {
    let dir = folder.join("log/mutations");
    Ok(LocalLog::open(Arc::new(DiskStorage), &dir, LogOptions::default())?)
}

/// Writes the log, unless it is there; returns how many events it has.
pub fn write(folder: &Path, links: u64) -> anyhow::Result<u64> {
    let log = open(folder)?;
    if log.end() > 0 {
        eprintln!("a log of {} events is there and is used", log.end());
        return Ok(log.end());
    }
    let mut group = Group { log: &log, payloads: Vec::new() };
    group.add(
        1,
        Event::WorkspaceCreated(WorkspaceCreated { name: "bench".to_owned(), owner: Vec::new() }),
    )?;
    group.add(1, Event::TokenCreated(token()))?;
    for number in 0..links {
        group.link(number)?;
        if number % (links / 10).max(1) == 0 {
            eprintln!("writing the log: {number} of {links} links");
        }
    }
    group.write()?;
    log.sync()?;
    Ok(log.end())
}

/// Writes more links; returns how many events that are.
pub fn write_more(folder: &Path, after: u64, links: u64) -> anyhow::Result<u64> {
    let log = open(folder)?;
    let before = log.end();
    let mut group = Group { log: &log, payloads: Vec::new() };
    for number in after..after + links {
        group.link(number)?;
    }
    group.write()?;
    log.sync()?;
    Ok(log.end() - before)
}

struct Group<'l> {
    log: &'l dyn Log,
    payloads: Vec<(u16, Vec<u8>)>,
}

impl Group<'_> {
    /// A link, and what becomes of an older one.
    fn link(&mut self, number: u64) -> anyhow::Result<()> {
        self.add(number, Event::LinkCreated(link(number, 1)))?;
        // Somewhere in what there is by now, and each link once at most.
        let older = mixed(number) % (number + 1);
        if number % CHANGED_EVERY == 7 && !older.is_multiple_of(DELETED_EVERY) {
            self.add(number, Event::LinkChanged(link(older, 2)))?;
        }
        if number.is_multiple_of(DELETED_EVERY) && number > DELETED_EVERY {
            let gone = number - DELETED_EVERY;
            self.add(
                number,
                Event::LinkDeleted(LinkDeleted { link: id(gone), ..LinkDeleted::default() }),
            )?;
        }
        Ok(())
    }

    fn add(&mut self, number: u64, event: Event) -> anyhow::Result<()> {
        let kind = event.kind();
        let envelope = Envelope {
            debit: None,
            reservation: Vec::new(),
            at_ms: STARTED_MS + number / 8,
            workspace: vec![1; 16],
            token: vec![2; 16],
            user: Vec::new(),
            idempotency: None,
            idempotency_until_ms: None,
            event: Some(event),
        };
        self.payloads.push((kind.number(), envelope.encode_to_vec()));
        if self.payloads.len() >= GROUP { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let records = self.payloads.iter();
        let records: Vec<_> = records
            .map(|(kind, payload)| NewRecord { kind: *kind, version: VERSION, payload })
            .collect();
        self.log.append(&records).context("the log took a group not")?;
        self.payloads.clear();
        Ok(())
    }
}

fn token() -> TokenState {
    TokenState {
        id: vec![2; 16],
        name: "owner".to_owned(),
        abilities: vec!["links:read".to_owned()],
        secret_sha256: vec![3; 32],
        created_at_ms: STARTED_MS,
        ..TokenState::default()
    }
}

/// `SplitMix64`: the same for the same number.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// As of a UUIDv7: the time, then chance.
fn id(number: u64) -> Vec<u8> {
    let mut id =
        ((STARTED_MS + number / 8) << 16 | 0x7000 | (number % 8) << 8).to_be_bytes().to_vec();
    id.extend_from_slice(&(mixed(number) & !(0b11 << 62) | 0b10 << 62).to_be_bytes());
    id
}

/// The unique text in the destination of one link.
pub fn unique_text(number: u64) -> String {
    format!("{}/{number}", mixed(number))
}

fn link(number: u64, version: u32) -> LinkState {
    // Of the number's own digits, shuffled: as many as 55⁷ differ.
    let mut rest = number.wrapping_mul(1_000_000_007) % 55_u64.pow(7);
    let mut slug = String::with_capacity(8);
    for _ in 0..7 {
        slug.push(char::from(LETTERS[usize::try_from(rest % 55).unwrap_or(0)]));
        rest /= 55;
    }
    if version > 1 {
        slug.push('_');
    }
    LinkState {
        id: id(number),
        slug,
        destination: format!("https://www.example.com/articles/{}", unique_text(number)),
        title: number.is_multiple_of(4).then(|| format!("Article {number}")),
        created_at_ms: STARTED_MS + number / 8,
        updated_at_ms: STARTED_MS + number / 8,
        version,
        ..LinkState::default()
    }
}
