//! The Socket.IO server's settings, and what its requests need before it sees them.

pub mod answers;
pub mod jsonp;
mod packets;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use socketioxide::SocketIo;
use socketioxide::layer::SocketIoLayer;

use self::packets::Packets;
use crate::client::Client;
use crate::size::MAX_WIRE_BYTES;

/// The Socket.IO server: the layer that takes its requests, and the handle that namespaces are put on.
pub fn server() -> (SocketIoLayer, SocketIo) {
    SocketIo::builder()
        .max_payload(MAX_WIRE_BYTES as u64)
        .ws_max_message_size(MAX_WIRE_BYTES)
        .ws_max_frame_size(MAX_WIRE_BYTES)
        // Bursts of candidates; what does not fit would be lost, so whoever has so much waiting is disconnected.
        .max_buffer_size(4096)
        .ws_read_buffer_size(1024)
        .build_layer()
}

/// Whether Socket.IO takes requests for `path`.
pub fn serves(path: &str) -> bool {
    path.strip_prefix("/socket.io").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Middleware ahead of Socket.IO; other requests pass through.
pub async fn prepare(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/socket.io") {
        return next.run(request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    if request.method() == Method::POST && query.split('&').any(|pair| pair == "EIO=3") {
        return match without_namespace_queries(request).await {
            Ok(request) => next.run(lean(request)).await,
            Err(status) => status.into_response(),
        };
    }
    next.run(lean(request)).await
}

/// Clients of socket.io 2 name a namespace with its query, `/rtc?token=…`; socketioxide looks that up literally, finds
/// nothing and the client waits for ever. The query is cut off where it comes by polling, as it does at first by default.
async fn without_namespace_queries(request: Request) -> Result<Request, StatusCode> {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_WIRE_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let Some(cut) = std::str::from_utf8(&body).ok().and_then(cut_namespace_queries) else {
        return Ok(Request::from_parts(parts, Body::new(Packets(body))));
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(cut.len()));
    Ok(Request::from_parts(parts, Body::new(Packets(cut.into()))))
}

/// Rewrites an Engine.IO 3 payload (`LENGTH:PACKET…`, the length in UTF-16 units); `None`: nothing to rewrite.
fn cut_namespace_queries(payload: &str) -> Option<String> {
    if !payload.contains(":40/") {
        return None;
    }
    let (mut rest, mut cut) = (payload, String::with_capacity(payload.len()));
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':')?;
        let mut units: usize = length.parse().ok()?;
        let end = after.char_indices().find(|(_, character)| match units.checked_sub(character.len_utf16()) {
            Some(left) => {
                units = left;
                false
            }
            None => true,
        });
        let (packet, next) = after.split_at(end.map_or(after.len(), |(end, _)| end));
        let packet = match packet.strip_prefix("40/").and_then(|namespace| namespace.split_once('?')) {
            Some((namespace, _)) => &format!("40/{namespace},"),
            None => packet,
        };
        cut.push_str(&format!("{}:{packet}", packet.encode_utf16().count()));
        rest = next;
    }
    Some(cut)
}

/// What Engine.IO and the gateway look at.
const KEPT: [HeaderName; 11] = [
    header::HOST,
    header::ORIGIN,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
];

/// A Socket.IO session keeps the parts of its first request as long as it lives, and they pin the 16 KiB that the
/// connection was reading into. A fresh request with copies of what matters lets that go: 19 KiB an idle client, not 29.
fn lean(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let mut lean = Request::new(body);
    *lean.method_mut() = parts.method;
    *lean.version_mut() = parts.version;
    let uri = parts.uri.to_string();
    *lean.uri_mut() = uri.parse().unwrap_or(parts.uri);
    for name in KEPT {
        for value in parts.headers.get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                lean.headers_mut().append(name.clone(), copy);
            }
        }
    }
    if let Some(client) = parts.extensions.remove::<Client>() {
        lean.extensions_mut().insert(client);
    }
    if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() {
        lean.extensions_mut().insert(upgrade);
    }
    lean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_loses_its_query() {
        assert_eq!(cut_namespace_queries("15:40/rtc?token=1,").as_deref(), Some("7:40/rtc,"));
        let two = "17:40/rtc?token=a:b,12:42/rtc,[\"é\"]";
        assert_eq!(cut_namespace_queries(two).as_deref(), Some("7:40/rtc,12:42/rtc,[\"é\"]"));
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for payload in ["", "2:40", "12:42[\"a?:40\"]", "nonsense:40/x", "99999999999999999999999:40/rtc?x,"] {
            assert_eq!(cut_namespace_queries(payload), None, "{payload}");
        }
        assert_eq!(cut_namespace_queries("7:40/rtc,").as_deref(), Some("7:40/rtc,"));
    }
}
