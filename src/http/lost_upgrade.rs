//! WebSocket handshakes that a proxy has changed so that they can't succeed.
//!
//! nginx speaks HTTP/1.0 to what is behind it and passes neither `Upgrade` nor `Connection` on unless it is told to; the tutorials'
//! blocks don't. A client then waits in vain without a word, so the log and the answer say what is missing.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::client::Client;

/// Between two lines in the log about one address.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Addresses that the log is told of in that time.
const MAX_LOGGED: usize = 16;

const ADVICE: &str = "a proxy in front of this server changes WebSocket handshakes; in nginx, add proxy_http_version 1.1; \
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/// Whom the log was told of lately.
#[derive(Debug, Default)]
pub struct LostUpgrades(Mutex<Vec<(Option<IpAddr>, Instant)>>);

impl LostUpgrades {
    fn is_due(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|(_, at)| now.saturating_duration_since(*at) < LOG_INTERVAL);
        let due = logged.len() < MAX_LOGGED && logged.iter().all(|(other, _)| *other != from);
        if due {
            logged.push((from, now));
        }
        due
    }
}

/// Middleware behind [`crate::client::identify`]: answers such handshakes with 400, and logs them once a minute and address.
pub async fn refuse(State(log): State<Arc<LostUpgrades>>, request: Request, next: Next) -> Response {
    let Some(fault) = fault(&request) else { return next.run(request).await };
    let from = request.extensions().get::<Client>().map(|client| client.address);
    if log.is_due(from, Instant::now()) {
        let from = from.map(tracing::field::display);
        tracing::warn!(
            from,
            "a WebSocket handshake came {fault}, so calls (/r) can't connect and casts fall back to polling: {ADVICE}"
        );
    }
    (StatusCode::BAD_REQUEST, format!("This WebSocket handshake came {fault}: {ADVICE}\n")).into_response()
}

/// What a handshake lacks (RFC 6455 §4.2.1). Only handshakes have that key, and a browser lets no page set it.
fn fault(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    if request.method() != Method::GET || !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        return None;
    }
    if !has_token(headers, &header::UPGRADE, "websocket") {
        Some("without its Upgrade header")
    } else if !has_token(headers, &header::CONNECTION, "upgrade") {
        Some("with an Upgrade header, but without \"Connection: upgrade\"")
    } else if request.version() < Version::HTTP_11 {
        Some("over HTTP/1.0, where no Upgrade header counts")
    } else {
        None
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute_of_an_address_and_of_few() {
        let (log, start) = (LostUpgrades::default(), Instant::now());
        let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let told: Vec<_> = [0, 1, 59, 60, 61, 119, 120].map(|at| log.is_due(from(1), start + Duration::from_secs(at))).to_vec();
        assert_eq!(told, [true, false, false, true, false, false, true]);
        let at = start + Duration::from_secs(121);
        assert_eq!((0..=255).filter(|last| log.is_due(from(*last), at)).count(), MAX_LOGGED - 1);
        assert!(log.is_due(from(200), at + LOG_INTERVAL));
    }

    #[test]
    fn a_handshake_that_lost_something_is_told_from_other_requests() {
        let request = |method: &str, version, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method).version(version);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            fault(&request.body(Body::empty()).unwrap())
        };
        let (key, upgrade) = (("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("upgrade", "WebSocket"));
        let keep = ("connection", "keep-alive, Upgrade");
        let http = Version::HTTP_11;
        assert_eq!(request("GET", http, &[key, upgrade, keep]), None);
        for lost in [&[key, ("connection", "close")][..], &[key, ("upgrade", ""), keep], &[key, ("upgrade", "h2c"), keep]] {
            assert_eq!(request("GET", http, lost), Some("without its Upgrade header"), "{lost:?}");
        }
        assert!(request("GET", http, &[key, upgrade, ("connection", "close")]).unwrap().contains("Connection: upgrade"));
        assert!(request("GET", Version::HTTP_10, &[key, upgrade, keep]).unwrap().contains("HTTP/1.0"));
        assert_eq!(request("GET", http, &[("connection", "close")]), None);
        assert_eq!(request("POST", http, &[key]), None);
    }
}
