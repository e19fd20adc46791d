//! Answers WebSocket handshakes for Socket.IO (RFC 6455 §4.2.2). They are answered here and not by engineioxide, so that the stream passes
//! through [`FilteredStream`] before socketioxide's service for WebSockets gets it.

use std::collections::HashSet;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::filtered_stream::FilteredStream;
use super::probe::{self, Probe};
use crate::http::websocket_handshake::switching_protocols;
use crate::socketio::engine_io_3::{FROM_CLIENT, TO_CLIENT};
use crate::socketio::request::address;
use crate::socketio::sessions::outgoing::Outgoing;
use crate::socketio::sessions::session::{EndOnDrop, SessionEnder, Socketioxide};
use crate::socketio::sessions::session_table::{ActivePoll, SessionSlot};
use crate::socketio::state::{Prepared, ServerState};

/// Boxed, because each of the tasks that serve a WebSocket has room for several streams.
type Stream = Box<FilteredStream<TokioIo<Upgraded>>>;

/// A session that moves from polling to this WebSocket.
struct Upgrade {
    /// `None`: another WebSocket is being probed for the session.
    probe: Option<Probe>,
    /// Counts the probe as a use of the session.
    poll: Option<ActivePoll>,
    ender: SessionEnder,
    outgoing: Outgoing,
}

/// Answers a request for a WebSocket whose protocol and session id are readable.
pub(in crate::socketio) async fn answer(state: ServerState, prepared: Prepared, mut request: Request) -> Response {
    let Prepared { query, head, slot, outgoing, incoming } = prepared;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(on_upgrade), Some(key)) = (upgrade, request.headers().get(header::SEC_WEBSOCKET_KEY)) else {
        // As engine.io answers a request without a handshake.
        let body = "{\"code\":3,\"message\":\"Bad request\"}";
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    };
    let Ok(subprotocol) = subprotocol(request.headers(), query.is_engine_io_3()) else {
        let error = "Invalid Sec-WebSocket-Protocol header: it is a list of different tokens, separated by commas.\n";
        return (StatusCode::BAD_REQUEST, error).into_response();
    };
    let session = state.session(query);
    if let Some(session) = &session
        && let Some(refusal) = session.refusal().await
    {
        return refusal;
    }
    let response = switching_protocols(key, subprotocol);
    let rules = query.is_engine_io_3().then_some([&FROM_CLIENT, &TO_CLIENT]);
    let kept = state.kept.of(address(&request));
    let upgrade = match session {
        Some(session) => Some(Upgrade {
            probe: state.probes.begin(session.sid()),
            poll: slot.map(SessionSlot::poll),
            ender: session.ender(&outgoing),
            outgoing: outgoing.clone(),
        }),
        None => {
            move_to_websocket(slot.as_deref(), &outgoing);
            None
        }
    };
    let (socketioxide, traffic) = (state.socketioxide, state.traffic);
    tokio::spawn(async move {
        let Ok(upgraded) = on_upgrade.await else { return };
        let stream = FilteredStream::new(TokioIo::new(upgraded), rules, traffic, outgoing, kept).with_limit(incoming);
        let mut stream = Box::new(stream);
        // Boxed, since this task lives as long as the WebSocket.
        if let Some(upgrade) = upgrade
            && !Box::pin(probed(&mut stream, upgrade)).await
        {
            return;
        }
        serve(socketioxide, stream, head).await;
    });
    response
}

/// Waits until the client has probed its WebSocket, and moves the session to it. Some proxies pass on the 101 and nothing else, so until
/// then the session goes on by polling, which engineioxide would stop immediately. False: the WebSocket has been closed.
async fn probed(stream: &mut Stream, upgrade: Upgrade) -> bool {
    let Upgrade { probe, poll, ender, outgoing } = upgrade;
    if !probe::is_agreed(stream, probe).await {
        return false;
    }
    move_to_websocket(poll.as_ref().map(ActivePoll::slot), &outgoing);
    // Nothing else would end the session if the upgrade did not complete.
    stream.hold(EndOnDrop::new(Some(ender)));
    true
}

fn move_to_websocket(slot: Option<&SessionSlot>, outgoing: &Outgoing) {
    match slot {
        Some(slot) => slot.move_to_websocket(),
        None => outgoing.move_to_websocket(),
    }
}

async fn serve(mut socketioxide: Socketioxide, stream: Stream, request: Request<()>) {
    if let Err(error) = Service::<(Stream, Request<()>)>::call(&mut socketioxide, (stream, request)).await {
        tracing::debug!(%error, "could not serve a WebSocket");
    }
}

/// The first subprotocol that the client offers, if it offers any. A malformed list is an error, as in socket.io 4; socket.io 2 accepted
/// everything (`lenient`).
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

/// Whether it is a token (RFC 9110 §5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
