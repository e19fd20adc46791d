//! The whole server: [`App::build`] binds and opens everything, [`App::run`] serves until it is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use axum::Router;
use rand::Rng as _;
use serde_json::Value;
use socketioxide::SocketIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::address;
use crate::api::{self, Api, Numbers, Probe, Site};
use crate::apprtc;
use crate::apprtc::api::RoomServer;
use crate::apprtc::hub::Hub;
use crate::cast::code::TokenKey;
use crate::cast::gateway::{Gateway, Issuer};
use crate::cast::room::{Rooms, RoomsConfig};
use crate::config::Config;
use crate::external::External;
use crate::ice::{IceServers, Listener, Transport};
use crate::limit::AddressLimiter;
use crate::relay;
use crate::users::{Directory, Store};
use crate::{http, numbers, router, socket_io};

/// A server whose sockets are bound and whose database is open.
pub struct App {
    config: Config,
    listener: TcpListener,
    http_addr: SocketAddr,
    router: Router,
    /// Where Collider has a port of its own.
    collider: Option<(TcpListener, Router)>,
    hub: Hub,
    gateway: Gateway,
    io: SocketIo,
    external: External,
    relay: relay::Handle,
    relay_alive: Arc<AtomicBool>,
    directory: Directory,
    store: Store,
}

impl App {
    /// Opens the database, starts the relay and binds the HTTP port.
    ///
    /// # Errors
    /// A sentence that says what to do: the data folder or its database can't be used, a port is taken, an address is not this
    /// machine's.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        http::raise_descriptor_limit();
        let now = SystemTime::now();
        let store = Store::open(&config.data_dir, now).await?;
        let directory = Directory::open(&store, &config.credentials).await?;
        let resume_key = store.key("resume", now).await?;
        let listener = bind("CASTWAY_HTTP_ADDR", config.http.addr).await?;
        let http_addr = listener.local_addr().context("the HTTP listener has no address")?;
        let collider = match config.calls.collider {
            Some(addr) => Some(bind("CASTWAY_COLLIDER_ADDR", addr).await?),
            None => None,
        };

        let bound = relay::bind_addresses(&config.relay)?;
        let external = External::new(&config.relay.external, bound, config.http.public_url.clone());
        external.look_at_start().await;
        let relay = relay::start(&config.relay, &external, Arc::new(directory.clone()))?;
        let port = relay.listening().port();
        let listening = [(Transport::Udp, relay.has_udp()), (Transport::Tcp, relay.has_tcp())].into_iter();
        let listeners = listening.filter(|(_, listens)| *listens).map(|(transport, _)| Listener { transport, port }).collect();
        let ice = IceServers::new(config.http.public_url.as_ref(), listeners, relay.listening().ip(), external.clone());
        let limiter = AddressLimiter::per_minute(config.credentials.rate);

        let rooms = RoomsConfig {
            alphabet: config.cast.alphabet,
            grace: config.cast.grace,
            takeover: config.cast.takeover,
            max_rooms: config.cast.max_rooms,
            guesses: config.cast.guesses,
            // Fresh credentials while the old ones still have a quarter of their life.
            refresh: config.credentials.ttl.mul_f32(0.75),
        };
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let rooms = Rooms::new(rooms, TokenKey::new(*resume_key.expose()), seed);
        let issuer = CastIssuer { directory: directory.clone(), ice: ice.clone(), limiter: limiter.clone() };
        let gateway = Gateway::new(rooms, Arc::new(issuer));
        let (layer, io) = socket_io::server();
        gateway.attach(&io);

        let relay_alive = Arc::new(AtomicBool::new(true));
        let alive = Arc::clone(&relay_alive);
        let hub = Hub::new(&config.calls);
        let (meter, casts, calls) = (relay.meter(), gateway.clone(), hub.clone());
        let public_url = config.http.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        let api = Api {
            directory: directory.clone(),
            credentials: config.credentials.clone(),
            ice,
            limiter,
            ice_limiter: AddressLimiter::per_minute(config.credentials.ice.rate),
            site: Site { public_url: public_url.clone(), http: http_addr, alphabet: config.cast.alphabet },
            probes: vec![Probe { name: "relay", ready: Box::new(move || alive.load(Ordering::Relaxed)) }],
            numbers: Numbers(Box::new(move || {
                let (tvs, clients) = casts.counts();
                numbers::families(&meter.stats(), tvs, clients, &calls.census())
            })),
        };
        let rooms = RoomServer { hub: hub.clone(), public_url: public_url.clone(), http: http_addr };
        let api = api::router(Arc::new(api)).merge(apprtc::api::router(rooms));
        let collider = collider.map(|listener| (listener, router::collider(hub.clone(), &config.http)));
        let router = router::router(layer, api, hub.clone(), &config.http, public_url, false);
        Ok(Self {
            config,
            listener,
            http_addr,
            router,
            collider,
            hub,
            gateway,
            io,
            external,
            relay,
            relay_alive,
            directory,
            store,
        })
    }

    /// Where the pages, Socket.IO and the REST API are, with the real port when 0 was asked for.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where STUN and TURN are, with the real port when 0 was asked for.
    pub const fn turn_addr(&self) -> SocketAddr {
        self.relay.listening()
    }

    /// Where Collider has a port of its own, with the real one when 0 was asked for.
    pub fn collider_addr(&self) -> Option<SocketAddr> {
        self.collider.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// What a newcomer needs to know: what to open, and one line for each thing that will not work as it stands.
    pub fn greeting(&self) -> String {
        let public = self.config.http.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        let port = self.http_addr.port();
        let origins = match public.clone() {
            Some(url) => vec![url],
            None => address::origins(self.http_addr),
        };
        let here = format!("http://localhost:{port}");
        let origin = origins.first().unwrap_or(&here);
        let ports = &self.config.relay.ports;
        let mut text = format!("Castway {} is running.\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<14}{value}\n"));
        line("On the TV", &format!("{origin}/tv"));
        line("To cast", &format!("{origin}/cast"));
        for other in origins.iter().skip(1) {
            line("", &format!("or {other}"));
        }
        let listening = match (self.relay.has_udp(), self.relay.has_tcp()) {
            (true, true) => "UDP and TCP",
            (false, _) => "TCP",
            (true, false) => "UDP",
        };
        if let Some(addr) = self.collider_addr() {
            line("Collider", &format!("{addr}, besides the pages' port"));
        }
        let peers = if self.config.relay.tcp_relay { "UDP and TCP" } else { "UDP" };
        let range = format!("relayed ports {}-{} {peers}", ports.start(), ports.end());
        line("TURN relay", &format!("{} {listening}; {range}", self.turn_addr()));
        let seen: Vec<_> = self.external.relays().iter().flatten().map(|relay| relay.advertised.to_string()).collect();
        line("", &format!("seen by others as {}", seen.join(" and ")));
        line("Data", &shown(&self.config.data_dir));
        let warnings = self.warnings(public.as_deref(), &here);
        if !warnings.is_empty() {
            text.push_str("\nWill not work as it stands:\n");
            warnings.iter().for_each(|warning| text.push_str(&format!("  ! {warning}\n")));
        }
        text
    }

    fn warnings(&self, public: Option<&str>, here: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if !public.is_some_and(|url| url.starts_with("https:")) {
            warnings.push(format!(
                "No HTTPS: browsers share screens only from HTTPS pages or from localhost. On this machine cast from \
                 {here}/cast; for others put a TLS proxy in front and set CASTWAY_PUBLIC_URL=https://…"
            ));
        }
        warnings.extend(self.external.problems());
        let foreign = self.directory.users_of_other_realms(&self.config.relay.realm);
        if foreign > 0 {
            warnings.push(format!(
                "{foreign} users set their passwords for another realm than CASTWAY_REALM={}: those can't log in to the relay \
                 until `castway user passwd` sets them again",
                self.config.relay.realm
            ));
        }
        warnings
    }

    /// Serves until `stop` ends, then tells the clients, gives the relay its deadline and closes everything.
    ///
    /// # Errors
    /// Where a part of the server that must not end did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { config, listener, router, collider, hub, gateway, io, external, relay, relay_alive, directory, store, .. } =
            self;
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(gateway.clone().run());
        tasks.spawn(hub.run());
        tasks.spawn(external.follow());
        if let Some((listener, router)) = collider {
            tasks.spawn(http::serve(listener, router, std::future::pending()));
        }
        let asked = directory.clone();
        tasks.spawn(directory.follow(store.clone()));
        let mut server = tokio::spawn(http::serve(listener, router, async {
            stopped.await.ok();
        }));

        let mut watch = tokio::time::interval(Duration::from_secs(1));
        let mut signing = asked.signing_secret();
        tokio::pin!(stop);
        let ended = loop {
            tokio::select! {
                () = &mut stop => break None,
                result = &mut server => break Some(anyhow!("the HTTP server ended: {result:?}")),
                Some(result) = tasks.join_next() => break Some(anyhow!("a part of the server ended: {result:?}")),
                _ = watch.tick() => {
                    relay_alive.store(relay.is_alive(), Ordering::Relaxed);
                    if signing != asked.signing_secret() {
                        signing = asked.signing_secret();
                        gateway.renew_credentials();
                    }
                }
            }
        };

        let (tvs, clients) = gateway.counts();
        tracing::info!(tvs, clients, allocations = relay.allocations(), "stopping");
        relay_alive.store(false, Ordering::Relaxed);
        gateway.announce_shutdown();
        relay.stop(config.drain).await;
        io.close().await;
        drop(stopping);
        if ended.is_none() {
            server.await.ok();
        }
        tasks.shutdown().await;
        store.close().await;
        tracing::info!("stopped");
        ended.map_or(Ok(()), Err)
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
        self.limiter.check(from).map_err(|wait| wait.as_secs() + 1)
    }

    fn ice_servers(&self, username: &str, host: Option<&str>, ttl: Option<Duration>) -> Value {
        let credentials = self.directory.issue(username, ttl, SystemTime::now());
        serde_json::to_value(self.ice.ice_servers(&credentials, host)).expect("strings are JSON")
    }
}

/// Listens on `addr`, which `setting` named.
async fn bind(setting: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| http_error(setting, addr, &error))
}

fn http_error(setting: &str, addr: SocketAddr, error: &io::Error) -> anyhow::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        anyhow!("TCP {addr} is taken by another program (another Castway?): stop that one, or set {setting} to a free port")
    } else if kind == io::ErrorKind::PermissionDenied {
        anyhow!(
            "TCP {addr} needs more rights: ports below 1024 are for root or for CAP_NET_BIND_SERVICE; set {setting} to a \
             port above, or give the program that capability"
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let port = addr.port();
        anyhow!("{setting}={addr} is not an address of this machine: use one of its own, or 0.0.0.0:{port} for all")
    } else {
        anyhow!("{setting}={addr} can't be listened on: {error}")
    }
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
