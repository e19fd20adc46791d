//! Errors as clients get them.

use std::time::Duration;

use serde::Serialize;

use crate::admission::AdmissionRefusal;
use crate::cast::model::Refusal;
use crate::limits::message_size::TooLarge;
use crate::limits::retry_after;
use crate::outcomes::party::ReportRefusal;

/// Seconds that a TV is told to wait when too many wait already.
const TOO_MANY_TVS_WAIT_SECONDS: u64 = 10;

/// Why a request can't be carried out; `code` is for programs, `message` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
    /// Seconds until another try makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// A sentence of the operator's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Failure {
    pub const UNKNOWN_EVENT: &str = "unknown_event";

    const fn new(code: &'static str, message: String, retry_after: Option<u64>) -> Self {
        Self { code, message, retry_after, reason: None }
    }

    pub fn unknown_event() -> Self {
        let message = "not an event of the cast flow".to_owned();
        Self::new(Self::UNKNOWN_EVENT, message, None)
    }

    pub(super) fn malformed(expected: &str) -> Self {
        Self::new("malformed_payload", format!("malformed payload: expected {expected}"), None)
    }

    pub(super) fn too_large(large: TooLarge) -> Self {
        Self::new("payload_too_large", large.to_string(), None)
    }

    /// For a client that sends more bytes than it may, whatever they say.
    pub fn over_budget(wait: Duration) -> Self {
        let message = "this client sends too much at a time; wait before you try again".to_owned();
        Self::new("rate_limited", message, Some(retry_after::seconds(wait)))
    }

    pub fn rate_limited(retry_after: u64) -> Self {
        let message = "too many requests from this address; wait before you try again".to_owned();
        Self::new("rate_limited", message, Some(retry_after))
    }

    /// For an entry that its client has given up.
    pub fn given_up() -> Self {
        Self::new("left", "the client has left before it was let in".to_owned(), None)
    }

    /// For a client that sends more than may wait until it is let in.
    pub fn too_much_waits() -> Self {
        let message = "too much waits until this client is let in".to_owned();
        Self::new("too_much_waiting", message, None)
    }

    /// Whether the same request would fail later, too.
    pub fn is_final(&self) -> bool {
        !matches!(self.code, "rate_limited" | "too_many_attempts" | "server_full" | "unavailable")
    }
}

impl From<AdmissionRefusal> for Failure {
    fn from(refusal: AdmissionRefusal) -> Self {
        let reason = refusal.reason().map(str::to_owned);
        Self { reason, ..Self::new(refusal.code(), refusal.to_string(), refusal.retry_after()) }
    }
}

impl From<ReportRefusal> for Failure {
    fn from(refusal: ReportRefusal) -> Self {
        let (code, wait) = match refusal {
            ReportRefusal::TooSoon { wait } | ReportRefusal::TooMany { wait } => ("rate_limited", Some(wait)),
            ReportRefusal::NothingToSend => ("no_report", None),
        };
        Self::new(code, refusal.to_string(), wait.map(retry_after::seconds))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (code, retry_after) = match refusal {
            Refusal::UnknownCode => ("unknown_code", None),
            Refusal::RoomFull => ("room_full", None),
            Refusal::TooManyTvs => ("server_full", Some(TOO_MANY_TVS_WAIT_SECONDS)),
            Refusal::RateLimited { wait } => ("rate_limited", Some(retry_after::seconds(wait))),
            Refusal::TooManyAttempts { wait } => ("too_many_attempts", Some(retry_after::seconds(wait))),
            Refusal::NotInRoom => ("not_in_room", None),
            Refusal::NoCaster => ("no_caster", None),
            Refusal::WrongRole => ("wrong_role", None),
            Refusal::CastRunning => ("cast_running", None),
            Refusal::CastEnded => ("cast_ended", None),
            Refusal::TooManyWaiting => ("too_many_candidates", None),
            Refusal::NoSpace => ("server_full", None),
        };
        Self::new(code, refusal.to_string(), retry_after)
    }
}
