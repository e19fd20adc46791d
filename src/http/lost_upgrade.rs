//! WebSocket handshakes whose `Upgrade` header a proxy has removed.
//!
//! nginx speaks HTTP/1.0 to what is behind it and passes no `Upgrade` on unless it is told to; the tutorials' blocks don't. A client
//! then waits in vain without a word, so the log and the answer say what is missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::client::Client;

/// Between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

const ANSWER: &str = "This WebSocket handshake has no Upgrade header: a proxy in front of this server removes it. In nginx, add \
proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";\n";

/// When the log was last told.
#[derive(Debug, Default)]
pub struct LostUpgrades(Mutex<Option<Instant>>);

impl LostUpgrades {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// Middleware behind [`crate::client::identify`]: answers such handshakes with 400 and logs them, once a minute.
pub async fn refuse(State(log): State<Arc<LostUpgrades>>, request: Request, next: Next) -> Response {
    if !has_lost_its_upgrade(&request) {
        return next.run(request).await;
    }
    if log.is_due(Instant::now()) {
        let from = request.extensions().get::<Client>().map(|client| tracing::field::display(client.address));
        tracing::warn!(
            path = request.uri().path(),
            from,
            "a WebSocket handshake came without its Upgrade header, so calls (/r) can't connect and casts fall back to polling: a \
             proxy in front removes it; in nginx, add proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection \"upgrade\";"
        );
    }
    (StatusCode::BAD_REQUEST, ANSWER).into_response()
}

/// Only browsers' and clients' handshakes have that key (RFC 6455 §4.1), and a browser lets no page set it.
fn has_lost_its_upgrade(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::GET && headers.contains_key(header::SEC_WEBSOCKET_KEY) && !headers.contains_key(header::UPGRADE)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute() {
        let (log, start) = (LostUpgrades::default(), Instant::now());
        let told: Vec<_> = [0, 1, 59, 60, 61, 119, 120].map(|second| log.is_due(start + Duration::from_secs(second))).to_vec();
        assert_eq!(told, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_handshake_without_upgrade_is_told_from_other_requests() {
        let request = |method: &str, headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
            has_lost_its_upgrade(&request.body(Body::empty()).unwrap())
        };
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(request("GET", &[key, ("connection", "close")]));
        assert!(!request("GET", &[key, ("upgrade", "websocket")]));
        assert!(!request("GET", &[("connection", "close")]));
        assert!(!request("POST", &[key]));
    }
}
