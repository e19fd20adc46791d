//! Building the server: the gateways, the REST API and the routes, on what has been opened.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use axum::{Router, middleware};
use serde_json::Value;

use super::App;
use super::metrics::Sources;
use super::open::Opened;
use crate::addresses::ice_servers::{IceServers, Listener};
use crate::api;
use crate::api::keys::ApiKeys;
use crate::api::metric_families::MetricsSource;
use crate::api::state::{ApiState, ReadinessCheck, SiteInfo};
use crate::app::flows;
use crate::app::router;
use crate::apprtc;
use crate::apprtc::gateway::Gateway as CallGateway;
use crate::apprtc::room_server::RoomServer;
use crate::cast::gateway::{Gateway, Issuer};
use crate::cast::model::RoomsConfig;
use crate::cast::resume_token::TokenKey;
use crate::cast::room::Rooms;
use crate::config::{CertificateSource, Config};
use crate::http::redirect::Redirect;
use crate::http::response_bytes;
use crate::http::server::HttpServer;
use crate::ingress::{Dispatcher, UnidentifiedLimit};
use crate::limits::concurrency::AddressCounter;
use crate::limits::guesses::{GuessKind, Guesses};
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::rate::AddressLimiter;
use crate::limits::retry_after;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::Gateway as MultiGateway;
use crate::multiconnection::model::RoomsConfig as MultiRoomsConfig;
use crate::multiconnection::room::Rooms as MultiRooms;
use crate::socketio;
use crate::tls::HandshakeConfigs;
use crate::users::Directory;

impl App {
    /// Opens the database, starts the relay and binds the ports.
    ///
    /// # Errors
    /// A sentence that says what to do: the data folder or its database can't be used, a port is taken, an address is not this
    /// machine's.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let opened = Opened::open(config).await?;
        let (ice, ledger, kept_buffers) = (opened.ice_servers(), Ledger::default(), KeptBuffers::default());
        let limiter = AddressLimiter::per_minute(opened.config.credentials.rate);
        let issuer = CastIssuer { directory: opened.directory.clone(), ice: ice.clone(), limiter: limiter.clone() };
        let gateway = opened.cast_gateway(issuer, &ledger);
        let multi = opened.multi_gateway(&ledger);
        let (signaling, io) = socketio::server(ledger.clone(), kept_buffers.clone());
        flows::attach(&io, &gateway, &multi);
        let calls = CallGateway::new(&opened.config.calls, ledger.clone(), kept_buffers.clone());
        let relay_alive = Arc::new(AtomicBool::new(true));
        let shared = router::Shared::default();
        let sources = Sources {
            gateway: gateway.clone(),
            multi: multi.clone(),
            traffic: signaling.traffic(),
            ledger: ledger.clone(),
            kept_buffers,
            sessions: signaling.sessions(),
            unfinished: shared.unfinished.clone(),
            calls: calls.clone(),
            relay_stats: opened.relay.stats_reader(),
            shares: opened.shares.clone(),
            reports: opened.relay.reports().clone(),
            certificates: opened.certificates.clone(),
        };
        let api = api::router::router(Arc::new(opened.api_state(ice, limiter, &relay_alive, sources.into_metrics())));
        let rooms = RoomServer { gateway: calls.clone(), public_url: opened.public_origin(), http: opened.sockets.http.addr };
        let api = api.merge(apprtc::room_server::router(rooms)).layer(middleware::from_fn(response_bytes::count));
        let (http, origin, https) = (&opened.config.http, opened.public_origin(), opened.https());
        let unidentified = UnidentifiedLimit::new(opened.shares.unidentified.most());
        let collider = router::collider(calls.clone(), http, shared.clone());
        let main = router::router(signaling, api, calls.clone(), http, origin, https, shared);
        let [collider_dispatcher, dispatcher] = [collider, main].map(|router| opened.dispatcher(router, &ledger, &unidentified));
        let Opened { config, sockets, store, directory, external, certificates, relay, shares, clock, .. } = opened;
        Ok(Self {
            config,
            sockets,
            dispatcher,
            collider_dispatcher,
            certificates,
            calls,
            gateway,
            multi,
            io,
            external,
            relay,
            relay_alive,
            directory,
            store,
            shares,
            clock,
        })
    }
}

impl Opened {
    fn ice_servers(&self) -> IceServers {
        let relay = &self.relay;
        let ports = [Some(relay.listening().port()), relay.alternate_port()];
        let listeners = Listener::at(ports.into_iter().flatten(), relay.has_udp(), relay.has_tcp());
        let public_url = self.config.http.public_url.as_ref();
        let ice = IceServers::new(public_url, listeners, relay.listening().ip(), self.external.clone());
        match self.certificates.clone().zip(self.https_port) {
            Some((certificates, port)) => ice.with_tls(certificates, port),
            None => ice,
        }
    }

    fn cast_gateway(&self, issuer: CastIssuer, ledger: &Ledger) -> Gateway {
        let Config { cast, credentials, .. } = &self.config;
        let config = RoomsConfig {
            alphabet: cast.alphabet,
            grace: cast.grace,
            takeover: cast.takeover,
            max_rooms: cast.max_rooms,
            guesses: cast.guesses,
            // Fresh credentials while the old ones still have a quarter of their life.
            refresh: credentials.ttl.mul_f32(0.75),
            new_code: cast.new_code,
        };
        let (key, reports, ledger) = (self.resume_key.clone(), self.relay.reports().clone(), ledger.clone());
        let empty = move |clock| {
            let rooms = Rooms::new(config, TokenKey::new(*key.expose()), rand::random(), clock);
            rooms.with_reports(&reports).with_ledger(ledger.clone())
        };
        Gateway::new(empty, self.clock, issuer)
    }

    fn multi_gateway(&self, ledger: &Ledger) -> MultiGateway {
        let Config { multi, cast, .. } = &self.config;
        let config = MultiRoomsConfig {
            grace: multi.grace,
            max_users: multi.max_users,
            max_users_per_address: multi.max_users_per_address,
            guesses: cast.guesses,
        };
        let admins = Guesses::new(GuessKind::AdminPassword, cast.guesses, self.relay.reports());
        let (reports, ledger) = (self.relay.reports().clone(), ledger.clone());
        let empty = move || MultiRooms::new(config, rand::random()).with_reports(&reports).with_ledger(ledger.clone());
        MultiGateway::new(empty, self.directory.clone(), admins)
    }

    /// What besides the database must be in order.
    fn readiness_checks(&self, relay_alive: &Arc<AtomicBool>) -> Vec<ReadinessCheck> {
        let alive = Arc::clone(relay_alive);
        let mut checks = vec![ReadinessCheck { name: "relay".into(), is_ready: Box::new(move || alive.load(Ordering::Relaxed)) }];
        let relay_stats = self.relay.stats_reader();
        checks.extend((0..relay_stats.shard_count()).map(|shard| {
            let relay_stats = relay_stats.clone();
            ReadinessCheck {
                name: format!("relay-{shard}").into(),
                is_ready: Box::new(move || !relay_stats.stalled_shards().contains(&shard)),
            }
        }));
        checks.extend(self.certificates.clone().map(|certificates| ReadinessCheck {
            name: "certificate".into(),
            is_ready: Box::new(move || certificates.current().is_usable(SystemTime::now())),
        }));
        checks
    }

    /// `limiter` counts for the gateways too.
    fn api_state(
        &self,
        ice: IceServers,
        limiter: AddressLimiter,
        relay_alive: &Arc<AtomicBool>,
        metrics: MetricsSource,
    ) -> ApiState {
        let Config { credentials, cast, http, .. } = &self.config;
        ApiState {
            directory: self.directory.clone(),
            credentials: credentials.clone(),
            keys: ApiKeys::new(credentials.api_keys.clone(), self.relay.reports()),
            ice,
            limiter,
            ice_limiter: AddressLimiter::per_minute(credentials.ice.rate),
            site: SiteInfo {
                public_url: self.public_origin(),
                http: self.sockets.http.addr,
                https_port: self.https_port,
                alphabet: cast.alphabet,
            },
            certificates: self.certificates.clone(),
            operator_networks: http.metrics_allow.clone(),
            readiness_checks: self.readiness_checks(relay_alive),
            metrics,
        }
    }

    /// Where HTTPS is, and whether for good.
    fn https(&self) -> Option<(Redirect, bool)> {
        let (certificates, port) = self.certificates.clone().zip(self.https_port)?;
        let for_good = matches!(self.config.tls.source, CertificateSource::Acme(_));
        Some((Redirect { certificates, port, public_url: self.config.http.public_url.clone() }, for_good))
    }

    fn dispatcher(&self, router: Router, ledger: &Ledger, unidentified: &UnidentifiedLimit) -> Dispatcher {
        let Config { http, relay, .. } = &self.config;
        // Half of all is for others, whoever comes first.
        let of_address = u32::try_from(self.shares.http.most() / 2).unwrap_or(u32::MAX).max(1);
        Dispatcher {
            http: HttpServer::new(router, ledger.clone()),
            relay: self.relay.intake(),
            plain_turn: relay.tcp,
            tls: self.certificates.clone().map(HandshakeConfigs::new),
            trusted_proxies: http.trusted_proxies.clone(),
            http_connections: AddressCounter::new(http.address_connections.min(of_address)),
            http_descriptors: self.shares.http.clone(),
            unidentified: unidentified.clone(),
        }
    }
}

/// Signs the cast flow's credentials.
struct CastIssuer {
    directory: Directory,
    ice: IceServers,
    limiter: AddressLimiter,
}

impl Issuer for CastIssuer {
    fn admit(&self, from: IpAddr) -> Result<(), u64> {
        // Rounded up: a client that waits as told must not be told again.
        self.limiter.check(from).map_err(retry_after::seconds)
    }

    fn ice_servers(&self, username: &str, host: Option<&str>) -> Value {
        let credentials = self.directory.lease(username, SystemTime::now());
        serde_json::to_value(self.ice.ice_servers(&credentials, host)).expect("strings are JSON")
    }

    fn end(&self, username: &str) {
        self.directory.end_lease(username);
    }
}
