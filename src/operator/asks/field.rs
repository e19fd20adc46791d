//! Reads the fields of a question.

use serde_json::Value;

/// The text of a field; empty where there is none.
pub(super) fn text(question: &Value, field: &str) -> String {
    question[field].as_str().unwrap_or_default().to_owned()
}
