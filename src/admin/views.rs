//! What the pages show, computed once for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

use super::answer::Refusal;
use crate::operator::Operator;
use crate::operator::rows::PageRequest;

/// What an event stream shows besides `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum View {
    Now,
    Casts,
    Calls,
    Rooms,
    Allocations,
    Log,
}

/// JSON, and when it was computed.
type Cached = Mutex<Option<(Instant, Arc<str>)>>;

pub(super) struct Views {
    operator: Operator,
    now: Cached,
    casts: Cached,
    calls: Cached,
    rooms: Cached,
    allocations: Cached,
}

impl View {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Casts => "casts",
            Self::Calls => "calls",
            Self::Rooms => "rooms",
            Self::Allocations => "allocations",
            Self::Log => "log",
        }
    }

    /// How old what is shown may be. Readers ask at about these intervals, so that each time is a little shorter.
    const fn max_age(self) -> Duration {
        match self {
            Self::Now => Duration::from_millis(1900),
            Self::Allocations => Duration::from_millis(4900),
            Self::Casts | Self::Calls | Self::Rooms | Self::Log => Duration::from_millis(900),
        }
    }

    /// After how many seconds a stream looks again.
    pub(super) const fn interval(self) -> u64 {
        match self {
            Self::Now => 2,
            Self::Allocations => 5,
            Self::Casts | Self::Calls | Self::Rooms | Self::Log => 1,
        }
    }
}

impl Views {
    pub(super) fn new(operator: Operator) -> Self {
        let [now, casts, calls, rooms, allocations] = Default::default();
        Self { operator, now, casts, calls, rooms, allocations }
    }

    /// A view as JSON. Whoever asks while it is computed waits for it.
    pub(super) async fn json(&self, view: View) -> Result<Arc<str>, Refusal> {
        let cached = match view {
            View::Now => &self.now,
            View::Casts => &self.casts,
            View::Calls => &self.calls,
            View::Rooms => &self.rooms,
            View::Allocations => &self.allocations,
            View::Log => return Err(Refusal::NotFound("The log is no list.".to_owned())),
        };
        let mut cached = cached.lock().await;
        if let Some((at, json)) = &*cached
            && at.elapsed() < view.max_age()
        {
            return Ok(Arc::clone(json));
        }
        let json: Arc<str> = self.compute(view).await.into();
        *cached = Some((Instant::now(), Arc::clone(&json)));
        Ok(json)
    }

    /// Computes all lists again when they are asked for next: something was done.
    pub(super) async fn forget(&self) {
        for cached in [&self.now, &self.casts, &self.calls, &self.rooms, &self.allocations] {
            *cached.lock().await = None;
        }
    }

    async fn compute(&self, view: View) -> String {
        let operator = &self.operator;
        match view {
            View::Casts => rows(&operator.casts()),
            View::Calls => rows(&operator.calls()),
            View::Rooms => rows(&operator.rooms()),
            View::Allocations => text(&operator.allocations(&PageRequest::default()).await),
            View::Now | View::Log => text(&operator.overview().await),
        }
    }
}

fn rows(rows: &impl Serialize) -> String {
    json!({"rows": rows}).to_string()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are JSON")
}
