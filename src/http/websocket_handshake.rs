//! Answers WebSocket handshakes (RFC 6455 §4.2), and refuses those that can't succeed. Most of the latter were changed by a proxy.
//!
//! If the server answered 101, or nothing, the client would wait for ever: nginx forwards the 101 and no further bytes. After an
//! error, Socket.IO clients continue with polling, and other clients show the error. By default nginx uses HTTP/1.0 towards its
//! upstream and drops `Upgrade` and `Connection`; the configuration blocks of most tutorials don't change that. So the log and
//! the response name the missing header.
//!
//! Input: a request. Outputs: the next handler, which answers with [`switching_protocols`], or 400 or 426 and at most one log line a
//! minute for an address.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::client_info::ClientInfo;

/// The log has at most one line about an address in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// The maximum number of addresses that the log names in that time.
const MAX_LOGGED_ADDRESSES: usize = 16;

const ADVICE: &str = "a proxy in front of this server changes WebSocket handshakes; in nginx, add proxy_http_version 1.1; \
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/// The addresses that the log has named in the last minute.
#[derive(Debug, Default)]
pub struct BrokenHandshakeLog(Mutex<Vec<(Option<IpAddr>, Instant)>>);

impl BrokenHandshakeLog {
    fn is_due(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|(_, at)| now.saturating_duration_since(*at) < LOG_INTERVAL);
        let due = logged.len() < MAX_LOGGED_ADDRESSES && logged.iter().all(|(other, _)| *other != from);
        if due {
            logged.push((from, now));
        }
        due
    }
}

/// Middleware behind [`crate::http::client_info::identify`]: answers broken handshakes with 400 or 426, and logs those that a proxy
/// has changed.
pub async fn refuse_broken(State(log): State<Arc<BrokenHandshakeLog>>, request: Request, next: Next) -> Response {
    match defect(&request) {
        None => next.run(request).await,
        Some(HandshakeDefect::ByProxy(what)) => {
            let from = request.extensions().get::<ClientInfo>().map(|client| client.address);
            if log.is_due(from, Instant::now()) {
                let from = from.map(tracing::field::display);
                tracing::warn!(
                    from,
                    "a WebSocket handshake came {what}, so calls (/r) can't connect and casts fall back to polling: {ADVICE}"
                );
            }
            (StatusCode::BAD_REQUEST, format!("This WebSocket handshake came {what}: {ADVICE}\n")).into_response()
        }
        Some(HandshakeDefect::Version) => {
            // RFC 6455 §4.4 and RFC 9110 §15.5.22.
            let headers =
                [(header::SEC_WEBSOCKET_VERSION, "13"), (header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
            let error = "A WebSocket handshake has the header \"Sec-WebSocket-Version: 13\" here.\n";
            (StatusCode::UPGRADE_REQUIRED, headers, error).into_response()
        }
        Some(HandshakeDefect::Key) => {
            let error = "A WebSocket handshake has one header Sec-WebSocket-Key, which is 16 bytes in base64.\n";
            (StatusCode::BAD_REQUEST, error).into_response()
        }
    }
}

/// The answer that accepts a handshake (RFC 6455 §4.2.2, step 5).
pub fn switching_protocols(key: &HeaderValue, subprotocol: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(accept(key).map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    headers.extend(subprotocol.map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
    response
}

fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

/// Why a handshake can't succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakeDefect {
    /// A proxy has most likely removed a header or changed the version of HTTP.
    ByProxy(&'static str),
    Version,
    Key,
}

/// Checks a handshake (RFC 6455 §4.2.1). A request with the header `Sec-WebSocket-Key` is one: browsers allow no page to set that
/// header. Without the header, [`is_for_websockets`] decides.
fn defect(request: &Request) -> Option<HandshakeDefect> {
    let headers = request.headers();
    let asks = has_token(headers, &header::UPGRADE, "websocket") && is_for_websockets(request.uri());
    if request.method() != Method::GET || !(asks || headers.contains_key(header::SEC_WEBSOCKET_KEY)) {
        return None;
    }
    if request.version() > Version::HTTP_11 {
        // RFC 6455 §4.2.1, item 1. Over HTTP/2 the handshake would be an extended CONNECT (RFC 8441 §4).
        Some(HandshakeDefect::ByProxy("over HTTP/2, where no Upgrade header counts"))
    } else if !has_token(headers, &header::UPGRADE, "websocket") {
        // Item 3.
        Some(HandshakeDefect::ByProxy("without its Upgrade header"))
    } else if !has_token(headers, &header::CONNECTION, "upgrade") {
        // Item 4.
        Some(HandshakeDefect::ByProxy("with an Upgrade header, but without \"Connection: upgrade\""))
    } else if request.version() < Version::HTTP_11 {
        // Item 1 again. The headers were checked first, because their absence is the better hint.
        Some(HandshakeDefect::ByProxy("over HTTP/1.0, where no Upgrade header counts"))
    } else if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        // Item 6.
        Some(HandshakeDefect::Version)
    } else if !only(headers, &header::SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        // Item 5.
        Some(HandshakeDefect::Key)
    } else {
        None
    }
}

/// Collider's path, and Socket.IO's transport. For other requests an Upgrade header is harmless; some proxies add it to all of them.
fn is_for_websockets(uri: &Uri) -> bool {
    let transport = || uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "transport=websocket"));
    uri.path() == "/ws" || (uri.path().starts_with("/socket.io") && transport())
}

/// The value of a header; `None` if it is missing or repeated.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
}

/// Whether these are 16 bytes in base64. Some clients set the unused bits of the last digit.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(digit) && key.ends_with(b"==")
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
    fn the_key_is_accepted_as_in_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_log_names_an_address_once_a_minute_and_few_addresses() {
        let (log, start) = (BrokenHandshakeLog::default(), Instant::now());
        let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let logged: Vec<_> = [0, 1, 59, 60, 61, 119, 120].map(|at| log.is_due(from(1), start + Duration::from_secs(at))).to_vec();
        assert_eq!(logged, [true, false, false, true, false, false, true]);
        let at = start + Duration::from_secs(121);
        assert_eq!((0..=255).filter(|last| log.is_due(from(*last), at)).count(), MAX_LOGGED_ADDRESSES - 1);
        assert!(log.is_due(from(200), at + LOG_INTERVAL));
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const UPGRADE: (&str, &str) = ("upgrade", "WebSocket");
    const KEEP: (&str, &str) = ("connection", "keep-alive, Upgrade");

    fn found(method: &str, uri: &str, version: Version, headers: &[(&str, &str)]) -> Option<HandshakeDefect> {
        let request = Request::builder().method(method).uri(uri).version(version);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        defect(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn a_handshake_that_a_proxy_has_changed_is_distinguished_from_other_requests() {
        let get = |version, headers: &[(&str, &str)]| found("GET", "/", version, headers);
        let by_proxy = |defect| match defect {
            Some(HandshakeDefect::ByProxy(what)) => what,
            other => panic!("{other:?}"),
        };
        let http = Version::HTTP_11;
        assert_eq!(get(http, &[KEY, VERSION, UPGRADE, KEEP]), None);
        for headers in [&[KEY, ("connection", "close")][..], &[KEY, ("upgrade", ""), KEEP], &[KEY, ("upgrade", "h2c"), KEEP]] {
            assert_eq!(get(http, headers), Some(HandshakeDefect::ByProxy("without its Upgrade header")), "{headers:?}");
        }
        assert!(by_proxy(get(http, &[KEY, VERSION, UPGRADE, ("connection", "close")])).contains("Connection: upgrade"));
        assert!(by_proxy(get(Version::HTTP_10, &[KEY, VERSION, UPGRADE, KEEP])).contains("HTTP/1.0"));
        assert!(by_proxy(get(Version::HTTP_2, &[KEY, VERSION])).contains("HTTP/2"));
        assert_eq!(get(http, &[("connection", "close")]), None);
        assert_eq!(found("POST", "/", http, &[KEY]), None);
    }

    #[test]
    fn a_wrong_version_or_key_is_reported() {
        let http = Version::HTTP_11;
        let get = |headers: &[(&str, &str)]| found("GET", "/ws", http, &[&[UPGRADE, KEEP], headers].concat());
        let version = |version| ("sec-websocket-version", version);
        for headers in [&[KEY][..], &[KEY, version("8")], &[KEY, version("13, 8")], &[KEY, VERSION, VERSION], &[KEY, version("")]]
        {
            assert_eq!(get(headers), Some(HandshakeDefect::Version), "{headers:?}");
        }
        for key in ["", "abc", "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBsZSBub25jZQ==AA", "dGhlIHNhbXBsZSBub25jZ-=="] {
            assert_eq!(get(&[VERSION, ("sec-websocket-key", key)]), Some(HandshakeDefect::Key), "{key}");
        }
        assert_eq!(get(&[VERSION]), Some(HandshakeDefect::Key));
        assert_eq!(get(&[VERSION, KEY, KEY]), Some(HandshakeDefect::Key));
        assert_eq!(get(&[VERSION, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR==")]), None);
    }

    #[test]
    fn a_proxy_that_adds_upgrade_to_everything_does_no_harm() {
        let get = |uri| found("GET", uri, Version::HTTP_11, &[UPGRADE, KEEP]);
        for uri in ["/", "/tv", "/socket.io/?EIO=4&transport=polling", "/turn?transport=websocket"] {
            assert_eq!(get(uri), None, "{uri}");
        }
        for uri in ["/ws", "/socket.io/?EIO=4&transport=websocket"] {
            assert_eq!(get(uri), Some(HandshakeDefect::Version), "{uri}");
        }
    }
}
