//! Clicks, made inside ClickHouse: what they have in common follows laws that real ones do.
//!
//! 10,000 links by a Zipf law (exponent 1) over 90 days; 50 countries, 800 regions and 6,400
//! cities, ten referrers and 5,000 pages of theirs, five thousand user agents; visitors by a Zipf
//! law too, other ones each day; 8 % bots; 2 % QR codes. They go into `clicks` as the projector's
//! do, and so through the rollups.

use clickhouse::Client;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

/// Whose clicks they are.
pub const WORKSPACE: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
/// How many clicks one insert has: as many as the largest of the projector's batches, or the
/// tables would have fewer parts than they have in use.
const INSERT: u64 = 1_000_000;
const SETTLE_LIMIT: std::time::Duration = std::time::Duration::from_secs(180);
const SPAN_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

const INSERT_SQL: &str = "INSERT INTO clicks \
    (workspace_id, link_id, ts, log_offset, link_version, agent_id, visitor_id, country, region, \
     city, browser, browser_version, os, os_version, device, bot, referrer, referrer_url, language, \
     continent, destination, utm_source, utm_medium, utm_campaign, qr) \
    SELECT {workspace:UUID}, \
        toUUID(concat('01900000-', leftPad(lower(hex(toUInt16(rank * 7919 % 65521))), 4, '0'), \
            '-7000-8000-', leftPad(lower(hex(toUInt64(rank))), 12, '0'))), \
        fromUnixTimestamp64Milli({from:Int64} + toInt64(number * {step:Float64}), 'UTC') AS at, \
        number + 1, 1 + rank % 3, cityHash64(agent), \
        cityHash64(toDate(at), visitor), \
        ['US','DE','GB','FR','IN','BR','CA','JP','ES','IT','NL','PL','SE','MX','AU','TR','ID','KR', \
         'CH','AT','BE','PT','RO','CZ','FI','DK','NO','IE','GR','HU','AR','CL','CO','ZA','NG','EG', \
         'KE','MA','TH','VN','PH','MY','SG','HK','TW','UA','IL','AE','SA','NZ'] \
            [least(50, toUInt8(exp(place * log(51))))] AS c, \
        concat(c, '-', toString(toUInt8(exp(rand(3) / 4294967296 * log(17))))) AS r, \
        concat(r, '-', toString(toUInt8(exp(rand(4) / 4294967296 * log(9))))), \
        ['Chrome','Safari','Edge','Firefox','Samsung Browser','Opera','Brave',''][1 + agent % 8], \
        toString(100 + agent % 40), \
        ['Windows','iOS','Android','macOS','Linux'][1 + agent % 5], toString(10 + agent % 7), \
        ['desktop','mobile','tablet','mobile'][1 + agent % 4], \
        if(rand(9) % 100 < 8, ['pattern','woothee','head'][1 + agent % 3], ''), \
        ['','google.com','x.com','facebook.com','linkedin.com','instagram.com','reddit.com', \
         'news.ycombinator.com','bing.com','youtube.com'] \
            [least(10, toUInt8(exp(rand(5) / 4294967296 * log(11))))] AS f, \
        if(f = '', '', concat('https://', f, '/p/', toString(rand(10) % 500))), \
        ['en','de','fr','es','pt','ja','hi','it','nl','pl'] \
            [least(10, toUInt8(exp(place * log(11))))], \
        ['NA','EU','AS','SA','AF','OC'][1 + cityHash64(c) % 6], \
        concat('https://example.com/landing/', toString(rank)), \
        ['','newsletter','twitter','google'][1 + rank % 4], ['','email','cpc'][1 + rank % 3], \
        ['','spring','summer','fall'][1 + rank % 4], rand(11) % 50 = 0 \
    FROM (SELECT number, toUInt32(exp(rand(1) / 4294967296 * log(10000))) AS rank, \
            rand(2) / 4294967296 AS place, rand(6) % 5000 AS agent, \
            toUInt32(exp(rand(7) / 4294967296 * log(800000))) AS visitor \
        FROM numbers({first:UInt64}, {count:UInt64})) \
    SETTINGS max_block_size = 1000000, min_insert_block_size_rows = 1000000, \
        max_insert_threads = 1, max_execution_time = 0";

/// Fills `clicks` with so many, of the 90 days before `now_ms`.
pub async fn make(client: &Client, clicks: u64, now_ms: u64) -> anyhow::Result<()> {
    let style = "{elapsed} {bar:40} {human_pos} of {human_len} clicks, {eta} left";
    let bar = ProgressBar::new(clicks).with_style(ProgressStyle::with_template(style)?);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2⁵²")]
    let step = SPAN_MS as f64 / clicks as f64;
    for first in (0..clicks).step_by(usize::try_from(INSERT)?) {
        client
            .query(INSERT_SQL)
            .param("workspace", WORKSPACE)
            .param("from", now_ms - SPAN_MS)
            .param("step", step)
            .param("first", first)
            .param("count", INSERT.min(clicks - first))
            .execute()
            .await?;
        bar.inc(INSERT.min(clicks - first));
    }
    bar.finish();
    Ok(())
}

/// Waits until ClickHouse has merged what it wants to, as it has when clicks come in slowly.
pub async fn settle(client: &Client) -> anyhow::Result<()> {
    let busy = client.query("SELECT count() FROM system.merges");
    let started = std::time::Instant::now();
    let mut quiet = 0;
    while quiet < 5 && started.elapsed() < SETTLE_LIMIT {
        let merges = busy.clone().fetch_one::<u64>().await?;
        quiet = if merges == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The link of a rank: 1 has the most clicks.
pub fn link(rank: u64) -> Uuid {
    let scattered = u128::from(rank * 7919 % 65_521);
    Uuid::from_u128(
        (0x0190_0000 << 96) | (scattered << 80) | (0x7000_8000 << 48) | u128::from(rank),
    )
}
