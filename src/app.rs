//! The whole server: [`App::build`] binds and opens everything, [`App::run`] serves until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use axum::middleware;
use serde_json::Value;
use socketioxide::SocketIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::address::{self, on_link};
use crate::api::{self, Api, ApiKeys, Numbers, Probe, Site};
use crate::apprtc;
use crate::apprtc::api::RoomServer;
use crate::apprtc::hub::Hub;
use crate::cast::code::TokenKey;
use crate::cast::gateway::{Gateway, Issuer};
use crate::cast::room::{Rooms, RoomsConfig};
use crate::clock::WallClock;
use crate::config::{CertificateSource, Config, Listen};
use crate::external::External;
use crate::http::{Http, Redirect};
use crate::ice::{IceServers, Listener};
use crate::kept_buffers::KeptBuffers;
use crate::limits::descriptors::{self, CastCost, Shares};
use crate::limits::guesses::{Guesses, Kind as Guessed, Line, Reports};
use crate::limits::rate::AddressLimiter;
use crate::limits::wait;
use crate::multiconnection::gateway::Gateway as MultiGateway;
use crate::multiconnection::room::{Rooms as MultiRooms, RoomsConfig as MultiRoomsConfig};
use crate::port::{self, Doors, Listener as Socket, Undecided};
use crate::relay::{self, Diversion};
use crate::signals::Reload;
use crate::tls::{Certificate, Certificates, Handshakes, Kind, OwnHosts};
use crate::users::{Directory, OtherRealms, Store};
use crate::waiting::Ledger;
use crate::{held_body, http, memory, namespaces, numbers, router, socket_io};

/// Connections of proxies to the relay's own listener that may wait until somebody looks at them.
const PROXIED: usize = 256;

/// Below it the start-up report says how to raise the limit of open files. The usual limit of a shell is 1,024.
const LOW_DESCRIPTOR_LIMIT: u64 = 16_384;

/// A server whose sockets are bound and whose database is open.
pub struct App {
    config: Config,
    sockets: Sockets,
    doors: Doors,
    /// For Collider on a port of its own.
    collider_doors: Doors,
    certificates: Option<Certificates>,
    hub: Hub,
    gateway: Gateway,
    multi: MultiGateway,
    io: SocketIo,
    external: External,
    relay: relay::Handle,
    relay_alive: Arc<AtomicBool>,
    directory: Directory,
    store: Store,
    shares: Shares,
    clock: WallClock,
}

/// Listeners for TCP, the relay's own aside.
struct Sockets {
    http: Socket,
    more_http: Vec<Socket>,
    https: Option<Socket>,
    turns: Option<Socket>,
    /// Proxies that come to the relay's own: they may name the client first.
    proxied: Option<Socket>,
    collider: Option<Socket>,
    /// Why one that nobody has asked for is not there.
    missing: Vec<String>,
}

impl App {
    /// Opens the database, starts the relay and binds the ports.
    ///
    /// # Errors
    /// A sentence that says what to do: the data folder or its database can't be used, a port is taken, an address is not this
    /// machine's.
    pub async fn build(mut config: Config) -> anyhow::Result<Self> {
        let descriptor_limit = http::raise_descriptor_limit();
        let now = SystemTime::now();
        let clock = WallClock::new(Instant::now(), now);
        // First, so that a start that finds them taken leaves nothing in the data folder.
        let mut sockets = Sockets::bind(&config).await?;
        let store = Store::open(&config.data_dir, now).await?;
        let directory = Directory::open(&store, &config.credentials).await?;
        let resume_key = store.key("resume", now).await?;
        let https_port = config.tls.https.is_some().then(|| sockets.https_addr().port());
        config.http.public_url = config.http.public_url.or_else(|| config.tls.source.origin(https_port?));
        let bound = relay::bind_addresses(&config.relay)?;
        let external = External::new(&config.relay.external, bound, config.http.public_url.clone());
        external.look_at_start().await;
        let certificates =
            https_port.map(|_| Certificates::open(&config.tls.source, &config.data_dir, own_hosts(&config, &external)));
        let certificates = certificates.transpose()?;

        let ports = usize::from(config.relay.ports.end() - config.relay.ports.start()) + 1;
        let proxied = PROXIED.min(usize::try_from(descriptor_limit / 16).unwrap_or(usize::MAX));
        // Whatever this server has open for itself is, but for the relay's own sockets.
        let open = descriptors::open_now() + proxied as u64;
        let shares = Shares::divide(descriptor_limit, open, config.relay.threads, 2 * ports);
        let relay = relay::start(&config.relay, &external, Arc::new(directory.clone()), &shares)?;
        if config.relay.tcp && !config.http.trusted_proxies.is_empty() {
            let (to, connections) = mpsc::channel(proxied);
            relay.divert(&Diversion { networks: config.http.trusted_proxies.clone().into(), to });
            sockets.proxied = Some(Socket::handed(connections, relay.listening()));
        }
        // Not before the ports are there: a second server that finds them taken is not the one that commands are for.
        let record = config.settings.expose().record(relay.listening(), https_port, &std::env::current_dir().unwrap_or_default());
        store.record(&record, now).await?;
        let ports = [Some(relay.listening().port()), relay.alternate_port()];
        let listeners = Listener::at(ports.into_iter().flatten(), relay.has_udp(), relay.has_tcp());
        let mut ice = IceServers::new(config.http.public_url.as_ref(), listeners, relay.listening().ip(), external.clone());
        if let Some((certificates, port)) = certificates.clone().zip(https_port) {
            ice = ice.with_tls(certificates, port);
        }
        let limiter = AddressLimiter::per_minute(config.credentials.rate);
        let reports = relay.reports().clone();

        let rooms = RoomsConfig {
            alphabet: config.cast.alphabet,
            grace: config.cast.grace,
            takeover: config.cast.takeover,
            max_rooms: config.cast.max_rooms,
            guesses: config.cast.guesses,
            // Fresh credentials while the old ones still have a quarter of their life.
            refresh: config.credentials.ttl.mul_f32(0.75),
            new_code: config.cast.new_code,
        };
        let (ledger, kept) = (Ledger::default(), KeptBuffers::default());
        let (reported, counted) = (reports.clone(), ledger.clone());
        let empty = move |clock| {
            let rooms = Rooms::new(rooms, TokenKey::new(*resume_key.expose()), rand::random(), clock);
            rooms.with_reports(&reported).counted_in(counted.clone())
        };
        let issuer = CastIssuer { directory: directory.clone(), ice: ice.clone(), limiter: limiter.clone() };
        let gateway = Gateway::new(empty, clock, issuer);
        let rooms = MultiRoomsConfig {
            grace: config.multi.grace,
            max_users: config.multi.max_users,
            max_users_per_address: config.multi.max_users_per_address,
            guesses: config.cast.guesses,
        };
        let (reported, counted) = (reports.clone(), ledger.clone());
        let empty = move || MultiRooms::new(rooms, rand::random()).with_reports(&reported).counted_in(counted.clone());
        let admins = Guesses::new(Guessed::AdminPassword, config.cast.guesses, &reports);
        let multi = MultiGateway::new(empty, directory.clone(), admins);
        let (signaling, io) = socket_io::server(ledger.clone(), kept.clone());
        namespaces::attach(&io, &gateway, &multi);

        let relay_alive = Arc::new(AtomicBool::new(true));
        let alive = Arc::clone(&relay_alive);
        let hub = Hub::new(&config.calls, ledger.clone(), kept.clone());
        let (meter, casts, calls, sessions) = (relay.meter(), gateway.clone(), hub.clone(), multi.clone());
        let (certified, traffic) = (certificates.clone(), signaling.traffic());
        let shared = router::Shared::default();
        let inward = (signaling.sessions(), shared.unfinished.clone());
        let (opened, queued) = (shares.clone(), ledger.clone());
        let mut probes = vec![Probe { name: "relay".into(), ready: Box::new(move || alive.load(Ordering::Relaxed)) }];
        for shard in 0..meter.shards() {
            let meter = meter.clone();
            probes.push(Probe {
                name: format!("relay-{shard}").into(),
                ready: Box::new(move || !meter.hanging().contains(&shard)),
            });
        }
        if let Some(certificates) = certificates.clone() {
            probes.push(Probe {
                name: "certificate".into(),
                ready: Box::new(move || certificates.current().is_usable(SystemTime::now())),
            });
        }
        let public_url = config.http.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        let api = Api {
            directory: directory.clone(),
            credentials: config.credentials.clone(),
            keys: ApiKeys::new(config.credentials.api_keys.clone(), &reports),
            ice,
            limiter,
            ice_limiter: AddressLimiter::per_minute(config.credentials.ice.rate),
            site: Site { public_url: public_url.clone(), http: sockets.http.addr, https_port, alphabet: config.cast.alphabet },
            certificates: certificates.clone(),
            insiders: config.http.metrics_allow.clone(),
            probes,
            numbers: Numbers(Box::new(move || {
                let mut families = numbers::signaling(casts.counts(), sessions.counts());
                families.extend(numbers::websockets(&traffic));
                families.extend(numbers::waiting(&queued));
                families.extend(numbers::kept(&kept));
                families.extend(numbers::inward(&inward.0.census(), &inward.1.census()));
                families.extend(numbers::calls(&calls.census()));
                families.extend(numbers::relay(&meter.stats()));
                families.extend(numbers::process(&opened));
                families.push(numbers::wrong(&reports));
                families.extend(certified.iter().flat_map(numbers::certificate));
                families
            })),
        };
        let rooms = RoomServer { hub: hub.clone(), public_url: public_url.clone(), http: sockets.http.addr };
        let api = api::router(Arc::new(api)).merge(apprtc::api::router(rooms)).layer(middleware::from_fn(held_body::count));
        let for_good = matches!(config.tls.source, CertificateSource::Acme(_));
        let https = certificates.clone().zip(https_port).map(|(certificates, port)| {
            let public_url = config.http.public_url.clone();
            (Redirect { certificates, port, public_url }, for_good)
        });
        let undecided = Undecided::new(shares.undecided.most());
        // Half of all is for others, whoever comes first.
        let of_address = u32::try_from(shares.http.most() / 2).unwrap_or(u32::MAX).max(1);
        let doors = |router| Doors {
            http: Http::new(router, ledger.clone()),
            relay: relay.entrance(),
            plain_turn: config.relay.tcp,
            tls: certificates.clone().map(Handshakes::new),
            trusted_proxies: config.http.trusted_proxies.clone(),
            connections: config.http.address_connections.min(of_address),
            http_share: shares.http.clone(),
            undecided: undecided.clone(),
        };
        let collider_doors = doors(router::collider(hub.clone(), &config.http, shared.clone()));
        let doors = doors(router::router(signaling, api, hub.clone(), &config.http, public_url, https, shared));
        Ok(Self {
            config,
            sockets,
            doors,
            collider_doors,
            certificates,
            hub,
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

    /// Where the pages, Socket.IO and the REST API are, with the real port when 0 was asked for.
    pub const fn http_addr(&self) -> SocketAddr {
        self.sockets.http.addr
    }

    /// The other addresses of the same, with the real ports.
    pub fn more_http_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.more_http.iter().map(|socket| socket.addr).collect()
    }

    /// Where everything is over TLS; `None`: TLS is off, or its port was taken.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.sockets.https.as_ref().map(|socket| socket.addr)
    }

    /// Where TURN over TLS has its standard port.
    pub fn turns_addr(&self) -> Option<SocketAddr> {
        self.sockets.turns.as_ref().map(|socket| socket.addr)
    }

    /// The certificate, where there is TLS.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Where STUN and TURN are, with the real port when 0 was asked for.
    pub const fn turn_addr(&self) -> SocketAddr {
        self.relay.listening()
    }

    /// The other port of STUN and TURN, if there is one, with the real one when 0 was asked for.
    pub const fn alternate_turn_port(&self) -> Option<u16> {
        self.relay.alternate_port()
    }

    /// Where Collider has a port of its own, with the real one when 0 was asked for.
    pub fn collider_addr(&self) -> Option<SocketAddr> {
        self.sockets.collider.as_ref().map(|socket| socket.addr)
    }

    /// What a newcomer needs to know: what to open, and one line for each thing that still needs configuration.
    pub fn greeting(&self) -> String {
        let public = self.config.http.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        let http = self.sockets.http.addr;
        let here = format!("http://localhost:{}", http.port());
        let certificate = self.certificates.as_ref().map(Certificates::current);
        let (secure, uncovered) = certificate.as_ref().map(|current| self.secure_origins(current)).unzip();
        let secure = secure.filter(|origins| !origins.is_empty());
        let others = public.clone().map(|url| vec![url]).or(secure).unwrap_or_else(|| self.http_origins());
        // A TV can't be told to trust a certificate that no authority has signed.
        let distrusted = certificate.filter(|current| !current.is_trusted());
        let tv = if distrusted.is_some() && public.is_none() { self.http_origins() } else { others.clone() };
        let ports = &self.config.relay.ports;
        let mut text = format!("Castway {} is running.\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<14}{value}\n"));
        line("On the TV", &format!("{}/tv", tv.first().unwrap_or(&here)));
        line("To cast", &format!("{}/cast", others.first().unwrap_or(&here)));
        line("To call", &format!("{}/r", others.first().unwrap_or(&here)));
        for other in others.iter().skip(1) {
            line("", &format!("or {other}"));
        }
        if !others.is_empty() && public.is_none() {
            line("", &format!("on this machine {here}"));
        }
        if !self.sockets.more_http.is_empty() {
            let more: Vec<String> = self.more_http_addrs().iter().map(SocketAddr::to_string).collect();
            line("Also at", &more.join(", "));
        }
        if let Some(current) = distrusted {
            if current.kind == Kind::SelfSigned {
                line("Certificate", "made by this server: browsers warn once. Its SHA-256 fingerprint is");
                self.own_fingerprints(&others).iter().for_each(|fingerprint| line("", fingerprint));
            } else {
                line("Certificate", "clients don't trust the certificate of CASTWAY_CERT: browsers warn once, HTTP is not");
                line("", "redirected, and turns: is not offered (CASTWAY_CERT_TRUSTED=true says that clients know its");
                line("", "authority). Its SHA-256 fingerprint is");
                line("", &current.fingerprint);
            }
        }
        let secure: Vec<String> = [self.https_addr(), self.turns_addr()].iter().flatten().map(SocketAddr::to_string).collect();
        if !secure.is_empty() {
            line("TLS", &format!("{} (pages, signaling and TURN)", secure.join(", ")));
        }
        let kinds = [(self.relay.has_udp(), "UDP"), (self.relay.has_tcp(), "TCP")];
        let kinds: Vec<&str> = kinds.iter().filter(|(listens, _)| *listens).map(|(_, kind)| *kind).collect();
        let alternate = self.alternate_turn_port().map(|port| format!(" and port {port}")).unwrap_or_default();
        let at = format!("{}{alternate} {}", self.turn_addr(), kinds.join(" and "));
        let listening = if kinds.is_empty() { "over TLS".to_owned() } else { at };
        if let Some(addr) = self.collider_addr() {
            line("Collider", &format!("{addr}, and the pages' ports"));
        }
        let peers = if self.config.relay.tcp_relay { "UDP and TCP" } else { "UDP" };
        let range = format!("relayed ports {}-{} {peers}", ports.start(), ports.end());
        line("TURN relay", &format!("{listening}; {range}"));
        let seen: Vec<_> = self.external.relays().iter().flatten().map(|relay| relay.advertised.to_string()).collect();
        line("", &format!("seen by others as {}", seen.join(" and ")));
        let closed = self.relay.closed_neighbours();
        if !closed.is_empty() {
            line("", &format!("reaches no peers in {}, where this machine is itself:", on_link::listed(closed)));
            line("", "CASTWAY_ALLOWED_PEER_IP allows them");
        }
        let cost = self.cast_cost();
        let casts = self.shares.casts(cost);
        line("Open files", &format!("{} at most, which is enough for {casts} casts over the relay at once:", self.shares.limit));
        let CastCost { relayed, turn_clients, http } = cost;
        line("", &format!("{relayed} relayed sockets, {turn_clients} connections to the relay and {http} to the pages for each"));
        if self.shares.limit < LOW_DESCRIPTOR_LIMIT {
            line("", "LimitNOFILE= (systemd) or ulimit -n allows more");
        }
        line("Data", &shown(&self.config.data_dir));
        let mut warnings = self.warnings(public.as_deref(), &here);
        warnings.extend(uncovered.flatten().filter(|_| public.is_none()));
        if !warnings.is_empty() {
            text.push_str("\nStill needs configuration:\n");
            warnings.iter().for_each(|warning| text.push_str(&format!("  ! {warning}\n")));
        }
        text
    }

    /// What a cast over the relay needs: browsers allocate at each URL that they are given.
    fn cast_cost(&self) -> CastCost {
        let turns = self.certificates.as_ref().is_some_and(|certificates| certificates.current().is_trusted());
        CastCost::of_urls(usize::from(self.relay.has_udp()), usize::from(self.relay.has_tcp()) + usize::from(turns))
    }

    /// The hosts by which other machines reach what is bound to `ip` here, the external ones first.
    fn hosts(&self, ip: IpAddr) -> Vec<Host> {
        let mut hosts: Vec<Host> = self.external.hosts().into_iter().filter(|host| address::leads_to(host, ip)).collect();
        for own in address::hosts(ip) {
            if !hosts.contains(&own) {
                hosts.push(own);
            }
        }
        hosts
    }

    fn http_origins(&self) -> Vec<String> {
        let addr = self.sockets.http.addr;
        self.hosts(addr.ip()).iter().map(|host| address::origin("http", host, addr.port())).collect()
    }

    /// Of the self-signed certificate for each of the origins, which is another one for each host.
    fn own_fingerprints(&self, origins: &[String]) -> Vec<String> {
        let Some(certificates) = &self.certificates else { return Vec::new() };
        let hosts: Vec<Host> =
            origins.iter().filter_map(|origin| Url::parse(origin).ok()?.host().map(|host| host.to_owned())).collect();
        let fingerprint = |host: &Host| {
            let host = address::unbracketed(host);
            let certificate = certificates.for_client(Some(&host), host.parse().ok(), Ipv4Addr::LOCALHOST.into());
            (host, certificate.fingerprint.clone())
        };
        match hosts.as_slice() {
            [] => vec![certificates.current().fingerprint.clone()],
            [host] => vec![fingerprint(host).1],
            hosts => hosts.iter().map(fingerprint).map(|(host, fingerprint)| format!("{fingerprint} for {host}")).collect(),
        }
    }

    /// The origins over TLS by which other machines reach this one without a warning about its name: those of its hosts that the
    /// certificate is for, or else the hosts of the certificate. Where there are neither, all of its hosts, and what to do.
    fn secure_origins(&self, certificate: &Certificate) -> (Vec<String>, Option<String>) {
        let addr = self.sockets.https_addr();
        let origins = |hosts: &[Host]| hosts.iter().map(|host| address::origin("https", host, addr.port())).collect();
        let all = self.hosts(addr.ip());
        // There is a self-signed one for each host.
        let covers = |host: &&Host| certificate.kind == Kind::SelfSigned || certificate.covers(&address::unbracketed(host));
        let mut good: Vec<Host> = all.iter().filter(covers).cloned().collect();
        if good.is_empty() {
            good = certificate.hosts().into_iter().filter(|host| address::leads_to(host, addr.ip())).collect();
        }
        if !good.is_empty() || all.is_empty() {
            return (origins(&good), None);
        }
        let warning = format!(
            "The certificate is for {}, and for no address of this machine, so browsers warn of it. Set CASTWAY_PUBLIC_URL to the \
             address that people type, with a name that the certificate is for",
            certificate.names.first().map_or("no host", String::as_str)
        );
        (origins(&all), Some(warning))
    }

    fn warnings(&self, public: Option<&str>, here: &str) -> Vec<String> {
        let mut warnings = self.sockets.missing.clone();
        if self.certificates.is_none() && !public.is_some_and(|url| url.starts_with("https:")) {
            warnings.push(format!(
                "No HTTPS: browsers share screens only from HTTPS pages or from localhost. On this machine cast from \
                 {here}/cast; for others set CASTWAY_NO_TLS=false, or put a TLS proxy in front and set CASTWAY_PUBLIC_URL=https://…"
            ));
        }
        warnings.extend(self.external.problems());
        warnings.extend(self.config.credentials.warning());
        warnings.extend(OtherRealms::new(self.config.relay.realm.clone()).news(&self.directory));
        warnings
    }

    /// Serves until `stop` ends, then tells the clients, gives the relay its deadline and closes everything.
    ///
    /// # Errors
    /// Where a part of the server that must not end did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { config, mut sockets, doors, collider_doors, certificates, hub, gateway, multi, io, external, relay, .. } =
            self;
        let (relay_alive, directory, store, mut clock) = (self.relay_alive, self.directory, self.store, self.clock);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(gateway.clone().run());
        tasks.spawn(multi.run());
        tasks.spawn(hub.run());
        tasks.spawn(external.follow());
        tasks.spawn(memory::give_back());
        if let Some(socket) = sockets.collider.take() {
            tasks.spawn(port::serve(vec![socket], collider_doors, std::future::pending()));
        }
        if let Some(certificates) = certificates.clone() {
            tasks.spawn(certificates.keep());
        }
        let mut reload = Reload::listen().context("SIGHUP can't be heard")?;
        let asked = directory.clone();
        tasks.spawn(directory.follow(store.clone()));
        let mut server = tokio::spawn(port::serve(sockets.into_listeners(), doors, async {
            stopped.await.ok();
        }));

        let mut watch = tokio::time::interval(Duration::from_secs(1));
        let mut signing = asked.signing_secret();
        let mut other_realms = OtherRealms::new(config.relay.realm.clone());
        // The report has named those who are there already.
        other_realms.news(&asked);
        tokio::pin!(stop);
        let ended = loop {
            tokio::select! {
                () = &mut stop => break None,
                result = &mut server => break Some(anyhow!("the listeners ended: {result:?}")),
                () = reload.requested() => if let Some(certificates) = &certificates {
                    certificates.reload();
                },
                Some(result) = tasks.join_next() => break Some(anyhow!("a part of the server ended: {result:?}")),
                _ = watch.tick() => {
                    log_wrong(relay.reports());
                    relay_alive.store(relay.is_alive(), Ordering::Relaxed);
                    let wall = SystemTime::now();
                    if let Some(by) = clock.follow(Instant::now(), wall) {
                        tracing::warn!(seconds = by, "the system clock was set; clients get new credentials");
                        asked.clock_set(by, wall);
                        gateway.handle_clock(clock);
                        certificates.iter().for_each(Certificates::reload);
                    }
                    if signing != asked.signing_secret() {
                        signing = asked.signing_secret();
                        gateway.renew_credentials();
                    }
                    if let Some(warning) = other_realms.news(&asked) {
                        tracing::warn!("{warning}");
                    }
                }
            }
        };

        log_wrong(relay.reports());
        let casts = gateway.counts();
        tracing::info!(casts.tvs, casts.clients, allocations = relay.allocations(), "stopping");
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

/// One form for all kinds, which the filter in `deploy/fail2ban` reads.
fn log_wrong(reports: &Reports) {
    for line in reports.drain(Instant::now()) {
        match line {
            Line::Wrong { kind, address, failures } => tracing::info!(%address, failures, "wrong {}", kind.name()),
            Line::LeftOut(count) => tracing::info!(count, "more lines about wrong codes, passwords and keys were left out"),
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
        self.limiter.check(from).map_err(wait::seconds)
    }

    fn ice_servers(&self, username: &str, host: Option<&str>) -> Value {
        let credentials = self.directory.lease(username, SystemTime::now());
        serde_json::to_value(self.ice.ice_servers(&credentials, host)).expect("strings are JSON")
    }

    fn end(&self, username: &str) {
        self.directory.end_lease(username);
    }
}

impl Sockets {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for listen in &config.http.listen {
            all.push(port::bind(listen, "CASTWAY_HTTP_ADDR").await?);
        }
        let mut all = all.into_iter();
        let http = all.next().context("CASTWAY_HTTP_ADDR names no address")?;
        let mut bound =
            Self { http, more_http: all.collect(), https: None, turns: None, proxied: None, collider: None, missing: Vec::new() };
        let collider = config.calls.collider.map(Listen::exactly);
        let more = [
            (&config.tls.https, "CASTWAY_HTTPS_ADDR", &mut bound.https),
            (&config.tls.turns, "CASTWAY_TURNS_ADDR", &mut bound.turns),
            (&collider, "CASTWAY_COLLIDER_ADDR", &mut bound.collider),
        ];
        for (listen, setting, place) in more {
            let Some(listen) = listen else { continue };
            match port::bind(listen, setting).await {
                Ok(socket) => *place = Some(socket),
                Err(error) if listen.required => return Err(error),
                // Every port takes TLS, so nothing but the address is missing.
                Err(error) => bound.missing.push(error.to_string()),
            }
        }
        Ok(bound)
    }

    /// Where HTTPS is: every port takes TLS.
    fn https_addr(&self) -> SocketAddr {
        self.https.as_ref().unwrap_or(&self.http).addr
    }

    fn into_listeners(self) -> Vec<Socket> {
        [Some(self.http), self.https, self.turns, self.proxied].into_iter().flatten().chain(self.more_http).collect()
    }
}

/// The names by which clients may know this machine, and what the world sees of it, for its own certificates.
fn own_hosts(config: &Config, external: &External) -> OwnHosts {
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let host = Some(host).filter(|host| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
    let local = host.iter().filter(|host| !host.contains('.')).map(|host| format!("{host}.local"));
    let public = config.http.public_url.as_ref().and_then(Url::host).map(|host| host.to_owned());
    let public = external.hosts().into_iter().chain(public).filter(|host| matches!(host, Host::Domain(_)));
    let names = local.chain(host.clone()).chain(public.map(|host| host.to_string()));
    OwnHosts::of(names.filter(|name| !name.is_empty()).collect()).seen_as(external.clone())
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
