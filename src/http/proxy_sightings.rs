//! Counts the requests that seem to come through a proxy which the settings don't trust, for `castway doctor`.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

/// The headers that proxies write, and that browsers and programs don't.
const PROXY_HEADERS: [&str; 5] = ["cf-ray", "forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Counters and the last sighting; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ProxySightings(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: AtomicU64,
    with_headers: AtomicU64,
    last: Mutex<Option<(IpAddr, &'static str)>>,
}

impl ProxySightings {
    /// Requests from addresses that are no trusted proxies, and those of them with a header of a proxy.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.0.requests.load(Ordering::Relaxed), self.0.with_headers.load(Ordering::Relaxed))
    }

    /// The address of the last request with such a header, and the header's name.
    #[must_use]
    pub fn last(&self) -> Option<(IpAddr, &'static str)> {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, from: IpAddr, headers: &HeaderMap) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let Some(header) = PROXY_HEADERS.iter().find(|name| headers.contains_key(**name)) else { return };
        self.0.with_headers.fetch_add(1, Ordering::Relaxed);
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((from, header));
    }
}

/// Middleware in front of all others; `trusted` are the networks of the proxies.
pub async fn note(State((sightings, trusted)): State<(ProxySightings, Arc<[IpNet]>)>, request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let from = peer.ip().to_canonical();
        if !trusted.iter().any(|network| network.contains(&from)) {
            sightings.note(from, request.headers());
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_with_a_proxys_header_are_sightings() {
        let (sightings, address) = (ProxySightings::default(), IpAddr::from([10, 0, 0, 2]));
        let headers =
            |name: Option<&'static str>| name.into_iter().map(|name| (name.parse().unwrap(), "x".parse().unwrap())).collect();
        sightings.note(address, &headers(None));
        sightings.note(address, &headers(Some("user-agent")));
        assert_eq!((sightings.counts(), sightings.last()), ((2, 0), None));
        sightings.note(address, &headers(Some("x-forwarded-for")));
        assert_eq!((sightings.counts(), sightings.last()), ((3, 1), Some((address, "x-forwarded-for"))));
    }
}
