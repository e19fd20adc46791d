//! What a language has to say, and to whom.

use serde::Serialize;
use utoipa::ToSchema;

use crate::diagnosis::verdict::{Finding, Side};

/// Sentences for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Text {
    /// A few words.
    pub title: String,
    /// What was seen, and where it stops.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fix: Option<String>,
}

/// Who reads. In a call the caller stands as the caster in the verdict, and the callee as the TV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The caster, or the device that makes a check.
    Caster,
    Tv,
    Caller,
    Callee,
    /// The operator, who is at neither end.
    Operator(Subject),
}

/// What an operator reads about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Check,
    Cast,
    Call,
}

impl Reader {
    #[cfg(test)]
    pub(in crate::diagnosis) const ALL: [Self; 7] = [
        Self::Caster,
        Self::Tv,
        Self::Caller,
        Self::Callee,
        Self::Operator(Subject::Check),
        Self::Operator(Subject::Cast),
        Self::Operator(Subject::Call),
    ];

    /// Which end this is for the reader: the caster is the reader's own, the TV the other one. An operator reads of the first end and the other one.
    pub(super) fn sees(self, end: Side) -> Side {
        match (self, end) {
            (Self::Tv | Self::Callee, Side::Caster) => Side::Tv,
            (Self::Tv | Self::Callee, Side::Tv) => Side::Caster,
            (_, end) => end,
        }
    }
}

/// What a language says about findings. Texts are whole sentences, except causes.
pub(super) trait Language {
    /// The titles and texts of verdicts without a finding.
    fn fine(&self) -> Text;
    fn denied_peer(&self) -> Text;
    fn unsupported(&self) -> Text;
    fn unknown(&self) -> Text;

    fn title(&self, finding: &Finding) -> String;
    fn seen(&self, finding: &Finding) -> String;
    /// A main clause without a full stop.
    fn cause(&self, finding: &Finding) -> String;
    fn fix(&self, finding: &Finding) -> Option<String>;
    /// The sentence that one of two causes is true.
    fn either(&self, first: &str, second: &str) -> String;
    /// What would tell two causes apart.
    fn tell_apart(&self, first: &Finding, second: &Finding) -> String;
    /// Both, for an operator who does not know the cause.
    fn fixes(&self, first: &str, second: &str) -> String;
    /// Why the server may have missed packets.
    fn doubt(&self, finding: &Finding) -> String;
    /// What stands between two sentences.
    fn space(&self) -> &'static str;
}
