//! [`App`]: a built server, and the addresses it listens on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use socketioxide::SocketIo;

use super::facts::PublicNames;
use super::hooks::Hooks;
use super::listeners::TcpListeners;
use super::self_test::SelfTest;
use crate::addresses::external::ExternalAddresses;
use crate::addresses::ice_servers::IceServers;
use crate::admin::Admin;
use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::check::Checks;
use crate::clock::WallClock;
use crate::config::Config;
use crate::control::{ControlSocket, FolderLock};
use crate::diagnosis::watch::Watch;
use crate::http::proxy_sightings::ProxySightings;
use crate::ingress::Dispatcher;
use crate::limits::descriptors::DescriptorPools;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::MultiConnectionGateway;
use crate::operator::RelayedRate;
use crate::outcomes::reporter::Reporter;
use crate::relay::Relay;
use crate::sentence::Sentence;
use crate::tls::Certificates;
use crate::users::{Directory, PasswordChecks, Store};

/// A server whose sockets are bound and whose database is open.
pub struct App {
    pub(super) config: Config,
    pub(super) listeners: TcpListeners,
    pub(super) dispatcher: Dispatcher,
    /// For Collider's own port.
    pub(super) collider_dispatcher: Dispatcher,
    pub(super) certificates: Option<Certificates>,
    pub(super) apprtc: AppRtcGateway,
    pub(super) cast: CastGateway,
    pub(super) multiconnection: MultiConnectionGateway,
    pub(super) io: SocketIo,
    pub(super) external: ExternalAddresses,
    pub(super) relay: Relay,
    pub(super) relay_alive: Arc<AtomicBool>,
    pub(super) directory: Directory,
    /// Keeps other servers from the data folder.
    pub(super) lock: FolderLock,
    pub(super) store: Store,
    pub(super) descriptors: DescriptorPools,
    pub(super) clock: WallClock,
    pub(super) checks: Checks,
    pub(super) relayed_rate: RelayedRate,
    /// `/admin`, which serves once [`App::run`] has given it the operator's parts.
    pub(super) admin: Admin,
    pub(super) public_names: PublicNames,
    pub(super) reporter: Reporter,
    pub(super) self_test: SelfTest,
    pub(super) ice: IceServers,
    pub(super) proxies: ProxySightings,
    pub(super) ledger: Ledger,
    pub(super) password_checks: PasswordChecks,
    /// Through it commands ask this server; a sentence says why it is missing.
    pub(super) control: Result<ControlSocket, Sentence>,
    pub(super) hooks: Hooks,
}

impl App {
    /// The main address of the pages, Socket.IO and the REST API, with the bound port where 0 was set.
    pub const fn http_addr(&self) -> SocketAddr {
        self.listeners.http.addr
    }

    /// Their other addresses, with the bound ports.
    pub fn more_http_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.more_http.iter().map(|listener| listener.addr).collect()
    }

    /// The address of everything over TLS; `None`: TLS is off, or its port was taken.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.listeners.https.as_ref().map(|listener| listener.addr)
    }

    /// The address of TURN over TLS at its standard port.
    pub fn turns_addr(&self) -> Option<SocketAddr> {
        self.listeners.turns.as_ref().map(|listener| listener.addr)
    }

    /// The checks of devices: keys, and results.
    pub const fn checks(&self) -> &Checks {
        &self.checks
    }

    /// The certificates, unless TLS is off.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The address of STUN and TURN, with the bound port where 0 was set.
    pub const fn turn_addr(&self) -> SocketAddr {
        self.relay.listening()
    }

    /// The alternate port of STUN and TURN, with the bound one where 0 was set.
    pub const fn alternate_turn_port(&self) -> Option<u16> {
        self.relay.alternate_port()
    }

    /// The relay's test of its own listeners.
    pub const fn self_test(&self) -> &SelfTest {
        &self.self_test
    }

    /// What the relay sees of clients that somebody watches.
    pub const fn watch(&self) -> &Watch {
        self.relay.watch()
    }

    /// The address of Collider's own port, with the bound one where 0 was set.
    pub fn collider_addr(&self) -> Option<SocketAddr> {
        self.listeners.collider.as_ref().map(|listener| listener.addr)
    }
}
