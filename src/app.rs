//! The composition root: opens, starts and shuts down all parts in order.

mod accounts;
mod acme;
pub mod analytics;
mod api_calls;
mod blocklist;
pub mod control;
pub mod crawlers;
mod domain_verifier;
mod downloads;
mod health;
pub mod last_used_file;
mod locations;
mod logo_fetcher;
mod mail;
mod open_files;
pub mod permissions;
mod plans;
mod policies;
mod process;
mod recharge_mail;
mod scans;
mod signals;
mod tls;
mod unlock_key;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use url::Url;

use accounts::FirstSuperadmin;
use analytics::{AnalyticsSide, EmbeddedEngine, keep_pace};
use api_calls::ApiCallWriter;
use blocklist::BlocklistFile;
use control::ControlFile;
use crawlers::{CrawlerClassifier, Crawlers};
use domain_verifier::RemoteDomainVerifier;
use downloads::Fetches;
use health::{HealthReporter, install_metrics, keep_metrics};
use locations::Locations;
use logo_fetcher::RemoteLogoFetcher;
use plans::{CatalogueFile, Renewals};
use policies::open_policies;
use signals::{Reloadable, StopSignal, reload_on_hangup};
use tls::TlsSide;

use crate::clicks::{ClickCaps, Enricher, Recorder, UserAgentCache, VisitorBucketer, VisitorSalts};
use crate::commands::accounts::Accounts;
use crate::commands::{Bootstrap, Commands, bootstrap, now_ms};
use crate::config::{ClickHouseChoice, Settings};
use crate::effects::mail::SmtpMailer;
use crate::effects::{Guard, Names, Outgoing};
use crate::http::attempt_limiter::AddressLimits;
use crate::http::auth::SessionCookies;
use crate::http::challenge::OpenChallenge;
use crate::http::last_used::LastUsed;
use crate::http::pages::Visitors;
use crate::http::qr_codes::QrServices;
use crate::http::redirect::Redirector;
use crate::http::transport::connections::{ConnectionLimits, Listener};
use crate::http::transport::tls::Certificates;
use crate::http::transport::{self, HttpApp};
use crate::http::{Audience, Services, Site, Tokens};
use crate::identity::JwtKeys;
use crate::jobs::Scheduler;
use crate::jobs::exports::Exports;
use crate::jobs::imports::Imports;
use crate::jobs::qr_exports::QrExports;
use crate::limits::{ADMIN_CONNECTIONS, RENDERS_PER_WORKSPACE};
use crate::log::{DataLock, DiskStorage, LocalLog, Log, LogOptions, Worker};
use crate::projections::DeletionPropagator;
use crate::projections::history::History;
use crate::projections::index::{Compactor, Index, Rebuilder};
use crate::qr::RenderPool;
use crate::queries::WorkspaceLimiter;
use crate::queries::analytics::Analytics;
use crate::queries::domains::Domains;
use crate::queries::history::LinkHistory;
use crate::queries::links::Links;
use crate::queries::operations::Operations;
use crate::queries::plans::Plans;
use crate::queries::qr_codes::QrCodes;

/// Serves until SIGTERM or SIGINT.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    // A counter made before this is never shown.
    let metrics = install_metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Bind first, to detect a port in use before anything is fetched or opened.
    let (listener, admin_listener, mut tls) = {
        let _context = runtime.enter();
        let listener = listen(settings.listen)?;
        (listener, settings.admin_listen.map(listen).transpose()?, TlsSide::open(settings)?)
    };
    let _lock = DataLock::acquire(&settings.data_dir)?;
    permissions::restrict(&settings.data_dir);
    let first = FirstSuperadmin::from_environment()?;
    let limits = connection_limits(settings);
    let site = settings.site(listener.local_addr()?);
    let app = App::open(settings, &site, metrics)?;
    let public = listener.local_addr()?;
    let operator = admin_listener.as_ref().map_or(Ok(public), Listener::local_addr)?;
    let control = ControlFile::write(&settings.data_dir, public, operator)?;
    let mailer = mail::start(settings, runtime.handle());
    let set_up = runtime.block_on(first.set_up(&app.accounts, &app.bootstrap))?;
    let stop = StopSignal::listen(&runtime);
    announce(&app.bootstrap, set_up.as_deref(), &site);
    runtime.block_on(async {
        let mut scheduler = Scheduler::default();
        let challenge = Arc::<OpenChallenge>::default();
        let (key, opened) = (control.key_sha256, Arc::clone(&challenge));
        let certificates = tls.as_ref().map(TlsSide::certificates);
        let services =
            app.services(settings, site, key, opened, mailer.clone(), certificates.clone());
        crate::http::resume_qr_exports(&services);
        let (meter, plans) = (Arc::clone(&services.api_meter), services.plans.clone());
        let api_calls = ApiCallWriter::start(&mut scheduler, app.commands.clone(), meter);
        let redirector = Some(app.redirector(&services));
        let admin =
            admin_listener.map(|listener| serve_admin(listener, &services, settings, stop.clone()));
        let audience = if admin.is_some() { Audience::Public } else { Audience::All };
        let router = crate::http::router(services, audience);
        let http_app = HttpApp { redirector, router, is_tls: false };
        if let Some(tls) = &mut tls {
            let own_host = settings.public_url.as_ref().and_then(Url::host_str);
            tls.obtain(&mut scheduler, challenge, Arc::clone(&app.index), own_host)?;
        }
        let secured = tls.map(|tls| tls.serve(Arc::clone(&limits), http_app.clone(), stop.clone()));
        tokio::spawn(reload_on_hangup(app.reloadable(certificates)));
        if matches!(settings.clickhouse, ClickHouseChoice::Embedded { .. }) {
            let clickhouse = app.analytics.clickhouse.clone();
            keep_pace(&mut scheduler, Arc::clone(&app.recorder), clickhouse);
        }
        app.schedule(&mut scheduler, settings);
        if let Some(mailer) = mailer.clone() {
            recharge_mail::start(&mut scheduler, mailer, app.accounts.clone(), plans);
        }
        transport::serve(listener, limits, http_app, stop.received()).await?;
        for listener in [secured, admin].into_iter().flatten() {
            let _logged = listener.await;
        }
        if let Some(mailer) = mailer {
            mailer.stop().await;
        }
        api_calls.write().await;
        anyhow::Ok(())
    })?;
    tracing::info!("stopping");
    drop(control);
    let last_used = Arc::clone(&app.last_used);
    app.close();
    last_used_file::save(&settings.data_dir, &last_used);
    Ok(())
}

/// The limits of the public listeners.
fn connection_limits(settings: &Settings) -> Arc<ConnectionLimits> {
    Arc::new(ConnectionLimits::new(
        open_files::connections(open_files::raise_limit()),
        settings.connections_per_address,
        settings.trusted_proxies.clone(),
    ))
}

/// Everything that is open while the service runs, in the order of opening.
struct App {
    mutations: Arc<dyn Log>,
    clicks: Arc<dyn Log>,
    index: Arc<Index>,
    bootstrap: Bootstrap,
    recorder: Arc<Recorder>,
    blocklist: Arc<BlocklistFile>,
    catalogue: Arc<CatalogueFile>,
    plans: Plans,
    syncer: Worker,
    limits_saver: Worker,
    classifier: Arc<CrawlerClassifier>,
    commands: Commands,
    dispatcher: thread::JoinHandle<()>,
    deletion_propagator: Worker,
    analytics: AnalyticsSide,
    fetches: Fetches,
    reads: Analytics,
    exports: Exports,
    qr_exports: QrExports,
    imports: Imports,
    compactor: Compactor,
    metrics: PrometheusHandle,
    unlock_key: [u8; 32],
    accounts: Accounts,
    jwt_keys: JwtKeys,
    last_used: Arc<LastUsed>,
}

impl App {
    fn open(settings: &Settings, site: &Site, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let data = settings.data_dir.as_path();
        let crawlers = Crawlers::read(&settings.crawler_list);
        let (engine, embedded) = EmbeddedEngine::open(settings)?;
        let (geo_db, geo) = locations::open_geo(&settings.geo_db)?;

        let mutations: Arc<dyn Log> = Arc::new(open_log(&data.join("log/mutations"))?);
        let clicks: Arc<dyn Log> = Arc::new(open_log(&data.join("log/clicks"))?);
        let index = Arc::new(Index::open(&data.join("index"), &*mutations)?);
        let given = std::env::var("SLUGLINE_BOOTSTRAP_TOKEN").ok();
        let bootstrap = bootstrap(&*mutations, &index, given.as_deref())?;
        let visitors =
            VisitorSalts::open(data.join("visitor.salt"), settings.visitor_salt, now_ms())?;
        let proxies = settings.trusted_proxies.clone();
        let (crawler_list, bots) = crawlers.join()?;
        let agents = Arc::new(UserAgentCache::new(bots));
        let classifier = CrawlerClassifier::new(settings.crawler_list.clone(), Arc::clone(&agents));
        let enricher =
            Enricher { proxies, geo, agents, visitors, find_code: scans::find_code(&index) };
        let limits = ClickCaps::open(&data.join("limits"), &clicks)?;
        let recorder = Arc::new(Recorder::new(enricher, Arc::clone(&clicks), limits));
        let syncer = recorder.start_syncing(settings.clicks_sync_interval)?;
        let limits_saver = start_saving_caps(&recorder, &index)?;

        let (blocklist, catalogue, policies) = open_policies(settings, site, &index)?;
        let plans = Plans::new(Arc::clone(&index), catalogue.catalogues());
        let (commands, dispatcher) =
            Commands::start(Arc::clone(&mutations), Arc::clone(&index), policies)?;
        let unlock_key = unlock_key::read_or_make(data)?;
        let (accounts, jwt_keys) =
            accounts::open(settings, site, (&commands, &index), &unlock_key)?;
        let compactor = Compactor::start(Arc::clone(&index), &mutations)?;

        let (deletion_propagator, forgotten) =
            DeletionPropagator::start(&mutations, Arc::clone(&clicks), data)?;
        let analytics = AnalyticsSide::open(settings, &clicks, forgotten, embedded)?;
        let locations = Locations { engine, geo_db, crawler_list };
        let fetches = Fetches::start(&locations, &recorder, &analytics)?;
        let (clickhouse, retention) = (analytics.clickhouse.clone(), settings.analytics_retention);
        let reads = Analytics::new(clickhouse, retention, Some(plans.clone()));
        Ok(Self {
            mutations,
            clicks,
            index,
            bootstrap,
            recorder,
            blocklist,
            catalogue,
            plans,
            syncer,
            limits_saver,
            classifier: Arc::new(classifier),
            imports: Imports::open(&data.join("imports"), commands.clone())?,
            commands,
            dispatcher,
            deletion_propagator,
            analytics,
            fetches,
            exports: Exports::open(&data.join("exports"), reads.clone())?,
            reads,
            qr_exports: QrExports::open(&data.join("qr-exports"), RenderPool::default())?,
            compactor,
            metrics,
            unlock_key,
            accounts,
            jwt_keys,
            last_used: Arc::new(last_used_file::read(data)),
        })
    }

    fn services(
        &self,
        settings: &Settings,
        site: Site,
        operator_key: [u8; 32],
        challenge: Arc<OpenChallenge>,
        mailer: Option<SmtpMailer>,
        certificates: Option<Arc<Certificates>>,
    ) -> Services {
        let links = Links::new(Arc::clone(&self.index));
        let health = HealthReporter {
            commands: self.commands.clone(),
            mutations: Arc::clone(&self.mutations),
            clicks: Arc::clone(&self.clicks),
            index: Arc::clone(&self.index),
            clickhouse: self.analytics.clickhouse.clone(),
            recorder: Arc::clone(&self.recorder),
            certificates,
            metrics: self.metrics.clone(),
            downloads: Arc::clone(&self.fetches.states),
        };
        let rebuilder = Rebuilder::new(Arc::clone(&self.index), Arc::clone(&self.mutations));
        let visitors = Visitors::new(Arc::clone(&self.recorder), &self.unlock_key, &site);
        let last_used = Arc::clone(&self.last_used);
        let history = History::new(Arc::clone(&self.mutations));
        let names = Names::new(settings.dns_server);
        let outgoing = Outgoing::new(names.clone(), Guard::new(settings.outgoing_allow.clone()));
        Services {
            qr: self.qr(&history, settings.fetch_logos.then(|| outgoing.clone())),
            tokens: Tokens::new(self.commands.clone(), links.clone(), last_used),
            auth_failures: Arc::default(),
            rate_limiter: Arc::default(),
            api_meter: Arc::default(),
            plans: self.plans.clone(),
            provider_secrets: settings.provider_secrets.clone(),
            scheduled: Arc::new(self.renewals()),
            cron_secret: settings.cron_secret,
            accounts: self.accounts.clone(),
            session_cookies: SessionCookies::new(&self.unlock_key, &site),
            address_limits: AddressLimits::new(
                settings.api_rate_per_address,
                settings.redirect_rate_per_address,
            ),
            sign_in_limits: Arc::default(),
            commands: self.commands.clone(),
            links,
            link_history: LinkHistory::new(Arc::clone(&self.index), history),
            domains: Domains::new(Arc::clone(&self.index)),
            domain_verifier: Arc::new(RemoteDomainVerifier::new(names, outgoing)),
            challenge,
            analytics: self.reads.clone(),
            exports: self.exports.clone(),
            imports: self.imports.clone(),
            mailer: mailer.map(|mailer| Arc::new(mailer) as _),
            visitors: Arc::new(visitors),
            dialect_hosts: settings.dialect_hosts.clone(),
            site: Arc::new(site),
            health: Arc::new(health),
            operations: Operations {
                analytics: self.analytics.operator.clone(),
                index: rebuilder,
                classifier: Arc::clone(&self.classifier) as _,
            },
            operator_key,
        }
    }

    /// With a client to fetch logos, if that is enabled.
    fn qr(&self, history: &History, outgoing: Option<Outgoing>) -> QrServices {
        QrServices {
            codes: QrCodes::new(Arc::clone(&self.index), history.clone()),
            pool: self.qr_exports.pool.clone(),
            workspace_limiter: WorkspaceLimiter::new(RENDERS_PER_WORKSPACE),
            images: Arc::default(),
            exports: self.qr_exports.clone(),
            fetcher: outgoing.map(|outgoing| Arc::new(RemoteLogoFetcher::new(outgoing)) as _),
        }
    }

    fn renewals(&self) -> Renewals {
        Renewals::new(self.commands.clone(), Arc::clone(&self.index), self.imports.clone())
    }

    /// Schedules the periodic tasks, and resumes interrupted work.
    fn schedule(&self, scheduler: &mut Scheduler, settings: &Settings) {
        keep_metrics(scheduler, self.metrics.clone());
        let last_used = Arc::clone(&self.last_used);
        last_used_file::keep_saved(scheduler, settings.data_dir.clone(), last_used);
        accounts::keep_up(scheduler, self.accounts.clone(), self.jwt_keys.clone());
        plans::keep_up(scheduler, self.renewals());
        self.exports.jobs.keep_clean(scheduler);
        self.qr_exports.jobs.keep_clean(scheduler);
        self.imports.jobs.keep_clean(scheduler);
        self.imports.resume();
    }

    fn reloadable(&self, certificates: Option<Arc<Certificates>>) -> Reloadable {
        Reloadable {
            recorder: Arc::clone(&self.recorder),
            blocklist: Arc::clone(&self.blocklist),
            catalogue: Arc::clone(&self.catalogue),
            index: Arc::clone(&self.index),
            certificates,
        }
    }

    fn redirector(&self, services: &Services) -> Arc<Redirector> {
        let bucketer = VisitorBucketer::new(&self.unlock_key);
        let (links, unlock) = (services.links.clone(), services.visitors.unlock.clone());
        let (recorder, visits) =
            (Arc::clone(&self.recorder), services.address_limits.visits.clone());
        let hosts = services.dialect_hosts.clone();
        Arc::new(Redirector::new(links, recorder, unlock, bucketer, visits, hosts))
    }

    /// Shuts down in the order of the data flow: accepted requests are finished, synced and
    /// projected; then the engine stops.
    fn close(self) {
        self.fetches.stop();
        self.imports.stop();
        drop((self.commands, self.accounts));
        let _panicked = self.dispatcher.join();
        self.compactor.stop();
        self.deletion_propagator.stop();
        self.limits_saver.stop();
        self.syncer.stop();
        if let Err(error) = self.index.flush() {
            tracing::warn!(%error, "the index could not be flushed; it will catch up from the log");
        }
        self.analytics.close();
        tracing::info!("stopped");
    }
}

/// Starts to save the click counts of links that may be limited.
fn start_saving_caps(recorder: &Arc<Recorder>, index: &Arc<Index>) -> std::io::Result<Worker> {
    let index = Arc::clone(index);
    recorder.start_saving_caps(move |link| index.may_be_limited(link, now_ms()).unwrap_or(true))
}

fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Serves the operator's routes with its own connection limit, so that visitors cannot lock the
/// operator out.
fn serve_admin(
    listener: Listener,
    services: &Services,
    settings: &Settings,
    stop: StopSignal,
) -> JoinHandle<()> {
    let proxies = settings.trusted_proxies.clone();
    let limits = ConnectionLimits::new(ADMIN_CONNECTIONS, Some(ADMIN_CONNECTIONS), proxies);
    let router = crate::http::router(services.clone(), Audience::Operator);
    let http_app = HttpApp { redirector: None, router, is_tls: false };
    tokio::spawn(async move {
        if let Err(error) =
            transport::serve(listener, Arc::new(limits), http_app, stop.received()).await
        {
            tracing::error!(%error, "the admin listener failed");
        }
    })
}

/// Opens a log with the default options.
pub fn open_log(folder: &Path) -> anyhow::Result<LocalLog> {
    Ok(LocalLog::open(Arc::new(DiskStorage), folder, LogOptions::default())?)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[allow(clippy::print_stdout, reason = "the token must be printed, not logged")]
fn announce(bootstrap: &Bootstrap, set_up: Option<&str>, site: &Site) {
    if let Bootstrap::WithNewToken(_, token) = bootstrap {
        println!("Your owner token, shown this once:\n\n    {token}\n");
        if let Some(set_up) = set_up {
            let base = &site.base;
            println!(
                "To sign in, set your password within a week:\n\n    {base}/auth/set-up/{set_up}\n"
            );
        }
    }
    if *bootstrap == Bootstrap::GivenTokenIgnored {
        tracing::warn!(
            "SLUGLINE_BOOTSTRAP_TOKEN is ignored: the data folder already has a workspace; use \
             `slugline token create` to create a token"
        );
    }
    tracing::info!(url = site.base, "slugline is ready");
    let listening = site.host.parse::<SocketAddr>();
    if listening.is_ok_and(|address| address.ip().is_unspecified()) {
        tracing::info!("short URLs begin with {}; set --public-url to change this", site.base);
    }
}
