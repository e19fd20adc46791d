//! `end`: ends a row, the cast of a code, or what a user has.

use serde_json::{Value, json};

use super::field::text;
use crate::control::{Answer, Ask};
use crate::operator::Operator;

/// `{"ask": "end", "target": "cast-3"}`, answered by `{"done": "a sentence"}`.
pub(super) struct EndAsk(pub(super) Operator);

impl Ask for EndAsk {
    fn name(&self) -> &'static str {
        "end"
    }

    fn answer(&self, question: &Value) -> Answer {
        let (operator, target, by) = (self.0.clone(), text(question, "target"), text(question, "by"));
        Box::pin(async move {
            let done = operator.end(&target, &by).await.map_err(|error| error.to_string())?;
            Ok(json!({ "done": done }))
        })
    }
}
