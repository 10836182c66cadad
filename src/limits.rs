//! Limits and timeouts of the service: what bounds the work that it accepts, and the time that
//! requests and connections may take.

use std::time::Duration;

/// The capacity of the queue of commands, in submissions.
pub const COMMAND_QUEUE_LEN: usize = 4_096;
/// How long a command waits for a free slot in the queue: bursts of thousands of clients are
/// normal.
pub const COMMAND_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of bulk requests that are parsed and decided at once, to bound memory.
pub const BULK_CONCURRENCY: usize = 4;
/// The number of threads that hash passwords.
pub const PASSWORD_THREADS: usize = 1;
/// The number of passwords that wait to be hashed. One takes about 20 ms: the last is done within
/// the timeout.
pub const PASSWORD_QUEUE_LEN: usize = 200 * PASSWORD_THREADS;
/// How long a password waits until it is hashed.
pub const PASSWORD_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of images of QR codes that wait to be drawn.
pub const RENDER_QUEUE_LEN: usize = 128;
/// How many of them are drawn or wait for a thread at once for one workspace.
pub const RENDERS_PER_WORKSPACE: usize = 4;
/// How long an image of a QR code waits for a thread, and how long drawing it may then take.
pub const RENDER_TIMEOUT: Duration = Duration::from_secs(10);
/// The memory of the cache of drawn images.
pub const IMAGE_CACHE_BYTES: u64 = 32 << 20;
/// The number of link searches that run at once; the others wait.
pub const SEARCH_CONCURRENCY: usize = 4;
/// The number of link searches of one workspace that run at once.
pub const SEARCH_CONCURRENCY_PER_WORKSPACE: usize = 2;
/// How long a link search waits for a permit.
pub const SEARCH_QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of analytics queries that run at once; the others wait.
pub const QUERY_CONCURRENCY: usize = 8;
/// The number of analytics queries of one workspace that run at once.
pub const QUERY_CONCURRENCY_PER_WORKSPACE: usize = 4;
/// The number of exports of clicks that run at once; the others wait.
pub const EXPORT_CONCURRENCY: usize = 2;
/// How long an analytics query waits for the permit of its workspace, and then for a global one.
pub const QUERY_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a response that is not about analytics waits for a link's counts.
pub const COUNTS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an analytics query waits for `min_offset`.
pub const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of an analytics query; ClickHouse's own limit is lower.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(25);
/// The timeout of a request, including its body.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of a request that reads all clicks or a large file.
pub const HEAVY_REQUEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The maximum size of a request body.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The maximum size of the body of a bulk request.
pub const MAX_BULK_BODY_BYTES: usize = 4 << 20;
/// The maximum default of `--connections-per-address`.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 4_096;
/// A connection without an active request is closed if it has received none for one to two of these
/// periods: it is idle, or its client sends a head too slowly.
pub const IDLE_PERIOD: Duration = Duration::from_secs(8);
/// How long active requests may take to finish at shutdown.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(8);
/// The number of domain verifications that run at once.
pub const VERIFICATION_CONCURRENCY: usize = 16;
/// The number of logos that are fetched at once.
pub const LOGO_FETCH_CONCURRENCY: usize = 16;
/// The number of logos that are fetched at once for one workspace.
pub const LOGO_FETCHES_PER_WORKSPACE: usize = 4;
/// How long the fetch of a logo waits for others.
pub const LOGO_FETCH_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of mails that wait or are being sent.
pub const MAIL_QUEUE_LEN: u16 = 1_000;
/// The number of mails that are sent at once.
pub const MAIL_CONCURRENCY: usize = 4;
/// The timeout of a connection to an address of the mail server.
pub const MAIL_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of an attempt to send a mail, from the DNS lookup to the server's last answer.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long mails may take to be sent at shutdown.
pub const MAIL_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of connections of the admin listener.
pub const ADMIN_CONNECTIONS: usize = 64;
