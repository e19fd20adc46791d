//! Whether requests come through a proxy that the settings don't trust, so that all clients look like one.

use super::inputs::Inputs;
use super::line::{Line, Topic};
use crate::addresses::interfaces;
use crate::control::facts::ProxyFacts;

/// Anybody may send such a header. A proxy sends one with most of the requests.
const MIN_REQUESTS: u64 = 10;

pub(super) fn look(inputs: &Inputs) -> Vec<Line> {
    inputs.facts.iter().filter_map(|facts| judge(&facts.proxies)).collect()
}

fn judge(seen: &ProxyFacts) -> Option<Line> {
    let last = seen.last.as_ref()?;
    let (near, most) =
        (interfaces::is_private(last.address), seen.with_headers > seen.requests / 2 && seen.requests >= MIN_REQUESTS);
    (near || most).then(|| {
        let text = format!(
            "{} of {} requests had a header that proxies write ({}), the last one from {}, which is no trusted proxy. If it is your \
             proxy, all clients count as one until you set CASTWAY_TRUSTED_PROXIES={}",
            seen.with_headers, seen.requests, last.header, last.address, last.address
        );
        Line::warning(Topic::Proxy, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::facts::ProxySighting;

    fn noticed(requests: u64, with_headers: u64, address: &str) -> bool {
        let last = Some(ProxySighting { address: address.parse().unwrap(), header: "via".to_owned() });
        judge(&ProxyFacts { requests, with_headers, last }).is_some()
    }

    #[test]
    fn a_strangers_header_is_no_proxy() {
        assert!(!noticed(1000, 20, "8.8.4.4") && !noticed(3, 3, "8.8.4.4"));
        assert!(noticed(1000, 900, "8.8.4.4"), "a content delivery network");
        assert!(noticed(1, 1, "127.0.0.1") && noticed(1000, 2, "172.17.0.1"));
        assert_eq!(judge(&ProxyFacts { requests: 1000, ..ProxyFacts::default() }), None);
    }
}
