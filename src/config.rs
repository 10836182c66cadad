//! Settings from flags, `SLUGLINE_*` environment variables, a TOML file, and defaults, in this
//! order of precedence. They are validated once at start.

mod accounts;
mod address;
mod billing;
mod clickhouse;
mod log_filter;
mod mail;
mod proxies;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use url::Url;

pub use address::http_url;
use address::{bare_url, of_name_server, to_listen_on};
pub use billing::Secret;
pub use mail::SmtpUrl;
pub use tls::{TlsCertificates, TlsSettings};

use crate::clicks::{SaltPeriod, TrustedProxies};
use crate::commands::accounts::SignUpMode;
use crate::effects::AllowedNets;
use crate::effects::mail::MailSettings;
use crate::http::{DialectHosts, ProviderSecrets, Site};
use crate::projections::clickhouse::Target;

/// The default of `--listen`.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// The minimum retention of clicks in the log.
const MIN_RETENTION: Duration = Duration::from_secs(3_600);
/// The minimum retention of analytics: days are counted as a whole.
const MIN_ANALYTICS_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// Declares each setting once: its help text, its type as given, the flag's attributes, and its
/// type and value as validated. Settings without a value are validated together with others.
macro_rules! settings {
    ($(
        $(#[doc = $help:literal])+
        $name:ident: $given:ident [$($flag:tt)+] $(=> $type:ty { $value:expr })?;
    )+) => {
        /// The settings of `slugline serve` as given. In a file they have the same names with `_`
        /// for `-`.
        #[derive(Debug, Default, Args, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct ServeArgs {
            $(
                $(#[doc = $help])+
                #[arg(long, $($flag)+)]
                $name: Option<$given>,
            )+
            /// A TOML file with any of these settings
            #[arg(long, env = "SLUGLINE_CONFIG", value_name = "FILE")]
            #[serde(skip)]
            config: Option<PathBuf>,
        }

        /// The validated settings.
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "each is documented in ServeArgs")]
        pub struct Settings {
            pub clickhouse: ClickHouseChoice,
            /// `None` for no TLS.
            pub tls: Option<TlsSettings>,
            /// `None` for no mail.
            pub mail: Option<MailSettings>,
            pub provider_secrets: ProviderSecrets,
            pub trusted_proxies: TrustedProxies,
            $($(pub $name: $type,)?)+
        }

        impl ServeArgs {
            /// These settings, with those of the file as defaults.
            fn or_defaults(self, file: Self) -> Self {
                Self { $($name: self.$name.or(file.$name),)+ config: None }
            }

            fn check(self) -> anyhow::Result<Settings> {
                Ok(Settings {
                    tls: tls::check(&self)?,
                    mail: accounts::check(&self, mail::check(&self)?)?,
                    provider_secrets: billing::check(&self)?,
                    trusted_proxies: proxies::check(&self)?,
                    clickhouse: clickhouse::choice(&self),
                    $($($name: named(stringify!($name), self.$name, |$name| Ok($value))?,)?)+
                })
            }
        }
    };
}

settings! {
    /// The address to listen on [default: 127.0.0.1:8080]
    listen: String [env = "SLUGLINE_LISTEN", value_name = "ADDRESS:PORT"]
        => SocketAddr { listen.map_or(Ok(DEFAULT_LISTEN), |listen| to_listen_on(&listen))? };
    /// Serve probes, metrics and the operator's API only here; keep it private [default: --listen]
    admin_listen: String [env = "SLUGLINE_ADMIN_LISTEN", value_name = "ADDRESS:PORT"]
        => Option<SocketAddr> { admin_listen.as_deref().map(to_listen_on).transpose()? };
    /// The data folder [default: ./data]
    data_dir: PathBuf [env = "SLUGLINE_DATA_DIR", value_name = "FOLDER"]
        => PathBuf { data_dir.unwrap_or_else(|| PathBuf::from("data")) };
    /// The URL at which visitors reach the service; the base of short URLs [default: http and
    /// --listen]
    public_url: String [env = "SLUGLINE_PUBLIC_URL", value_name = "URL"]
        => Option<Url> { public_url.as_deref().map(bare_url).transpose()? };
    /// Hosts on which the API of another product is at the root: `qklnk=qklnk.example` [default:
    /// none]
    dialect_hosts: String [env = "SLUGLINE_DIALECT_HOSTS", value_name = "NAME=HOST,…"]
        => DialectHosts { dialect_hosts.unwrap_or_default().parse()? };
    /// A ClickHouse server (24.8 or later) to use instead of the embedded one
    clickhouse_url: Url [env = "SLUGLINE_CLICKHOUSE_URL", value_name = "URL"];
    /// The ClickHouse user [default: default]
    clickhouse_user: String [
        env = "SLUGLINE_CLICKHOUSE_USER", value_name = "NAME", requires = "clickhouse_url"
    ];
    /// The user's password; prefer the environment variable to the flag
    clickhouse_password: String [
        env = "SLUGLINE_CLICKHOUSE_PASSWORD", value_name = "PASSWORD", hide_env_values = true
    ];
    /// The ClickHouse database, created if missing [default: slugline]
    clickhouse_database: String [env = "SLUGLINE_CLICKHOUSE_DATABASE", value_name = "NAME"];
    /// A libchdb to use instead of fetching it
    engine_lib: PathBuf [env = "SLUGLINE_ENGINE_LIB", value_name = "FILE"];
    /// The memory limit of the embedded ClickHouse in MiB [default: a quarter of all, at most 4096]
    engine_memory_mb: u64 [env = "SLUGLINE_ENGINE_MEMORY_MB", value_name = "MIB"];
    /// A geo database (mmdb) to use instead of the fetched one; `none` to disable
    geo_db: PathBuf [env = "SLUGLINE_GEO_DB", value_name = "FILE"]
        => Source { source(geo_db) };
    /// A crawler list in the JSON format of the npm package crawler-user-agents; `none` to disable
    crawler_list: PathBuf [env = "SLUGLINE_CRAWLER_LIST", value_name = "FILE"]
        => Source { source(crawler_list) };
    /// A list of forbidden destinations (hosts and patterns), reloaded on SIGHUP [default: none]
    blocklist: PathBuf [env = "SLUGLINE_BLOCKLIST", value_name = "FILE"]
        => Option<PathBuf> { blocklist };
    /// The catalogue of plans (TOML), reloaded on SIGHUP [default: one plan without limits]
    plans: PathBuf [env = "SLUGLINE_PLANS", value_name = "FILE"]
        => Option<PathBuf> { plans };
    /// Reverse proxies that are trusted to report the client's address: networks, `private` (all
    /// networks that are not public), `cloudflare` [default: none]
    trusted_proxies: String [env = "SLUGLINE_TRUSTED_PROXIES", value_name = "CIDR,…"];
    /// The header in which they report it, such as CF-Connecting-IP or X-Real-IP [default:
    /// Forwarded, X-Forwarded-For]
    client_ip_header: String [env = "SLUGLINE_CLIENT_IP_HEADER", value_name = "NAME"];
    /// The maximum number of connections per address (for IPv6, per /64 network); trusted proxies
    /// are exempt [default: a quarter of all, at most 4096]
    connections_per_address: usize [
        env = "SLUGLINE_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER"
    ]
        => Option<usize> { at_least_one(connections_per_address)? };
    /// The maximum number of API requests per minute and address (for IPv6, /64 network) [default:
    /// no limit]
    api_rate_per_address: u32 [env = "SLUGLINE_API_RATE_PER_ADDRESS", value_name = "NUMBER"]
        => Option<u32> { at_least_one(api_rate_per_address)? };
    /// The maximum number of visits of links, and of public images of QR codes, per minute and address
    /// (for IPv6, /64 network)
    /// [default: no limit]
    redirect_rate_per_address: u32 [
        env = "SLUGLINE_REDIRECT_RATE_PER_ADDRESS", value_name = "NUMBER"
    ]
        => Option<u32> { at_least_one(redirect_rate_per_address)? };
    /// Private networks that outgoing requests may reach [default: none]
    outgoing_allow: String [env = "SLUGLINE_OUTGOING_ALLOW", value_name = "CIDR,…"]
        => AllowedNets { outgoing_allow.unwrap_or_default().parse().map_err(anyhow::Error::msg::<String>)? };
    /// The name server for outgoing requests and domain verification [default: the system's]
    dns_server: String [env = "SLUGLINE_DNS_SERVER", value_name = "ADDRESS[:PORT]"]
        => Option<SocketAddr> { dns_server.as_deref().map(of_name_server).transpose()? };
    /// Whether logos of QR codes are fetched from URLs that users give [default: true]
    fetch_logos: bool [
        env = "SLUGLINE_FETCH_LOGOS", value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true,
        default_missing_value = "true"
    ]
        => bool { fetch_logos.unwrap_or(true) };
    /// The address to listen on for TLS, with a pair of files or a folder of them [default: none]
    tls_listen: String [env = "SLUGLINE_TLS_LISTEN", value_name = "ADDRESS:PORT"];
    /// The certificate chain (PEM), reloaded on SIGHUP
    tls_cert: PathBuf [env = "SLUGLINE_TLS_CERT", value_name = "FILE"];
    /// The certificate's key (PEM)
    tls_key: PathBuf [env = "SLUGLINE_TLS_KEY", value_name = "FILE"];
    /// A folder with HOST.crt and HOST.key for each host, `default` for the others
    tls_dir: PathBuf [env = "SLUGLINE_TLS_DIR", value_name = "FOLDER"];
    /// Obtain certificates with ACME for --public-url's host (ignoring its port) and each verified
    /// domain, and so agree to the authority's terms; port 80 of each must lead to --listen. Cannot
    /// be combined with provided certificates
    tls_acme: bool [
        env = "SLUGLINE_TLS_ACME", value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true,
        default_missing_value = "true"
    ];
    /// The contact for the authority, such as mailto:ops@example.com [default: none]
    tls_acme_contact: String [env = "SLUGLINE_TLS_ACME_CONTACT", value_name = "URL"];
    /// The authority's directory URL [default: Let's Encrypt's]
    tls_acme_directory: Url [env = "SLUGLINE_TLS_ACME_DIRECTORY", value_name = "URL"];
    /// The root certificates (PEM) of a private authority's own TLS [default: the system's]
    tls_acme_root: PathBuf [env = "SLUGLINE_TLS_ACME_ROOT", value_name = "FILE"];
    /// The SMTP server for mail to users, with --mail-from; prefer the environment variable to the
    /// flag [default: none]
    smtp_url: SmtpUrl [env = "SLUGLINE_SMTP_URL", value_name = "URL", hide_env_values = true];
    /// The sender of mail, such as slugline <links@example.com>
    mail_from: String [env = "SLUGLINE_MAIL_FROM", value_name = "ADDRESS"];
    /// The signing secret of Stripe's webhook endpoint; prefer the environment variable to the flag
    stripe_webhook_secret: Secret [
        env = "SLUGLINE_STRIPE_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true
    ];
    /// The secret with which reports of any other payment provider are signed; likewise
    billing_webhook_secret: Secret [
        env = "SLUGLINE_BILLING_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true
    ];
    /// The secret with which a scheduler starts tasks by /compat/linktj/api/cron; prefer the
    /// environment variable to the flag [default: none, only superadmins do]
    cron_secret: Secret [
        env = "SLUGLINE_CRON_SECRET", value_name = "SECRET", hide_env_values = true
    ]
        => Option<[u8; 32]> { billing::hashed(cron_secret.as_ref())? };
    /// Who can sign up: nobody (closed), the invited (invitation), or everybody who confirms an
    /// email address (open, which requires --smtp-url) [default: closed]
    sign_up: String [env = "SLUGLINE_SIGN_UP", value_name = "WHO"]
        => SignUpMode { accounts::sign_up(sign_up.as_deref().unwrap_or("closed"))? };
    /// How long the token of an app that signs in by POST /api/auth/token is valid [default: 1h]
    jwt_lifetime: String [env = "SLUGLINE_JWT_LIFETIME", value_name = "DURATION"]
        => Duration { accounts::jwt_lifetime(jwt_lifetime.as_deref().unwrap_or("1h"))? };
    /// How long a visitor ID is stable: daily, weekly, monthly or never [default: daily]
    visitor_salt: String [env = "SLUGLINE_VISITOR_SALT", value_name = "PERIOD"]
        => SaltPeriod { visitor_salt.as_deref().unwrap_or("daily").parse()? };
    /// The maximum time of clicks that a power failure can lose [default: 100ms]
    clicks_sync_interval: String [env = "SLUGLINE_CLICKS_SYNC_INTERVAL", value_name = "DURATION"]
        => Duration { sync_interval(clicks_sync_interval.as_deref().unwrap_or("100ms"))? };
    /// When to drop clicks from the log after ClickHouse has them: `90d`, or `keep` [default: keep]
    clicks_retention: String [env = "SLUGLINE_CLICKS_RETENTION", value_name = "DURATION"]
        => Option<Duration> { retention(clicks_retention.as_deref(), "keep", MIN_RETENTION)? };
    /// How far back analytics go: `365d`, or `all` [default: all]
    analytics_retention: String [env = "SLUGLINE_ANALYTICS_RETENTION", value_name = "DURATION"]
        => Option<Duration> { retention(analytics_retention.as_deref(), "all", MIN_ANALYTICS_RETENTION)? };
    /// The format of the log on standard error [default: human]
    log_format: LogFormat [env = "SLUGLINE_LOG_FORMAT", value_enum]
        => LogFormat { log_format.unwrap_or(LogFormat::Human) };
    /// Log each request: method, path, status, duration and request id; never addresses or tokens
    access_log: bool [
        env = "SLUGLINE_ACCESS_LOG", value_name = "BOOLEAN",
        value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true,
        default_missing_value = "true"
    ]
        => bool { access_log.unwrap_or(false) };
    /// What to log: a level, or targets with levels [default: info]
    log: String [env = "SLUGLINE_LOG", value_name = "FILTER"]
        => String { log_filter::check(log.unwrap_or_default())? };
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

impl ServeArgs {
    /// Reads the settings file, if any, merges and validates the settings.
    pub fn settings(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => Self::default(),
        };
        self.or_defaults(file).check()
    }
}

/// Validates a setting; an error names it.
fn named<G, T>(
    name: &str,
    given: Option<G>,
    validate: impl FnOnce(Option<G>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    validate(given).with_context(|| name.replace('_', "-"))
}

fn at_least_one<N: Default + PartialEq>(number: Option<N>) -> anyhow::Result<Option<N>> {
    if number == Some(N::default()) {
        bail!("must be at least 1");
    }
    Ok(number)
}

fn sync_interval(text: &str) -> anyhow::Result<Duration> {
    let interval = humantime::parse_duration(text)
        .with_context(|| format!("`{text}` is not a duration such as 100ms"))?;
    if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&interval) {
        bail!("must be from 1ms to 1min");
    }
    Ok(interval)
}

/// A retention with a minimum; `None` if it is not set, or set to the word for no limit.
fn retention(
    text: Option<&str>,
    unlimited: &str,
    min: Duration,
) -> anyhow::Result<Option<Duration>> {
    let Some(text) = text.filter(|text| *text != unlimited) else { return Ok(None) };
    let age = humantime::parse_duration(text)
        .with_context(|| format!("`{text}` is neither `{unlimited}` nor a duration such as 90d"))?;
    if age < min {
        bail!("must be at least {}", humantime::format_duration(min));
    }
    Ok(Some(age))
}

fn read_file(path: &Path) -> anyhow::Result<ServeArgs> {
    let shown = || format!("--config {}", path.display());
    let text = std::fs::read_to_string(path).with_context(shown)?;
    toml::from_str(&text).with_context(shown)
}

fn source(path: Option<PathBuf>) -> Source {
    match path {
        None => Source::Fetched,
        Some(path) if path == Path::new("none") => Source::Nothing,
        Some(path) => Source::File(path),
    }
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
            ("trusted_proxies = 'private'\nclient_ip_header = 'X IP'", "client-ip-header"),
            ("client_ip_header = 'X-Real-IP'", "trusted-proxies"),
            ("connections_per_address = 0", "connections-per-address"),
            ("connections_per_address = -1", "connections_per_address"),
            ("api_rate_per_address = 0", "api-rate-per-address"),
            ("redirect_rate_per_address = -1", "redirect_rate_per_address"),
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
            ("log = 'inf'", "log: `inf`"),
            ("public_url = 'https://sho.rt/path'", "public-url"),
            ("public_url = 'sho.rt'", "public-url: add http://"),
            ("public_url = 'localhost:8080'", "public-url: add http://"),
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
