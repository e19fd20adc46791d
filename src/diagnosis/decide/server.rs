//! What the server's own addresses say about how clients find it.

use std::net::IpAddr;

use crate::diagnosis::address_form::is_public;
use crate::diagnosis::observation::Facts;
use crate::diagnosis::verdict::Fault;

/// Whether the host of the relay's URLs leads to another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeadsElsewhere {
    No,
    /// It may also lead to a router that forwards to this machine.
    Perhaps,
    Certainly,
}

impl LeadsElsewhere {
    pub(super) fn is_certain(self) -> bool {
        self == Self::Certainly
    }

    pub(super) fn proxy(self, facts: &Facts) -> Option<Fault> {
        let name = facts.host.clone().filter(|_| self != Self::No)?;
        Some(Fault::ProxyBeforeName { name })
    }
}

pub(super) fn leads_elsewhere(facts: &Facts) -> LeadsElsewhere {
    let own = || facts.bound.iter().chain(&facts.advertised).chain(&facts.reached).map(IpAddr::to_canonical);
    let named = || facts.host_addresses.iter().map(IpAddr::to_canonical);
    if named().next().is_none() || named().any(|named| own().any(|own| own == named)) {
        return LeadsElsewhere::No;
    }
    let comparable = named().any(|named| is_public(named) && own().any(|own| is_public(own) && own.is_ipv4() == named.is_ipv4()));
    match (comparable, facts.proxied) {
        (true, _) => LeadsElsewhere::Certainly,
        (false, true) => LeadsElsewhere::Perhaps,
        (false, false) => LeadsElsewhere::No,
    }
}

/// The client found the pages at one address, and the relay's URLs name another one.
pub(super) fn wrong_host(facts: &Facts) -> Option<Fault> {
    wrong_address(facts, &facts.host_addresses)
}

/// The client found the pages at one address, and relayed addresses have another one.
pub(super) fn wrong_advertised(facts: &Facts) -> Option<Fault> {
    wrong_address(facts, &facts.advertised)
}

fn wrong_address(facts: &Facts, given: &[IpAddr]) -> Option<Fault> {
    // A proxy's address says nothing about this machine's.
    if facts.proxied {
        return None;
    }
    let own = facts.reached.map(|reached| reached.to_canonical()).filter(|reached| is_public(*reached));
    // The connection came to the given address. A client may claim any host, and its report must not make the operator set that one.
    if own.is_some_and(|own| given.iter().any(|given| given.to_canonical() == own)) {
        return None;
    }
    let asked: Vec<IpAddr> =
        if facts.asked_addresses.is_empty() { own.into_iter().collect() } else { facts.asked_addresses.clone() };
    let asked: Vec<IpAddr> = asked.iter().map(IpAddr::to_canonical).collect();
    let given = || given.iter().map(IpAddr::to_canonical);
    if given().any(|given| asked.contains(&given)) {
        return None;
    }
    let pairs = asked.iter().flat_map(|asked| given().map(move |given| (*asked, given)));
    let (reached, advertised) = pairs.into_iter().find(|(asked, given)| asked.is_ipv4() == given.is_ipv4())?;
    Some(Fault::WrongExternalAddress { reached: Some(reached), advertised })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_host_does_not_make_the_advertised_address_wrong() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let claimed = Facts {
            asked_addresses: vec![ip("192.0.2.66")],
            reached: Some(ip("203.0.113.7")),
            advertised: vec![ip("203.0.113.7")],
            ..Facts::default()
        };
        assert_eq!(wrong_advertised(&claimed), None);
        let elsewhere = Facts { advertised: vec![ip("203.0.113.8")], ..claimed.clone() };
        assert!(wrong_advertised(&elsewhere).is_some());
        // Behind NAT the connection comes to a private address, which may be the wrong one that is advertised.
        let private = Facts { reached: Some(ip("10.0.0.5")), advertised: vec![ip("10.0.0.5")], ..claimed };
        assert!(wrong_advertised(&private).is_some());
    }
}
