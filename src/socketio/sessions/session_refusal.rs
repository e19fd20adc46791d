//! Refused handshakes of Socket.IO.

use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::retry_after;

/// After how long a client may try again where the number of sessions is exhausted: idle sessions have ended by then.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// Why a handshake is refused. The refusals of each reason are counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    ClientRate,
    Rate,
    Client,
    All,
}

impl RefusalReason {
    /// In the order of their declaration, so that a reason is the index of its count.
    pub const ALL: [Self; 4] = [Self::ClientRate, Self::Rate, Self::Client, Self::All];

    /// The name in `/metrics`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientRate => "client_rate",
            Self::Rate => "rate",
            Self::Client => "client",
            Self::All => "all",
        }
    }
}

/// Why a handshake is refused: an answer with status 429 or 503, and with Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::socketio) enum SessionRefusal {
    ClientRate(Duration),
    Rate(Duration),
    /// The client or its site has the most sessions that it may have.
    Client,
    /// The server has the most sessions that it may have, and none is evicted.
    All,
}

impl SessionRefusal {
    pub(in crate::socketio) const fn reason(self) -> RefusalReason {
        match self {
            Self::ClientRate(_) => RefusalReason::ClientRate,
            Self::Rate(_) => RefusalReason::Rate,
            Self::Client => RefusalReason::Client,
            Self::All => RefusalReason::All,
        }
    }
}

const _: () = {
    let mut index = 0;
    while index < RefusalReason::ALL.len() {
        assert!(RefusalReason::ALL[index] as usize == index, "the order of RefusalReason::ALL");
        index += 1;
    }
};

impl IntoResponse for SessionRefusal {
    /// Clients of all versions try again, with growing delays.
    fn into_response(self) -> Response {
        let (status, after, message) = match self {
            Self::ClientRate(after) => (StatusCode::TOO_MANY_REQUESTS, after, "Too many new sessions from this address"),
            Self::Client => (StatusCode::TOO_MANY_REQUESTS, RETRY_DELAY, "Too many sessions of this address"),
            Self::Rate(after) => (StatusCode::SERVICE_UNAVAILABLE, after, "Too many new sessions on this server"),
            Self::All => (StatusCode::SERVICE_UNAVAILABLE, RETRY_DELAY, "Too many sessions on this server"),
        };
        let after = retry_after::seconds(after);
        let error =
            json!({"error": "TooManySessions", "message": format!("{message}. Try again in {after} s."), "retryAfter": after});
        (status, [(header::RETRY_AFTER, after.to_string())], Json(error)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_try_again() {
        for (refusal, status, after) in [
            (SessionRefusal::ClientRate(Duration::from_millis(1200)), 429, "2"),
            (SessionRefusal::Rate(Duration::from_millis(3)), 503, "1"),
            (SessionRefusal::Client, 429, "10"),
            (SessionRefusal::All, 503, "10"),
        ] {
            let response = refusal.into_response();
            assert_eq!((response.status().as_u16(), response.headers()[header::RETRY_AFTER].to_str().unwrap()), (status, after));
        }
    }
}
