//! WebSocket handshakes for Socket.IO. They are answered here, not by engineioxide, since the stream is ours then: what passes
//! on it goes through [`super::stream`] before socketioxide's service for WebSockets on other people's streams gets it.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::Service;

use super::Shared;
use super::engine_io_3::{FROM_CLIENT, TO_CLIENT};
use super::probe;
use super::session::{Asked, EndedOnDrop, Engine};
use super::sessions::Place;
use super::stream::Filtered;
use crate::limits::unfinished::UnfinishedMessages;
use crate::socketio::outgoing::Outgoing;

type Stream = Filtered<TokioIo<Upgraded>>;

/// Answers a request for a WebSocket, whose protocol and session id can be read. `lean` is what the session keeps of it, `place` is
/// the session's, `outgoing` is what waits for it.
pub(super) async fn answer(
    shared: Shared,
    asked: Asked,
    mut request: Request,
    lean: Request<()>,
    place: Option<Arc<Place>>,
    outgoing: Outgoing,
) -> Response {
    let Shared { engine, traffic, kept, probes, .. } = shared;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(upgrade), Some(key)) = (upgrade, request.headers().get(header::SEC_WEBSOCKET_KEY)) else {
        // As engine.io, where no handshake comes.
        let body = "{\"code\":3,\"message\":\"Bad request\"}";
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    };
    let Ok(subprotocol) = subprotocol(request.headers(), asked.is_engine_io_3()) else {
        let error = "Invalid Sec-WebSocket-Protocol header: it is a list of different tokens, separated by commas.\n";
        return (StatusCode::BAD_REQUEST, error).into_response();
    };
    let session = asked.session(&engine);
    if let Some(session) = &session
        && let Some(refusal) = session.refusal().await
    {
        return refusal;
    }
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(accept(key).map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
    headers.extend(subprotocol.map(|first| (header::SEC_WEBSOCKET_PROTOCOL, first)));
    let rules = asked.is_engine_io_3().then_some([&FROM_CLIENT, &TO_CLIENT]);
    let arriving =
        request.extensions().get::<UnfinishedMessages>().map(|unfinished| unfinished.incoming(super::address(&request)));
    let kept = kept.of(super::address(&request));
    let moved = match session {
        Some(session) => Some((probes.begin(session.sid()), place.map(Place::poll), session.ending(&outgoing))),
        None => {
            place.iter().for_each(|place| place.move_to_websocket());
            outgoing.move_to_websocket();
            None
        }
    };
    let moving = outgoing.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = Filtered::new(TokioIo::new(upgraded), rules, traffic, outgoing, kept).with_limit(arriving);
        if let Some((probe, used, ending)) = moved {
            // Some proxies pass the 101 on and nothing else. Until the client has probed its WebSocket the session goes on by polling,
            // and engineioxide would stop that at once. Boxed, since this task lives as long as the WebSocket.
            if !Box::pin(probe::is_agreed(&mut stream, probe)).await {
                return;
            }
            moving.move_to_websocket();
            if let Some(used) = used {
                used.place().move_to_websocket();
            }
            // And an upgrade that does not get to its end leaves the session where nothing ends it.
            stream.hold(EndedOnDrop::new(Some(ending)));
        }
        serve(engine, stream, lean).await;
    });
    response
}

async fn serve(mut engine: Engine, stream: Stream, request: Request<()>) {
    if let Err(error) = Service::<(Stream, Request<()>)>::call(&mut engine, (stream, request)).await {
        tracing::debug!(%error, "a WebSocket was not served");
    }
}

fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

/// The first subprotocol that the client offers, if it offers any. What can't be a list of them is an error, as in socket.io 4;
/// socket.io 2 took everything.
fn subprotocol(headers: &HeaderMap, lenient: bool) -> Result<Option<HeaderValue>, ()> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lists: Vec<&str> = lists.map(HeaderValue::to_str).collect::<Result<_, _>>().map_err(|_| ())?;
    let offered: Vec<&str> = lists.iter().flat_map(|list| list.split(',')).map(|name| name.trim_matches([' ', '\t'])).collect();
    let mut known = HashSet::new();
    if !lenient && !offered.iter().all(|name| is_token(name) && known.insert(*name)) {
        return Err(());
    }
    let first = offered.first().filter(|name| !name.is_empty());
    first.map(|name| HeaderValue::from_str(name).map_err(|_| ())).transpose()
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_accepted_as_in_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_first_subprotocol_is_echoed() {
        let echoed = |lists: &[&'static str], lenient| {
            let value = |list: &&'static str| (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(list));
            let first = subprotocol(&lists.iter().map(value).collect(), lenient);
            first.map(|first| first.map(|first| first.to_str().unwrap().to_owned()).unwrap_or_default())
        };
        for (lists, expected) in [(&[][..], ""), (&["a"], "a"), (&["a, b"], "a"), (&["\t a\t ,b"], "a"), (&["b", "a"], "b")] {
            assert_eq!(echoed(lists, false).as_deref(), Ok(expected), "{lists:?}");
            assert_eq!(echoed(lists, true).as_deref(), Ok(expected), "{lists:?}");
        }
        let faulty = [(&[""][..], ""), (&[",a"], ""), (&["a b"], "a b"), (&["a,"], "a"), (&["a, a"], "a"), (&["\"a\""], "\"a\"")];
        for (lists, expected) in faulty {
            assert_eq!(echoed(lists, false), Err(()), "{lists:?}");
            assert_eq!(echoed(lists, true).as_deref(), Ok(expected), "{lists:?}");
        }
    }
}
