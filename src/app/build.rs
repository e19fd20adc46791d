//! Builds the server in steps, each with a struct for its result: open, shared limits, gateways, REST API, dispatchers.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use axum::{Router, middleware};
use serde_json::Value;
use socketioxide::SocketIo;

use super::description;
use super::facts::ServerFacts;
use super::flows;
use super::kept_reports::KeptReports;
use super::metrics::CountedParts;
use super::open::Opened;
use super::router::{self, HttpsPort, MainPort, RequestGuards};
use super::server::App;
use crate::addresses::ice_servers::{AdvertisedPort, IceServers};
use crate::admin::Admin;
use crate::api;
use crate::api::keys::ApiKeys;
use crate::api::metric_families::MetricsSource;
use crate::api::state::{ApiState, PublicAddress, Readiness, ReadinessCheck};
use crate::apprtc;
use crate::apprtc::gateway::AppRtcGateway;
use crate::apprtc::room_server::RoomServer;
use crate::cast::gateway::CastGateway;
use crate::cast::issuer::Issuer;
use crate::cast::model::RoomsConfig;
use crate::cast::resume_token::TokenKey;
use crate::cast::room::Rooms;
use crate::check::{self, Checks};
use crate::config::{CertificateSource, Config};
use crate::control::ControlSocket;
use crate::diagnosis::observation::FactsSource;
use crate::http::redirect::Redirect;
use crate::http::response_bytes;
use crate::http::server::HttpServer;
use crate::ingress::{Dispatcher, UnidentifiedLimit};
use crate::limits::concurrency::ClientCounter;
use crate::limits::guesses::{GuessKind, Guesses};
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::rate::ClientLimiter;
use crate::limits::retry_after;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection;
use crate::multiconnection::gateway::MultiConnectionGateway;
use crate::operator::RelayedRate;
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::Sources;
use crate::socketio;
use crate::tls::HandshakeConfigs;
use crate::users::{Directory, PasswordChecks};

impl App {
    /// Opens the database, starts the relay and binds the ports.
    ///
    /// # Errors
    /// A sentence that says what to do: the data folder or its database can't be used or has a server, a port is taken, an address is not this
    /// machine's.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let opened = Opened::open(config).await?;
        let limits = SharedLimits::new(&opened);
        let ice = opened.ice_servers();
        let gateways = Gateways::build(&opened, &ice, &limits);
        let relay_alive = Arc::new(AtomicBool::new(true));
        let checks = opened.checks(ice.clone());
        let api = opened.api(ice.clone(), &gateways, &limits, &relay_alive, &checks);
        let Gateways { cast, multiconnection, apprtc, signaling, io, reporter } = gateways;
        let (proxies, password_checks) = (limits.requests.proxies.clone(), limits.password_checks.clone());
        let admin = opened.admin(&limits.password_checks, &checks);
        let ledger = limits.ledger.clone();
        let dispatchers = opened.dispatchers(signaling, api, &apprtc, &admin, limits);
        let control = ControlSocket::bind(&opened.config.data_dir);
        opened.self_test.test_relay().await;
        let Opened {
            config,
            listeners,
            lock,
            store,
            directory,
            external,
            certificates,
            relay,
            descriptors,
            clock,
            public_names,
            self_test,
            hooks,
            ..
        } = opened;
        Ok(Self {
            config,
            listeners,
            dispatcher: dispatchers.main,
            collider_dispatcher: dispatchers.collider,
            certificates,
            apprtc,
            cast,
            multiconnection,
            io,
            external,
            relay,
            relay_alive,
            directory,
            lock,
            store,
            descriptors,
            clock,
            public_names,
            reporter,
            self_test,
            checks,
            relayed_rate: RelayedRate::default(),
            admin,
            ice,
            proxies,
            ledger,
            password_checks,
            control,
            hooks,
        })
    }
}

/// Limits that several parts count against together.
struct SharedLimits {
    ledger: Ledger,
    kept_buffers: KeptBuffers,
    /// Requests for credentials, of the REST API and the cast gateway.
    credentials: ClientLimiter,
    requests: RequestGuards,
    password_checks: PasswordChecks,
}

impl SharedLimits {
    fn new(opened: &Opened) -> Self {
        let banned = opened.directory.banned_addresses().clone();
        Self {
            ledger: Ledger::default(),
            kept_buffers: KeptBuffers::default(),
            credentials: ClientLimiter::per_minute(opened.config.credentials.rate),
            requests: RequestGuards { banned, ..RequestGuards::default() },
            password_checks: PasswordChecks::default(),
        }
    }
}

/// The gateways, and the Socket.IO server with the handlers of two of them.
struct Gateways {
    cast: CastGateway,
    multiconnection: MultiConnectionGateway,
    apprtc: AppRtcGateway,
    signaling: socketio::Server,
    io: SocketIo,
    reporter: Reporter,
}

impl Gateways {
    fn build(opened: &Opened, ice: &IceServers, limits: &SharedLimits) -> Self {
        let issuer = CastIssuer {
            directory: opened.directory.clone(),
            ice: ice.clone(),
            limiter: limits.credentials.clone(),
            names: RandomState::new(),
        };
        let sources = Sources { watch: opened.watch.clone(), facts: opened.facts() };
        let reporter = Reporter::new(KeptReports::new(&opened.store), opened.hooks.webhooks.events());
        let cast = opened.cast_gateway(issuer, &limits.ledger, &sources, &reporter);
        let multiconnection = opened.multiconnection_gateway(&limits.ledger, &limits.password_checks);
        let apprtc = AppRtcGateway::new(
            &opened.config.apprtc,
            limits.ledger.clone(),
            limits.kept_buffers.clone(),
            sources,
            reporter.clone(),
            opened.admission.clone(),
        );
        let (signaling, io) = socketio::server(limits.ledger.clone(), limits.kept_buffers.clone());
        flows::attach(&io, &cast, &multiconnection);
        Self { cast, multiconnection, apprtc, signaling, io, reporter }
    }
}

/// What serves the connections of the ports: Collider's own one, and all others.
struct Dispatchers {
    main: Dispatcher,
    collider: Dispatcher,
}

impl Opened {
    fn ice_servers(&self) -> IceServers {
        let relay = &self.relay;
        let ports = [Some(relay.listening().port()), relay.alternate_port()];
        let advertised = AdvertisedPort::at(ports.into_iter().flatten(), relay.has_udp(), relay.has_tcp());
        let public_url = self.config.http.public_url.as_ref();
        let ice = IceServers::new(public_url, advertised, relay.listening().ip(), self.external.clone());
        match self.certificates.clone().zip(self.https_port) {
            Some((certificates, port)) => ice.with_tls(certificates, port),
            None => ice,
        }
    }

    /// What verdicts are made from, besides what the relay and the pages see.
    pub(super) fn facts(&self) -> Arc<dyn FactsSource> {
        let (config, relay) = (&self.config.relay, &self.relay);
        let port = |listens: bool| listens.then(|| relay.listening().port());
        Arc::new(ServerFacts {
            udp_port: port(relay.has_udp()),
            tcp_port: port(relay.has_tcp()),
            https_port: self.https_port,
            relayed_ports: (*config.ports.start(), *config.ports.end()),
            range_needed: config.clients_need_range(),
            ice: self.ice_servers(),
            external: self.external.clone(),
            certificates: self.certificates.clone(),
            directory: self.directory.clone(),
            watch: self.watch.clone(),
            names: self.public_names.clone(),
        })
    }

    fn cast_gateway(&self, issuer: CastIssuer, ledger: &Ledger, sources: &Sources, reporter: &Reporter) -> CastGateway {
        let Config { cast, credentials, .. } = &self.config;
        let config = RoomsConfig {
            alphabet: cast.alphabet,
            grace: cast.grace,
            takeover: cast.takeover,
            max_rooms: cast.max_rooms,
            max_wrong_codes_per_minute: cast.max_wrong_codes_per_minute,
            // New credentials are sent while the old ones still have a quarter of their lifetime.
            credentials_refresh_interval: credentials.ttl.mul_f32(0.75),
            new_code: cast.new_code,
        };
        let (key, reports, ledger) = (self.resume_key.clone(), self.relay.reports().clone(), ledger.clone());
        let empty = move |clock| {
            let rooms = Rooms::new(config, TokenKey::new(*key.expose()), rand::random(), clock);
            rooms.with_reports(&reports).with_ledger(ledger.clone())
        };
        CastGateway::new(empty, self.clock, issuer, sources.clone(), reporter.clone(), self.admission.clone())
    }

    fn multiconnection_gateway(&self, ledger: &Ledger, password_checks: &PasswordChecks) -> MultiConnectionGateway {
        let Config { multiconnection, cast, .. } = &self.config;
        let config = multiconnection::model::RoomsConfig {
            grace: multiconnection.grace,
            max_users: multiconnection.max_users,
            max_users_per_client: multiconnection.max_users_per_client,
            max_wrong_passwords_per_minute: cast.max_wrong_codes_per_minute,
        };
        let admins = Guesses::new(GuessKind::AdminPassword, cast.max_wrong_codes_per_minute, self.relay.reports());
        let (reports, ledger) = (self.relay.reports().clone(), ledger.clone());
        let empty =
            move || multiconnection::room::Rooms::new(config, rand::random()).with_reports(&reports).with_ledger(ledger.clone());
        MultiConnectionGateway::new(empty, self.directory.clone(), admins, password_checks.clone())
    }

    /// What must be in order in addition to the database.
    fn readiness_checks(&self, relay_alive: &Arc<AtomicBool>) -> Vec<ReadinessCheck> {
        let check = |name: String, check: Box<dyn Fn() -> Readiness + Send + Sync>| ReadinessCheck { name: name.into(), check };
        let alive = Arc::clone(relay_alive);
        let mut checks = vec![check("relay".to_owned(), Box::new(move || alive.load(Ordering::Relaxed).into()))];
        let address = self.relay.address_check();
        let address = move || address.problem().map_or(Readiness::Ready, Readiness::NotReadyBecause);
        checks.push(check("relayed_address".to_owned(), Box::new(address)));
        let self_test = self.self_test.clone();
        let listeners = move || match self_test.problems() {
            problems if problems.is_empty() => Readiness::Ready,
            problems => {
                Readiness::NotReadyBecause(problems.iter().map(|problem| problem.en.as_str()).collect::<Vec<_>>().join(". "))
            }
        };
        checks.push(check("listeners".to_owned(), Box::new(listeners)));
        let relay_stats = self.relay.stats_reader();
        checks.extend((0..relay_stats.shard_count()).map(|shard| {
            let relay_stats = relay_stats.clone();
            let is_ready = move || (!relay_stats.stalled_shards().contains(&shard)).into();
            check(format!("relay-{shard}"), Box::new(is_ready))
        }));
        checks.extend(self.certificates.clone().map(|certificates| {
            let is_ready = move || certificates.current().is_usable(SystemTime::now()).into();
            check("certificate".to_owned(), Box::new(is_ready))
        }));
        checks
    }

    fn metrics(&self, gateways: &Gateways, limits: &SharedLimits) -> MetricsSource {
        let sources = CountedParts {
            cast: gateways.cast.clone(),
            multiconnection: gateways.multiconnection.clone(),
            traffic: gateways.signaling.traffic(),
            ledger: limits.ledger.clone(),
            kept_buffers: limits.kept_buffers.clone(),
            sessions: gateways.signaling.sessions(),
            unfinished: limits.requests.unfinished.clone(),
            apprtc: gateways.apprtc.clone(),
            relay_stats: self.relay.stats_reader(),
            descriptors: self.descriptors.clone(),
            reports: self.relay.reports().clone(),
            certificates: self.certificates.clone(),
            reporter: gateways.reporter.clone(),
            hooks: self.hooks.clone(),
        };
        sources.into_metrics()
    }

    /// The REST API, AppRTC's room server and checks.
    fn api(
        &self,
        ice: IceServers,
        gateways: &Gateways,
        limits: &SharedLimits,
        relay_alive: &Arc<AtomicBool>,
        checks: &Checks,
    ) -> Router {
        let Config { credentials, cast, http, .. } = &self.config;
        let state = ApiState {
            directory: self.directory.clone(),
            store: self.store.clone(),
            credentials: credentials.clone(),
            config: self.config.api,
            descriptions: self.config.api.docs.then(|| description::descriptions(&http.base_path, self.config.api.providers)),
            keys: ApiKeys::new(credentials.api_keys.clone(), self.relay.reports()),
            passwords: self.passwords.clone(),
            admission: self.admission.clone(),
            ice,
            limiter: limits.credentials.clone(),
            ice_limiter: ClientLimiter::per_minute(credentials.ice.rate),
            public: PublicAddress {
                public_url: self.public_url(),
                http: self.listeners.http.addr,
                https_port: self.https_port,
                alphabet: cast.alphabet,
                max_bitrate: cast.max_bitrate,
            },
            certificates: self.certificates.clone(),
            operator_networks: http.metrics_allow.clone(),
            readiness_checks: self.readiness_checks(relay_alive),
            metrics: self.metrics(gateways, limits),
        };
        let rooms =
            RoomServer { gateway: gateways.apprtc.clone(), public_url: self.public_url(), http: self.listeners.http.addr };
        let api = api::router::router(Arc::new(state)).merge(apprtc::room_server::router(rooms));
        let api = api.merge(check::routes::router(checks.clone()));
        api.layer(middleware::from_fn(response_bytes::count))
    }

    /// The redirect to HTTPS. HTTPS is permanent where Castway renews the certificate.
    fn https(&self) -> Option<HttpsPort> {
        let (certificates, port) = self.certificates.clone().zip(self.https_port)?;
        let permanent = matches!(self.config.tls.source, CertificateSource::Acme(_));
        let public_url = self.config.http.public_url.clone();
        let redirect = Redirect::new(certificates, port, public_url, self.config.http.plain_api.clone());
        Some(HttpsPort { redirect, permanent })
    }

    fn dispatchers(
        &self,
        signaling: socketio::Server,
        api: Router,
        apprtc: &AppRtcGateway,
        admin: &Admin,
        limits: SharedLimits,
    ) -> Dispatchers {
        let SharedLimits { ledger, requests, .. } = limits;
        let (http, unidentified) = (&self.config.http, UnidentifiedLimit::new(self.descriptors.unidentified.most()));
        let (own_origin, https) = (self.public_origin(), self.https());
        let collider = router::collider_port(apprtc.clone(), http, requests.clone());
        let main = MainPort { signaling, api, apprtc: apprtc.clone(), own_origin, https, admin: admin.clone() };
        let main = router::main_port(main, http, requests);
        Dispatchers {
            main: self.dispatcher(main, &ledger, &unidentified),
            collider: self.dispatcher(collider, &ledger, &unidentified),
        }
    }

    fn dispatcher(&self, router: Router, ledger: &Ledger, unidentified: &UnidentifiedLimit) -> Dispatcher {
        let Config { http, relay, .. } = &self.config;
        // No address may have more than half of all, so that the first one to come leaves room for others.
        let of_address = u32::try_from(self.descriptors.http.most() / 2).unwrap_or(u32::MAX).max(1);
        Dispatcher {
            http: HttpServer::new(router, ledger.clone()),
            relay: self.relay.intake(),
            plain_turn: relay.tcp,
            tls: self.certificates.clone().map(HandshakeConfigs::new),
            trusted_proxies: http.trusted_proxies.clone(),
            http_connections: ClientCounter::new(http.address_connections.min(of_address)),
            http_descriptors: self.descriptors.http.clone(),
            unidentified: unidentified.clone(),
            watch: self.watch.clone(),
            banned: self.directory.banned_addresses().clone(),
        }
    }
}

/// Signs the credentials of the cast flow.
struct CastIssuer {
    directory: Directory,
    ice: IceServers,
    limiter: ClientLimiter,
    names: RandomState,
}

impl CastIssuer {
    /// A name that no stranger can guess. Anybody may have credentials for any name, and would share those of the seat, and its quota.
    fn secret_name(&self, username: &str) -> String {
        format!("{username}-{:016x}", self.names.hash_one(username))
    }
}

impl Issuer for CastIssuer {
    fn check_rate(&self, from: IpAddr) -> Result<(), u64> {
        // Rounded up, so that a client that waits for this time is not refused again.
        self.limiter.check(from).map_err(retry_after::seconds)
    }

    fn within_rate(&self, from: IpAddr) -> Result<(), u64> {
        self.limiter.peek(from).map_err(retry_after::seconds)
    }

    fn ice_servers(&self, username: &str, host: Option<&str>) -> Value {
        let credentials = self.directory.lease(&self.secret_name(username), SystemTime::now());
        serde_json::to_value(self.ice.ice_servers(&credentials, host)).expect("strings are JSON")
    }

    fn join_room(&self, username: &str, code: &str) {
        self.directory.join_group(&self.secret_name(username), self.names.hash_one(code));
    }

    fn user(&self, username: &str) -> String {
        self.secret_name(username)
    }

    fn end_lease(&self, username: &str) {
        self.directory.end_lease(&self.secret_name(username));
    }
}
