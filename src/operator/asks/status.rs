//! `status`: how much goes on.

use serde_json::Value;

use crate::control::{Answer, Ask};
use crate::operator::Operator;

/// `{"ask": "status"}`, answered by an [`Overview`](crate::operator::overview::Overview) in English.
pub(super) struct StatusAsk(pub(super) Operator);

impl Ask for StatusAsk {
    fn name(&self) -> &'static str {
        "status"
    }

    fn answer(&self, _question: &Value) -> Answer {
        let operator = self.0.clone();
        Box::pin(async move { Ok(operator.overview().await.in_english()) })
    }
}
