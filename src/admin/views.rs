//! What the pages show, computed once for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::answer::{MAX_ROW_BYTES, Refusal};
use crate::operator::Operator;
use crate::operator::pages::SessionList;
use crate::operator::rows::PageRequest;

/// Rows of casts, calls, rooms, allocations or users in one answer.
pub(super) const MAX_SESSION_ROWS: usize = 200;

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
        let list = match view {
            View::Casts => SessionList::Casts,
            View::Calls => SessionList::Calls,
            View::Rooms => SessionList::Rooms,
            View::Allocations => SessionList::Allocations,
            View::Now | View::Log => return text(&self.operator.overview().await),
        };
        let first = PageRequest { limit: MAX_SESSION_ROWS, ..PageRequest::default() };
        text(&self.operator.sessions(list, &first, MAX_ROW_BYTES).await)
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows are JSON")
}
