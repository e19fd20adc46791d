//! `facts`: what `castway doctor` needs to know of the server.

use serde_json::Value;

use crate::control::ask::{Answer, Ask};
use crate::control::facts::ServerFacts;

/// `{"ask": "facts"}`, answered by what the function collects.
pub struct FactsAsk<F>(pub F);

impl<F: Fn() -> ServerFacts + Send + Sync + 'static> Ask for FactsAsk<F> {
    fn name(&self) -> &'static str {
        "facts"
    }

    fn answer(&self, _question: &Value) -> Answer {
        let facts = serde_json::to_value((self.0)()).map_err(|error| error.to_string());
        Box::pin(std::future::ready(facts))
    }
}
