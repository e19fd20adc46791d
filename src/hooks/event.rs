//! What webhooks tell. PURE.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

/// Something that has happened. Codes and rooms have their middle hidden. An `id` is the same at the start and the end of a cast or call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    CastStarted {
        #[serde(rename = "cast")]
        id: String,
        code: String,
        tv: Option<IpAddr>,
        caster: Option<IpAddr>,
        user: Option<String>,
    },
    CastEnded {
        #[serde(rename = "cast")]
        id: String,
        code: String,
        seconds: u64,
        route: Option<String>,
        bytes: Option<u64>,
        reason: String,
    },
    CallStarted {
        #[serde(rename = "call")]
        id: String,
        room: String,
        members: Vec<IpAddr>,
    },
    CallEnded {
        #[serde(rename = "call")]
        id: String,
        room: String,
        seconds: u64,
        route: Option<String>,
        bytes: Option<u64>,
        reason: String,
    },
    QuotaReached {
        scope: String,
        user: String,
        bytes: u64,
        quota: u64,
    },
    CertificateFailing {
        names: Vec<String>,
        problem: String,
        days_left: i64,
    },
    CheckFailed {
        address: Option<IpAddr>,
        verdict: String,
        sentence: String,
    },
}

impl Event {
    /// Whether strangers can cause as many as they like.
    #[must_use]
    pub const fn is_frequent(&self) -> bool {
        match self {
            Self::CastStarted { .. } | Self::CastEnded { .. } | Self::CallStarted { .. } | Self::CallEnded { .. } => true,
            Self::QuotaReached { .. } | Self::CertificateFailing { .. } | Self::CheckFailed { .. } => false,
        }
    }
}

/// Takes events and never waits. Clones share it. Without a webhook it drops them.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Events {
    /// `take` must not block.
    pub fn new(take: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// The event is told as soon as the receiver takes it.
    pub fn tell(&self, event: Event) {
        if let Some(take) = &self.0 {
            take(event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
