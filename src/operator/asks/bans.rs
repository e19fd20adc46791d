//! `block`, `unblock` and `throttled`. Commands read the bans themselves in the database.

use std::time::Duration;

use serde_json::{Value, json};

use crate::control::{Answer, Ask};
use crate::operator::Operator;
use crate::operator::bans::BY_COMMAND;

/// `{"ask": "block", "target": "198.51.100.7", "seconds": 3600}`, answered by `{"done": "a sentence"}`. Without `seconds` the ban has no end.
pub(super) struct BlockAsk(pub(super) Operator);

impl Ask for BlockAsk {
    fn name(&self) -> &'static str {
        "block"
    }

    fn answer(&self, question: &Value) -> Answer {
        let (operator, target) = (self.0.clone(), question["target"].as_str().unwrap_or_default().to_owned());
        let time = question["seconds"].as_u64().map(Duration::from_secs);
        Box::pin(async move {
            let done = operator.block(&target, time, BY_COMMAND).await.map_err(|error| error.to_string())?;
            Ok(json!({ "done": done }))
        })
    }
}

/// `{"ask": "unblock", "target": "198.51.100.7"}`, answered by `{"done": "a sentence"}`.
pub(super) struct UnblockAsk(pub(super) Operator);

impl Ask for UnblockAsk {
    fn name(&self) -> &'static str {
        "unblock"
    }

    fn answer(&self, question: &Value) -> Answer {
        let (operator, target) = (self.0.clone(), question["target"].as_str().unwrap_or_default().to_owned());
        Box::pin(async move {
            let done = operator.unblock(&target, BY_COMMAND).await.map_err(|error| error.to_string())?;
            Ok(json!({ "done": done }))
        })
    }
}

/// `{"ask": "throttled"}`, answered by `{"rows": […]}`.
pub(super) struct ThrottledAsk(pub(super) Operator);

impl Ask for ThrottledAsk {
    fn name(&self) -> &'static str {
        "throttled"
    }

    fn answer(&self, _question: &Value) -> Answer {
        Box::pin(std::future::ready(Ok(json!({ "rows": self.0.throttled() }))))
    }
}
