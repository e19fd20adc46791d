//! The events that tell a client of a notice.

use serde_json::{Value, json};

use super::dialect_a;
use super::dialect_b;
use super::event::WireEvent;
use super::request::{CODE_CHANGED, EntryEvent};
use super::shown_name::shown_name;
use super::tv_details;
use crate::cast::model::{CapacityReached, Dialect, Ender, NewCodeReason, Notice};

const EVICTED_MESSAGE: &str =
    "the server has reached its limit of TVs, and another TV took this one's place; this TV gets a new code when a place is free";

/// The events that tell a client of a notice. `Credentials` has none here, since the gateway signs them and sends `CONFIG_FEEDBACK`.
pub fn notice_events(dialect: Dialect, notice: &Notice) -> Vec<WireEvent> {
    match notice {
        Notice::CasterJoined { username, resumed } => vec![match dialect {
            Dialect::A => dialect_a::caster_joined(username.as_deref(), *resumed),
            Dialect::B => dialect_b::caster_joined(username.as_deref()),
        }],
        Notice::CasterLeft { username, reason } => vec![match dialect {
            Dialect::A => dialect_a::caster_left(username.as_deref(), *reason),
            Dialect::B => dialect_b::caster_left(username.as_deref()),
        }],
        Notice::TvLeft { reason } => vec![match dialect {
            Dialect::A => dialect_a::tv_left(*reason),
            Dialect::B => dialect_b::tv_offline(),
        }],
        Notice::TakenOver { by } => {
            let by = by.as_deref().and_then(shown_name);
            let taken_over = WireEvent::new("CAST_TAKEN_OVER", json!({"by": by}));
            match dialect {
                Dialect::A => vec![taken_over],
                // For a displaced caster the cast is over.
                Dialect::B => vec![taken_over, dialect_b::tv_offline()],
            }
        }
        Notice::CastEnded { by } => vec![match dialect {
            Dialect::A => WireEvent::new("CAST_ENDED", json!({"by": ender(*by)})),
            Dialect::B => dialect_b::tv_offline(),
        }],
        Notice::CasterAway => vec![WireEvent::new("CASTER_AWAY", json!({}))],
        Notice::TvAway => vec![WireEvent::new("TV_AWAY", json!({}))],
        Notice::TvBack { reloaded, details } => {
            let tv = tv_details::written(details.as_ref());
            vec![WireEvent::new("TV_BACK", json!({"reloaded": reloaded, "tv": tv}))]
        }
        Notice::Replaced => vec![WireEvent::new("CAST_REPLACED", json!({}))],
        Notice::CodeChanged { code, resume_token, reason } => {
            let reason = new_code_reason(*reason);
            let argument = json!({"code": code.as_str(), "resumeToken": resume_token, "reason": reason});
            vec![WireEvent::new(CODE_CHANGED, argument)]
        }
        Notice::NewToken { code, resume_token } => {
            let argument = json!({"role": "tv", "code": code.as_str(), "resumeToken": resume_token});
            vec![WireEvent::new("RESUME_TOKEN", argument)]
        }
        Notice::WaitingForPlace { reason } => {
            vec![WireEvent::new("TV_WAITING", error(capacity_code(*reason), &reason.to_string()))]
        }
        Notice::Evicted => {
            let entry = if dialect == Dialect::A { EntryEvent::TvInit } else { EntryEvent::TvGetInfo };
            let error = error("evicted", EVICTED_MESSAGE);
            vec![
                WireEvent::new("CAST_ERROR", json!({"event": entry.name(), "error": error})),
                WireEvent::new("TV_WAITING", error),
            ]
        }
        Notice::Credentials => Vec::new(),
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"code": code, "message": message})
}

const fn ender(by: Ender) -> &'static str {
    match by {
        Ender::Tv => "tv",
        Ender::Operator => "operator",
    }
}

const fn new_code_reason(reason: NewCodeReason) -> &'static str {
    match reason {
        NewCodeReason::Idle => "idle",
        NewCodeReason::CastEnded => "cast_ended",
        NewCodeReason::Asked => "asked",
    }
}

const fn capacity_code(reached: CapacityReached) -> &'static str {
    match reached {
        CapacityReached::Address { .. } => "address_full",
        CapacityReached::Site { .. } => "site_full",
        CapacityReached::Server { .. } => "server_full",
    }
}
