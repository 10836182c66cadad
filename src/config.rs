//! Settings from flags, `SLUGLINE_*` environment variables, a TOML file, and defaults, in this
//! order of precedence. They are validated once at start.

mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use url::Url;

pub use tls::{TlsCertificates, TlsSettings};

use crate::clicks::{SaltPeriod, TrustedProxies};
use crate::effects::AllowedNets;
use crate::http::Site;
use crate::projections::clickhouse::Target;

/// The standard port of DNS.
const DNS_PORT: u16 = 53;
/// The minimum retention of clicks in the log.
const MIN_RETENTION: Duration = Duration::from_secs(3_600);
/// The minimum retention of analytics: days are counted as a whole.
const MIN_ANALYTICS_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// The settings of `slugline serve` as given. In a file they have the same names with `_` for `-`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeArgs {
    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "SLUGLINE_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Serve probes, metrics and the operator's API only here; keep it private [default: --listen]
    #[arg(long, env = "SLUGLINE_ADMIN_LISTEN", value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// The data folder [default: ./data]
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The URL at which visitors reach the service; the base of short URLs [default: http and
    /// --listen]
    #[arg(long, env = "SLUGLINE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<Url>,
    /// A ClickHouse server (24.8 or later) to use instead of the embedded one
    #[arg(long, env = "SLUGLINE_CLICKHOUSE_URL", value_name = "URL")]
    clickhouse_url: Option<Url>,
    /// The ClickHouse user [default: default]
    #[arg(
        long,
        env = "SLUGLINE_CLICKHOUSE_USER",
        value_name = "NAME",
        requires = "clickhouse_url"
    )]
    clickhouse_user: Option<String>,
    /// The user's password; prefer the environment variable to the flag
    #[arg(
        long,
        env = "SLUGLINE_CLICKHOUSE_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    clickhouse_password: Option<String>,
    /// The ClickHouse database, created if missing [default: slugline]
    #[arg(long, env = "SLUGLINE_CLICKHOUSE_DATABASE", value_name = "NAME")]
    clickhouse_database: Option<String>,
    /// A libchdb to use instead of fetching it
    #[arg(long, env = "SLUGLINE_ENGINE_LIB", value_name = "FILE")]
    engine_lib: Option<PathBuf>,
    /// The memory limit of the embedded ClickHouse in MiB [default: a quarter of all, at most 4096]
    #[arg(long, env = "SLUGLINE_ENGINE_MEMORY_MB", value_name = "MIB")]
    engine_memory_mb: Option<u64>,
    /// A geo database (mmdb) to use instead of the fetched one; `none` to disable
    #[arg(long, env = "SLUGLINE_GEO_DB", value_name = "FILE")]
    geo_db: Option<PathBuf>,
    /// A crawler list in the JSON format of the npm package crawler-user-agents; `none` to disable
    #[arg(long, env = "SLUGLINE_CRAWLER_LIST", value_name = "FILE")]
    crawler_list: Option<PathBuf>,
    /// A list of forbidden destinations (hosts and patterns), reloaded on SIGHUP [default: none]
    #[arg(long, env = "SLUGLINE_BLOCKLIST", value_name = "FILE")]
    blocklist: Option<PathBuf>,
    /// Reverse proxies that are trusted to report the client's address [default: none]
    #[arg(long, env = "SLUGLINE_TRUSTED_PROXIES", value_name = "CIDR,…")]
    trusted_proxies: Option<String>,
    /// The maximum number of connections per address (for IPv6, per /64 network); trusted proxies
    /// are exempt [default: a quarter of all, at most 4096]
    #[arg(long, env = "SLUGLINE_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    connections_per_address: Option<usize>,
    /// Private networks that outgoing requests may reach [default: none]
    #[arg(long, env = "SLUGLINE_OUTGOING_ALLOW", value_name = "CIDR,…")]
    outgoing_allow: Option<String>,
    /// The name server for outgoing requests and domain verification [default: the system's]
    #[arg(long, env = "SLUGLINE_DNS_SERVER", value_name = "ADDRESS[:PORT]")]
    dns_server: Option<String>,
    /// The address to listen on for TLS, with a pair of files or a folder of them [default: none]
    #[arg(long, env = "SLUGLINE_TLS_LISTEN", value_name = "ADDRESS:PORT")]
    tls_listen: Option<SocketAddr>,
    /// The certificate chain (PEM), reloaded on SIGHUP
    #[arg(long, env = "SLUGLINE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "SLUGLINE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A folder with HOST.crt and HOST.key for each host, `default` for the others
    #[arg(long, env = "SLUGLINE_TLS_DIR", value_name = "FOLDER")]
    tls_dir: Option<PathBuf>,
    /// Obtain certificates with ACME for --public-url's host (ignoring its port) and each verified
    /// domain, and so agree to the authority's terms; port 80 of each must lead to --listen. Cannot
    /// be combined with provided certificates
    #[arg(
        long,
        env = "SLUGLINE_TLS_ACME",
        value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tls_acme: Option<bool>,
    /// The contact for the authority, such as mailto:ops@example.com [default: none]
    #[arg(long, env = "SLUGLINE_TLS_ACME_CONTACT", value_name = "URL")]
    tls_acme_contact: Option<String>,
    /// The authority's directory URL [default: Let's Encrypt's]
    #[arg(long, env = "SLUGLINE_TLS_ACME_DIRECTORY", value_name = "URL")]
    tls_acme_directory: Option<Url>,
    /// The root certificates (PEM) of a private authority's own TLS [default: the system's]
    #[arg(long, env = "SLUGLINE_TLS_ACME_ROOT", value_name = "FILE")]
    tls_acme_root: Option<PathBuf>,
    /// How long a visitor ID is stable: daily, weekly, monthly or never [default: daily]
    #[arg(long, env = "SLUGLINE_VISITOR_SALT", value_name = "PERIOD")]
    visitor_salt: Option<String>,
    /// The maximum time of clicks that a power failure can lose [default: 100ms]
    #[arg(long, env = "SLUGLINE_CLICKS_SYNC_INTERVAL", value_name = "DURATION")]
    clicks_sync_interval: Option<String>,
    /// When to drop clicks from the log after ClickHouse has them: `90d`, or `keep` [default: keep]
    #[arg(long, env = "SLUGLINE_CLICKS_RETENTION", value_name = "DURATION")]
    clicks_retention: Option<String>,
    /// How far back analytics go: `365d`, or `all` [default: all]
    #[arg(long, env = "SLUGLINE_ANALYTICS_RETENTION", value_name = "DURATION")]
    analytics_retention: Option<String>,
    /// The format of the log on standard error [default: human]
    #[arg(long, env = "SLUGLINE_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What to log: a level, or targets with levels [default: info]
    #[arg(long, env = "SLUGLINE_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// A TOML file with any of these settings
    #[arg(long, env = "SLUGLINE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For humans.
    Human,
    /// One JSON object per line.
    Json,
}

/// The source of the engine's library or of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Fetched by package name, once.
    Fetched,
    /// An existing file.
    File(PathBuf),
    /// Disabled.
    Nothing,
}

/// The ClickHouse to use.
#[derive(Debug, Clone)]
pub enum ClickHouseChoice {
    /// The embedded one.
    Embedded {
        /// Its library.
        lib: Source,
        /// Its memory limit; `None` for the engine's default.
        memory_bytes: Option<u64>,
    },
    /// An external server.
    Server(Target),
}

/// The validated settings.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each is documented in ServeArgs")]
pub struct Settings {
    pub listen: SocketAddr,
    /// `None` for `listen`.
    pub admin_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    pub public_url: Option<Url>,
    pub clickhouse: ClickHouseChoice,
    pub geo_db: Source,
    pub crawler_list: Source,
    pub blocklist: Option<PathBuf>,
    pub trusted_proxies: TrustedProxies,
    /// `None` for a share of the total.
    pub connections_per_address: Option<usize>,
    pub outgoing_allow: AllowedNets,
    /// `None` for the system's.
    pub dns_server: Option<SocketAddr>,
    /// `None` for no TLS.
    pub tls: Option<TlsSettings>,
    pub visitor_salt: SaltPeriod,
    pub clicks_sync_interval: Duration,
    /// `None` to keep clicks.
    pub clicks_retention: Option<Duration>,
    /// `None` for no limit.
    pub analytics_retention: Option<Duration>,
    pub log_format: LogFormat,
    pub log: String,
}

impl ServeArgs {
    /// Reads the settings file, if any, merges and validates the settings.
    pub fn settings(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => Self::default(),
        };
        self.or_defaults(file).check()
    }

    /// These settings, with those of the file as defaults.
    fn or_defaults(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            admin_listen: self.admin_listen.or(file.admin_listen),
            data_dir: self.data_dir.or(file.data_dir),
            public_url: self.public_url.or(file.public_url),
            clickhouse_url: self.clickhouse_url.or(file.clickhouse_url),
            clickhouse_user: self.clickhouse_user.or(file.clickhouse_user),
            clickhouse_password: self.clickhouse_password.or(file.clickhouse_password),
            clickhouse_database: self.clickhouse_database.or(file.clickhouse_database),
            engine_lib: self.engine_lib.or(file.engine_lib),
            engine_memory_mb: self.engine_memory_mb.or(file.engine_memory_mb),
            geo_db: self.geo_db.or(file.geo_db),
            crawler_list: self.crawler_list.or(file.crawler_list),
            blocklist: self.blocklist.or(file.blocklist),
            trusted_proxies: self.trusted_proxies.or(file.trusted_proxies),
            connections_per_address: self.connections_per_address.or(file.connections_per_address),
            outgoing_allow: self.outgoing_allow.or(file.outgoing_allow),
            dns_server: self.dns_server.or(file.dns_server),
            tls_listen: self.tls_listen.or(file.tls_listen),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_dir: self.tls_dir.or(file.tls_dir),
            tls_acme: self.tls_acme.or(file.tls_acme),
            tls_acme_contact: self.tls_acme_contact.or(file.tls_acme_contact),
            tls_acme_directory: self.tls_acme_directory.or(file.tls_acme_directory),
            tls_acme_root: self.tls_acme_root.or(file.tls_acme_root),
            visitor_salt: self.visitor_salt.or(file.visitor_salt),
            clicks_sync_interval: self.clicks_sync_interval.or(file.clicks_sync_interval),
            clicks_retention: self.clicks_retention.or(file.clicks_retention),
            analytics_retention: self.analytics_retention.or(file.analytics_retention),
            log_format: self.log_format.or(file.log_format),
            log: self.log.or(file.log),
            config: None,
        }
    }

    fn check(self) -> anyhow::Result<Settings> {
        let tls = tls::check(&self)?;
        let visitor_salt = self.visitor_salt.as_deref().unwrap_or("daily").parse();
        let interval = self.clicks_sync_interval.as_deref().unwrap_or("100ms");
        let interval = humantime::parse_duration(interval).with_context(|| {
            format!("clicks-sync-interval: `{interval}` is not a duration such as 100ms")
        })?;
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&interval) {
            bail!("clicks-sync-interval must be from 1ms to 1min");
        }
        if self.connections_per_address == Some(0) {
            bail!("connections-per-address must be at least 1");
        }
        if let Some(url) = &self.public_url {
            check_public_url(url)?;
        }
        let database = self.clickhouse_database.unwrap_or_else(|| "slugline".to_owned());
        let clickhouse = match self.clickhouse_url {
            Some(url) => ClickHouseChoice::Server(Target {
                url: url.to_string(),
                user: self.clickhouse_user.unwrap_or_else(|| "default".to_owned()),
                password: self.clickhouse_password.unwrap_or_default(),
                database,
            }),
            None => ClickHouseChoice::Embedded {
                lib: self.engine_lib.map_or(Source::Fetched, Source::File),
                memory_bytes: self.engine_memory_mb.map(|mib| mib << 20),
            },
        };
        let proxies = self.trusted_proxies.as_deref().unwrap_or_default();
        let outgoing = self.outgoing_allow.as_deref().unwrap_or_default();
        Ok(Settings {
            listen: self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            admin_listen: self.admin_listen,
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("data")),
            public_url: self.public_url,
            clickhouse,
            geo_db: source(self.geo_db),
            crawler_list: source(self.crawler_list),
            blocklist: self.blocklist,
            trusted_proxies: proxies.parse().context("trusted-proxies")?,
            connections_per_address: self.connections_per_address,
            outgoing_allow: outgoing
                .parse()
                .map_err(|why: String| anyhow::anyhow!("outgoing-allow: {why}"))?,
            dns_server: self.dns_server.as_deref().map(dns_server).transpose()?,
            tls,
            visitor_salt: visitor_salt.context("visitor-salt")?,
            clicks_sync_interval: interval,
            clicks_retention: retention(
                "clicks-retention",
                self.clicks_retention.as_deref().filter(|text| *text != "keep"),
                ("keep", MIN_RETENTION),
            )?,
            analytics_retention: retention(
                "analytics-retention",
                self.analytics_retention.as_deref().filter(|text| *text != "all"),
                ("all", MIN_ANALYTICS_RETENTION),
            )?,
            log_format: self.log_format.unwrap_or(LogFormat::Human),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn dns_server(text: &str) -> anyhow::Result<SocketAddr> {
    let whole = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| (ip, DNS_PORT).into()));
    whole.with_context(|| format!("dns-server: `{text}` is not an address such as 9.9.9.9:53"))
}

/// A retention with a minimum; `None` if it is not set.
fn retention(
    name: &str,
    text: Option<&str>,
    (none, least): (&str, Duration),
) -> anyhow::Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let age = humantime::parse_duration(text).with_context(|| {
        format!("{name}: `{text}` is neither `{none}` nor a duration such as 90d")
    })?;
    if age < least {
        bail!("{name} must be at least {}", humantime::format_duration(least));
    }
    Ok(Some(age))
}

fn read_file(path: &Path) -> anyhow::Result<ServeArgs> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn source(path: Option<PathBuf>) -> Source {
    match path {
        None => Source::Fetched,
        Some(path) if path == Path::new("none") => Source::Nothing,
        Some(path) => Source::File(path),
    }
}

fn check_public_url(url: &Url) -> anyhow::Result<()> {
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_bare {
        bail!("public-url must be http or https and a host, such as https://sho.rt, not `{url}`");
    }
    Ok(())
}

impl Settings {
    /// The public address of the service, given its listening address.
    pub fn site(&self, listening: SocketAddr) -> Site {
        let (scheme, host) = self.public_url.as_ref().map_or_else(
            || ("http".to_owned(), listening.to_string()),
            |url| {
                let host = url.host_str().unwrap_or_default();
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                (url.scheme().to_owned(), format!("{host}{port}"))
            },
        );
        Site { base: format!("{scheme}://{host}"), scheme, host }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(text: &str) -> anyhow::Result<Settings> {
        ServeArgs::default().or_defaults(toml::from_str(text)?).check()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = ServeArgs { data_dir: Some("/flag".into()), ..ServeArgs::default() };
        let file = toml::from_str(
            "data_dir = '/file'\nvisitor_salt = 'weekly'\nconnections_per_address = 50",
        )
        .unwrap();
        let settings = flags.or_defaults(file).check().unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("/flag"));
        assert_eq!(settings.visitor_salt, SaltPeriod::Weekly);
        assert_eq!(settings.connections_per_address, Some(50));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((settings.clicks_retention, settings.analytics_retention), (None, None));
    }

    fn acme(more: &str) -> String {
        format!("tls_listen = '127.0.0.1:8443'\ntls_acme = true\n{more}")
    }

    #[test]
    fn certificates_are_lets_encrypts_unless_another_is_named() {
        let directory = |more: &str| match file(&acme(more)).unwrap().tls.unwrap().certificates {
            TlsCertificates::Acme(settings) => settings.directory.to_string(),
            TlsCertificates::Given(_) => unreachable!(),
        };
        assert_eq!(directory(""), "https://acme-v02.api.letsencrypt.org/directory");
        let other = "tls_acme_directory = 'https://ca.example/d'";
        assert_eq!(directory(other), "https://ca.example/d");
        assert!(file("tls_acme = false").unwrap().tls.is_none());
    }

    /// `slugline serve` with these flags and a file that enables ACME.
    fn over_acme(flags: &[&str]) -> anyhow::Result<Settings> {
        #[derive(clap::Parser)]
        struct Serve {
            #[command(flatten)]
            args: ServeArgs,
        }
        let flags = std::iter::once("slugline").chain(flags.iter().copied());
        let args = <Serve as clap::Parser>::try_parse_from(flags)?.args;
        args.or_defaults(toml::from_str(&acme("tls_acme_contact = 'mailto:a@b.example'"))?).check()
    }

    #[test]
    fn an_explicit_false_wins_over_the_file() {
        let certificates = |flags: &[&str]| over_acme(flags).unwrap().tls.unwrap().certificates;
        let given = ["--tls-acme=false", "--tls-dir", "/c"];
        assert!(matches!(certificates(&given), TlsCertificates::Given(_)));
        for flags in [&[][..], &["--tls-acme"], &["--tls-acme=true"]] {
            assert!(matches!(certificates(flags), TlsCertificates::Acme(_)), "{flags:?}");
        }
        let error = over_acme(&["--tls-acme=false"]).unwrap_err().to_string();
        assert!(error.contains("tls-listen requires"), "{error}");
        assert!(over_acme(&["--tls-acme=perhaps"]).is_err());
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, named) in [
            ("lissen = 1", "lissen"),
            ("visitor_salt = 'hourly'", "visitor-salt"),
            ("trusted_proxies = '10.0.0.0/33'", "trusted-proxies"),
            ("connections_per_address = 0", "connections-per-address"),
            ("connections_per_address = -1", "connections_per_address"),
            ("outgoing_allow = 'home'", "outgoing-allow"),
            ("dns_server = 'dns.example'", "dns-server"),
            ("tls_listen = '127.0.0.1:8443'", "tls-cert"),
            ("tls_dir = '/certificates'", "tls-listen"),
            ("tls_listen = '127.0.0.1:8443'\ntls_cert = '/c'", "tls-key"),
            ("tls_acme = true", "tls-listen"),
            ("tls_acme_contact = 'mailto:a@b.example'", "tls-acme"),
            ("tls_listen = '127.0.0.1:8443'\ntls_acme = true\ntls_dir = '/c'", "tls-dir"),
            (&acme("tls_acme_contact = 'a@b.example'"), "tls-acme-contact"),
            (&acme("tls_acme_directory = 'http://ca.example/'"), "tls-acme-directory"),
            ("clicks_sync_interval = 'soon'", "clicks-sync-interval"),
            ("clicks_sync_interval = '2h'", "clicks-sync-interval"),
            ("clicks_retention = 'some'", "clicks-retention"),
            ("clicks_retention = '5min'", "clicks-retention"),
            ("clicks_retention = 'all'", "clicks-retention"),
            ("analytics_retention = 'keep'", "analytics-retention"),
            ("analytics_retention = '23h'", "analytics-retention"),
            ("public_url = 'https://sho.rt/path'", "public-url"),
        ] {
            let error = format!("{:#}", file(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_site_is_the_public_url_or_where_it_listens() {
        let listening = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(file("").unwrap().site(listening).base, "http://127.0.0.1:8080");
        let site = file("public_url = 'https://Sho.rt:8443/'").unwrap().site(listening);
        assert_eq!(
            (site.base.as_str(), site.host.as_str()),
            ("https://sho.rt:8443", "sho.rt:8443")
        );
    }
}
