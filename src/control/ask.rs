//! What a question is to the server.

use std::pin::Pin;

use serde_json::Value;

/// An answer that may take its time, or a sentence that says why there is none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// A question that the server understands.
pub trait Ask: Send + Sync + 'static {
    /// The value of `ask` in the question.
    fn name(&self) -> &'static str;

    /// `question` is the whole object. Its `by` is the server's own and says who asks, for the log: `command line (uid 0)`. Dropping the answer gives up.
    fn answer(&self, question: &Value) -> Answer;
}
