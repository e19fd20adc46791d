//! The line of the settings that removes a fault.

use crate::diagnosis::verdict::{Fault, Finding, Verdict};
use std::net::IpAddr;

/// Only where the fault is certain, and one line removes it.
pub(super) fn of(verdict: &Verdict) -> Option<String> {
    let Verdict::Fault(Finding { fault: Fault::WrongExternalAddress { reached, advertised }, .. }) = verdict else { return None };
    reached.filter(|reached| leads_here(*reached, *advertised)).map(setting)
}

pub(super) fn setting(address: IpAddr) -> String {
    format!("CASTWAY_EXTERNAL_IP={address}")
}

/// Whether the address at which a client found the server is better than the advertised one. A device inside finds a server behind NAT at
/// an address that nobody outside reaches.
pub(super) fn leads_here(reached: IpAddr, advertised: IpAddr) -> bool {
    use crate::diagnosis::address_form::is_public;

    !reached.is_loopback() && (is_public(reached) || !is_public(advertised))
}
