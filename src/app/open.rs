//! Opens what must be there before anybody is served: the ports, the database, the addresses, the certificate and the relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc;
use url::{Host, Url};

use super::facts::PublicNames;
use super::hooks::Hooks;
use super::listeners::TcpListeners;
use super::self_test::{Parts, SelfTest};
use crate::addresses::external::ExternalAddresses;
use crate::admission::{Admission, SignIn};
use crate::clock::WallClock;
use crate::config::secret::Secret;
use crate::config::{Config, without_last_slash};
use crate::control::FolderLock;
use crate::diagnosis::watch::Watch;
use crate::ingress::Listener;
use crate::limits::descriptor_limit;
use crate::limits::descriptors::{self, DescriptorPools};
use crate::relay::{self, IngressForwarding, Relay};
use crate::tls::{Certificates, ServerHosts};
use crate::turn::Transport;
use crate::users::{Directory, Store, UserPasswords};

/// Connections of proxies to the relay's own listener that may wait in the queue to the dispatcher.
const MAX_QUEUED_PROXIED: usize = 256;
/// The same for connections of other clients, which keep their descriptors among those of the relay's clients.
const MAX_QUEUED_OTHERS: usize = 256;

/// The opened and bound parts.
pub(super) struct Opened {
    pub(super) config: Config,
    pub(super) listeners: TcpListeners,
    pub(super) lock: FolderLock,
    pub(super) store: Store,
    pub(super) directory: Directory,
    pub(super) resume_key: Secret<[u8; 32]>,
    /// Decides who may have a seat.
    pub(super) admission: Admission,
    pub(super) passwords: UserPasswords,
    /// `None`: TLS is off.
    pub(super) https_port: Option<u16>,
    pub(super) external: ExternalAddresses,
    pub(super) certificates: Option<Certificates>,
    pub(super) relay: Relay,
    /// What the relay sees of clients whose cast, call or check somebody watches.
    pub(super) watch: Watch,
    pub(super) public_names: PublicNames,
    pub(super) self_test: SelfTest,
    pub(super) descriptors: DescriptorPools,
    pub(super) clock: WallClock,
    /// Requests to the operator's own servers.
    pub(super) hooks: Hooks,
}

impl Opened {
    pub(super) async fn open(mut config: Config) -> anyhow::Result<Self> {
        let descriptor_limit = descriptor_limit::raise();
        let now = SystemTime::now();
        let clock = WallClock::new(Instant::now(), now);
        // The ports come first, so that a start that finds them taken leaves nothing in the data folder.
        let mut listeners = TcpListeners::bind(&config)?;
        relay::check_ports(&config.relay)?;
        let bound = relay::bind_addresses(&config.relay)?;
        let lock = FolderLock::take(&config.data_dir).await?;
        let store = Store::open(&config.data_dir, now).await?;
        let directory = Directory::open(&store, &config.credentials).await?;
        directory.banned_addresses().exempt(config.http.trusted_proxies.clone());
        let resume_key = store.key("resume", now).await?;
        let sign_in_key = store.key("sign_in", now).await?;
        let https_port = config.tls.https.is_some().then(|| listeners.https_addr().port());
        config.http.public_url = config.http.public_url.or_else(|| config.tls.source.origin(https_port?));
        let external = ExternalAddresses::new(&config.relay.external, bound, config.http.public_url.clone());
        external.look_up_at_start().await;
        let certificates =
            https_port.map(|_| Certificates::open(&config.tls.source, &config.data_dir, own_hosts(&config, &external)));
        let certificates = certificates.transpose()?;
        let (relay, descriptors) = start_relay(&config, &directory, &external, &mut listeners, descriptor_limit)?;
        let hooks = Hooks::new(&config.hooks);
        let passwords = UserPasswords::new(relay.reports());
        let sign_in = SignIn::new(directory.clone(), passwords.clone(), sign_in_key, config.credentials.ttl);
        let admission = Admission::new(config.cast.access, sign_in, hooks.authorizer.clone());
        let public_names = PublicNames::new(external.clone(), config.http.public_url.as_ref(), certificates.clone());
        let parts = Parts {
            directory: directory.clone(),
            external: external.clone(),
            certificates: certificates.clone(),
            trusted_proxies: config.http.trusted_proxies.clone(),
        };
        let self_test = SelfTest::new(turn_listeners(&relay, &listeners, https_port.is_some()), parts);
        // Recorded once the ports are bound: commands are not for a second server that finds the ports taken.
        let record =
            config.settings.expose().server_record(relay.listening(), https_port, &std::env::current_dir().unwrap_or_default());
        store.record(&record, now).await?;
        Ok(Self {
            config,
            listeners,
            lock,
            store,
            directory,
            resume_key,
            admission,
            passwords,
            https_port,
            external,
            certificates,
            watch: relay.watch().clone(),
            public_names,
            self_test,
            relay,
            descriptors,
            clock,
            hooks,
        })
    }

    /// The origin that people type, if it is set.
    pub(super) fn public_origin(&self) -> Option<String> {
        self.config.http.public_url.as_ref().map(|url| url.origin().ascii_serialization())
    }

    /// The address that people type, if it is set: an origin and the base path.
    pub(super) fn public_url(&self) -> Option<String> {
        self.config.http.public_url.as_ref().map(without_last_slash)
    }
}

/// Starts the relay, and divides the open files between the parts of the server.
fn start_relay(
    config: &Config,
    directory: &Directory,
    external: &ExternalAddresses,
    listeners: &mut TcpListeners,
    descriptor_limit: u64,
) -> anyhow::Result<(Relay, DescriptorPools)> {
    let ports = usize::from(config.relay.ports.end() - config.relay.ports.start()) + 1;
    let proxied = MAX_QUEUED_PROXIED.min(usize::try_from(descriptor_limit / 16).unwrap_or(usize::MAX));
    // Everything that this server keeps open for itself is open by now, except the relay's sockets.
    let open = descriptors::open_now() + proxied as u64;
    // For both families, and for the connections that each relayed address may have with TCP peers.
    let of_relay = if config.relay.tcp_relay { 1 + config.relay.max_peer_connections } else { 1 };
    let descriptors = DescriptorPools::divide(descriptor_limit, open, config.relay.threads, 2 * ports * of_relay);
    let relay = relay::start(&config.relay, external, Arc::new(directory.clone()), &descriptors, &listeners.ports())?;
    if config.relay.tcp {
        listeners.forwarded = forward_to_ingress(config, &relay, proxied).into();
    }
    Ok((relay, descriptors))
}

/// The listeners at which TURN clients are served.
fn turn_listeners(relay: &Relay, listeners: &TcpListeners, tls: bool) -> Vec<(Transport, SocketAddr)> {
    let listening = relay.listening();
    let ports = [Some(listening.port()), relay.alternate_port()].into_iter().flatten();
    let transports = [(Transport::Udp, relay.has_udp()), (Transport::Tcp, relay.has_tcp())];
    let of_relay = ports.flat_map(|port| {
        let address = SocketAddr::new(listening.ip(), port);
        transports.into_iter().filter(|(_, listens)| *listens).map(move |(transport, _)| (transport, address))
    });
    let turns = listeners.turns.as_ref().map(|listener| listener.addr);
    let of_tls = tls.then(|| listeners.https_addr()).into_iter().chain(turns);
    of_relay.chain(of_tls.map(|address| (Transport::Tls, address))).collect()
}

/// Has the relay forward the connections to its own ports that the ingress serves. At most `proxied` connections of trusted proxies
/// wait.
fn forward_to_ingress(config: &Config, relay: &Relay, proxied: usize) -> [Listener; 2] {
    let http = config.http.on_turn_ports;
    let (proxied, of_proxies) = mpsc::channel(proxied.max(1));
    let (others, of_others) = mpsc::channel(MAX_QUEUED_OTHERS);
    let (proxies, tls) = (config.http.trusted_proxies.clone().into(), config.tls.https.is_some());
    relay.forward_to_ingress(&IngressForwarding { proxies, tls, http, proxied, others });
    [of_proxies, of_others].map(|connections| Listener::handed(connections, relay.listening(), http))
}

/// The names by which clients may know this machine, and what the world sees of it, for its own certificates.
fn own_hosts(config: &Config, external: &ExternalAddresses) -> ServerHosts {
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let host = Some(host).filter(|host| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)));
    let local = host.iter().filter(|host| !host.contains('.')).map(|host| format!("{host}.local"));
    let public = config.http.public_url.as_ref().and_then(Url::host).map(|host| host.to_owned());
    let public = external.hosts().into_iter().chain(public).filter(|host| matches!(host, Host::Domain(_)));
    let names = local.chain(host.clone()).chain(public.map(|host| host.to_string()));
    ServerHosts::of(names.filter(|name| !name.is_empty()).collect()).seen_as(external.clone())
}
