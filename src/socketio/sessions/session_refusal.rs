//! Refused handshakes of Socket.IO.

use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::limits::retry_after;

/// After how long a client may try again where the number of sessions is exhausted: idle sessions have ended by then.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// The reasons for refusals as metrics name them.
pub const REFUSAL_REASONS: [&str; 4] = ["client_rate", "rate", "client", "all"];

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
    /// Its index in [`REFUSAL_REASONS`].
    pub(in crate::socketio) const fn reason(self) -> usize {
        match self {
            Self::ClientRate(_) => 0,
            Self::Rate(_) => 1,
            Self::Client => 2,
            Self::All => 3,
        }
    }
}

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
