//! The texts of verdicts, in English and Chinese.

mod en;
mod zh;

use serde::Serialize;

use super::verdict::{Side, Verdict};

/// A verdict as the pages, `castway doctor` and the log show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictReply {
    /// snake_case; the label of `castway_failures_total`.
    pub code: &'static str,
    pub side: Side,
    /// The evidence leaves doubt, which the text explains.
    pub doubt: bool,
    pub en: Text,
    pub zh: Text,
    /// A command that the operator may run, without a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Sentences for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// A few words.
    pub title: String,
    /// What was seen, and where it stops.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl VerdictReply {
    pub fn of(verdict: &Verdict) -> Self {
        let (en, zh) = (en::text(verdict), zh::text(verdict));
        Self { code: "unknown", side: Side::Unknown, doubt: false, en, zh, command: None }
    }
}
