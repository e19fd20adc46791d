//! The whole server: [`App::build`] binds and opens everything, [`App::run`] serves until it is told to stop.

mod build;
mod cors;
pub mod flows;
mod listeners;
mod memory;
pub mod metrics;
mod open;
pub mod router;
mod run;
pub mod signals;
mod startup_report;
pub mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use socketioxide::SocketIo;

use self::listeners::Sockets;
use crate::addresses::external::ExternalAddresses;
use crate::apprtc::gateway::Gateway as CallGateway;
use crate::cast::gateway::Gateway;
use crate::clock::WallClock;
use crate::config::Config;
use crate::ingress::Dispatcher;
use crate::limits::descriptors::DescriptorPools;
use crate::multiconnection::gateway::Gateway as MultiGateway;
use crate::relay::Relay;
use crate::tls::Certificates;
use crate::users::{Directory, Store};

/// A server whose sockets are bound and whose database is open.
pub struct App {
    config: Config,
    sockets: Sockets,
    dispatcher: Dispatcher,
    /// For Collider on a port of its own.
    collider_dispatcher: Dispatcher,
    certificates: Option<Certificates>,
    calls: CallGateway,
    gateway: Gateway,
    multi: MultiGateway,
    io: SocketIo,
    external: ExternalAddresses,
    relay: Relay,
    relay_alive: Arc<AtomicBool>,
    directory: Directory,
    store: Store,
    shares: DescriptorPools,
    clock: WallClock,
}

impl App {
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
}
