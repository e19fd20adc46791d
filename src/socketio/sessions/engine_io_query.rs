//! The query of a request for Engine.IO, as engineioxide reads it. PURE.

use axum::http::Uri;
use socketioxide::socket::Sid;

use crate::socketio::path::serves;

/// What a request asks of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::socketio) struct EngineIoQuery {
    /// The version of the protocol, 3 or 4.
    pub(in crate::socketio) version: u8,
    pub(in crate::socketio) websocket: bool,
    /// `Err`: the text can't be the id of a session.
    pub(in crate::socketio) sid: Option<Result<Sid, ()>>,
}

impl EngineIoQuery {
    /// `None`: the request is not for Socket.IO.
    pub(in crate::socketio) fn read(uri: &Uri) -> Option<Self> {
        if !serves(uri.path()) {
            return None;
        }
        let query = uri.query().unwrap_or_default();
        let first = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let version = if first("EIO") == Some("4") { 4 } else { 3 };
        let sid = first("sid").map(|sid| sid.parse().map_err(|_| ()));
        Some(Self { version, websocket: first("transport") == Some("websocket"), sid })
    }

    /// Whether the client is one of socket.io 1 or 2.
    pub(in crate::socketio) const fn is_engine_io_3(&self) -> bool {
        self.version == 3
    }

    /// Whether a GET is a handshake, which begins a session.
    pub(in crate::socketio) const fn opens(&self) -> bool {
        self.sid.is_none()
    }

    /// The id of the session that the request belongs to.
    pub(in crate::socketio) const fn session_id(&self) -> Option<Sid> {
        match self.sid {
            Some(Ok(sid)) => Some(sid),
            Some(Err(())) | None => None,
        }
    }
}

/// The session id in the answer to a handshake by polling.
pub(in crate::socketio) fn opened_session_id(answer: &[u8]) -> Option<Sid> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (_, rest) = answer.split_once("\"sid\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// The URI with a version that engineioxide supports; `None`: it has one already. engine.io takes every version but 4 for 3, and
/// socket.io-client-swift up to 15 sends no version.
pub(in crate::socketio) fn with_version(uri: &Uri) -> Option<Uri> {
    let pairs = || uri.query().unwrap_or_default().split('&');
    let names_version = |pair: &&str| pair.split('=').next() == Some("EIO");
    if pairs().find(names_version).is_some_and(|version| matches!(version, "EIO=3" | "EIO=4")) {
        return None;
    }
    let others: Vec<&str> = ["EIO=3"].into_iter().chain(pairs().filter(|pair| !names_version(pair))).collect();
    format!("{}?{}", uri.path(), others.join("&")).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_version_4_is_version_3() {
        for (query, version, other) in [
            ("EIO=4&transport=polling", 4, None),
            ("transport=websocket&EIO=3&sid=x", 3, None),
            ("transport=polling&b64=1", 3, Some("EIO=3&transport=polling&b64=1")),
            ("EIO=5&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("EIO=&a=b&EIO=4", 3, Some("EIO=3&a=b")),
            ("EIO&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("EIO=04&transport=polling", 3, Some("EIO=3&transport=polling")),
            ("xEIO=4", 3, Some("EIO=3&xEIO=4")),
        ] {
            let uri: Uri = format!("/socket.io/?{query}").parse().unwrap();
            assert_eq!(EngineIoQuery::read(&uri).unwrap().version, version, "{query}");
            assert_eq!(with_version(&uri).as_ref().and_then(Uri::query), other, "{query}");
        }
        let bare: Uri = "/socket.io/".parse().unwrap();
        assert_eq!(with_version(&bare).unwrap(), "/socket.io/?EIO=3&");
    }

    #[test]
    fn the_id_is_read_from_the_first_answer_of_either_version() {
        let sid = Sid::new();
        for front in ["0", "97:0"] {
            let answer = format!("{front}{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000}}");
            assert_eq!(opened_session_id(answer.as_bytes()), Some(sid));
        }
        assert_eq!(opened_session_id(b"0{}"), None);
    }
}
