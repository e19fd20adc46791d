//! `sessions`: the lists of casts, calls, rooms and allocations, in pages that fit an answer.

use serde::Deserialize as _;
use serde_json::Value;

use crate::control::{Answer, Ask};
use crate::operator::Operator;
use crate::operator::pages::SessionList;
use crate::operator::rows::PageRequest;

/// Bytes of the rows of a page; an answer may have 1 MiB.
const MAX_PAGE_BYTES: usize = 900 * 1024;

/// `{"ask": "sessions", "kind": "casts", "search": "", "offset": 0, "limit": 0}`, answered by `{"rows": […], "total": 3}`. `kind` is `casts`,
/// `calls`, `rooms` or `allocations`. A page may have fewer rows than `limit`; the next one begins at `offset` and the number of its rows.
pub(super) struct SessionsAsk(pub(super) Operator);

impl Ask for SessionsAsk {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn answer(&self, question: &Value) -> Answer {
        let operator = self.0.clone();
        let request: PageRequest = serde_json::from_value(question.clone()).unwrap_or_default();
        let list = SessionList::deserialize(&question["kind"])
            .map_err(|_| format!("the kind {} is none of casts, calls, rooms and allocations", question["kind"]));
        Box::pin(async move {
            let page = operator.sessions(list?, &request, MAX_PAGE_BYTES).await;
            serde_json::to_value(page).map_err(|error| error.to_string())
        })
    }
}
