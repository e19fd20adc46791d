//! Why a socket can't be bound, as a sentence that names the setting to change.

use std::io;
use std::net::SocketAddr;

use crate::addresses::interfaces;
use crate::addresses::port_holder::{listen_privilege, port_taken, without_ipv6};

/// `setting` is the setting that has the port.
pub(super) fn listen_error(protocol: &str, address: SocketAddr, setting: &str, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let off = if protocol == "TCP" { "; or set CASTWAY_NO_TCP=true" } else { "" };
    let sentence = if kind == io::ErrorKind::AddrInUse {
        format!("{}{off}", port_taken(protocol, address, setting))
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let (own, port) = (interfaces::listed(), address.port());
        format!(
            "the relay can't listen on {address}, which is not an address of this machine: set CASTWAY_TURN_ADDR to one of {own}, \
             or to 0.0.0.0:{port} for all"
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "{protocol} {address} needs more privileges than this user has: {}; or set {setting} to a port from 1024 up",
            listen_privilege(address.port())
        )
    } else if let Some(sentence) = without_ipv6(address, setting, &error) {
        sentence
    } else {
        format!("the relay can't listen on {protocol} {address}: change {setting}")
    };
    anyhow::Error::new(error).context(sentence)
}

/// Whether the cause of an error is that the port is taken.
pub(super) fn is_port_taken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}
