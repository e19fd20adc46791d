//! `new_code`: gives a TV a new code.

use serde_json::{Value, json};

use super::field::text;
use crate::control::{Answer, Ask};
use crate::operator::Operator;

/// `{"ask": "new_code", "id": "cast-3"}`, answered by `{"done": "a sentence"}`.
pub(super) struct NewCodeAsk(pub(super) Operator);

impl Ask for NewCodeAsk {
    fn name(&self) -> &'static str {
        "new_code"
    }

    fn answer(&self, question: &Value) -> Answer {
        let (id, by) = (text(question, "id"), text(question, "by"));
        let done = self.0.new_code(&id, &by).map(|done| json!({ "done": done })).map_err(|error| error.to_string());
        Box::pin(std::future::ready(done))
    }
}
