//! `CAST_REPORT`: what a page says about its connection, and the answers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::event::WireEvent;
use super::failure::Failure;
use super::request::Request;
use crate::diagnosis::report::Report;
use crate::diagnosis::verdict::Side;
use crate::diagnosis::words::VerdictReply;
use crate::outcomes::party::PageReport;

/// A report with or without `send: true`, or `{send: true}` for the report that the client has sent before.
pub(super) fn read(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        send: bool,
        #[serde(default)]
        outcome: Value,
    }
    let malformed = |why: &str| Failure::malformed(&format!("a report; {why}"));
    let sent = arguments.first().filter(|json| json.get().starts_with('{')).ok_or_else(|| malformed("this is no object"))?;
    let envelope: Envelope = serde_json::from_str(sent.get()).map_err(|error| malformed(&error.to_string()))?;
    let report = match envelope.send && envelope.outcome.is_null() {
        true => None,
        false => Some(Report::read(sent.get()).map_err(|error| malformed(&error))?),
    };
    Ok(Request::Report(Box::new(PageReport { report, send: envelope.send })))
}

/// The acknowledgement of a report.
pub fn report_answer(verdict: Option<&VerdictReply>) -> Value {
    match verdict {
        Some(verdict) => json!({"ok": true, "verdict": verdict}),
        None => json!({"ok": true}),
    }
}

/// Tells a TV that its caster reads a verdict. Front ends of others ignore it.
pub fn cast_verdict(side: Side, code: &str) -> WireEvent {
    WireEvent::new("CAST_VERDICT", json!({"side": side, "code": code}))
}
