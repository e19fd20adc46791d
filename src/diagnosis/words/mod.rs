//! The texts of verdicts, in English and Chinese.

mod command;
mod en;
mod figures;
mod zh;

use serde::Serialize;

use super::verdict::{Finding, Side, Verdict};

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
    /// A line that the operator adds to the settings.
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

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The caster, or the device that makes a check.
    Caster,
    Caller,
    Callee,
}

impl Reader {
    /// Which end this is for the reader: the caster is the reader's own, the TV the other one.
    fn sees(self, end: Side) -> Side {
        match (self, end) {
            (Self::Callee, Side::Caster) => Side::Tv,
            (Self::Callee, Side::Tv) => Side::Caster,
            (_, end) => end,
        }
    }
}

impl VerdictReply {
    /// For the caster, or for the device of a check.
    pub fn of(verdict: &Verdict) -> Self {
        Self::about(verdict, Reader::Caster)
    }

    /// For one end of a call: the caller, which stands as the caster in the verdict, or the callee, which stands as the TV.
    pub fn of_call(verdict: &Verdict, reader: Side) -> Self {
        Self::about(verdict, if reader == Side::Tv { Reader::Callee } else { Reader::Caller })
    }

    fn about(verdict: &Verdict, reader: Reader) -> Self {
        Self {
            code: verdict.code(),
            side: verdict.side(),
            doubt: verdict.doubt(),
            en: text(verdict, &en::English { reader }),
            zh: text(verdict, &zh::Chinese { reader }),
            command: command::of(verdict),
        }
    }
}

/// What a language says about findings. Texts are whole sentences, except causes.
trait Language {
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

fn text(verdict: &Verdict, language: &impl Language) -> Text {
    use super::verdict::NotTested;

    match verdict {
        Verdict::Fine => language.fine(),
        Verdict::NotTested(NotTested::DeniedPeer) => language.denied_peer(),
        Verdict::NotTested(NotTested::Unsupported) => language.unsupported(),
        Verdict::Unknown => language.unknown(),
        Verdict::Fault(finding) => Text {
            title: language.title(finding),
            text: sentences(language, [Some(language.seen(finding)), doubt(verdict, finding, language)]),
            fix: language.fix(finding),
        },
        Verdict::Either(first, second) => {
            let either = language.either(&language.cause(first), &language.cause(second));
            let parts = [
                Some(language.seen(first)),
                Some(either.clone()),
                Some(language.tell_apart(first, second)),
                doubt(verdict, first, language),
            ];
            let fix = match (language.fix(first), language.fix(second)) {
                (Some(first), Some(second)) => Some(language.fixes(&first, &second)),
                (first, second) => first.or(second),
            };
            Text { title: language.title(first), text: sentences(language, parts), fix }
        }
    }
}

fn doubt(verdict: &Verdict, finding: &Finding, language: &impl Language) -> Option<String> {
    verdict.doubt().then(|| language.doubt(finding))
}

fn sentences(language: &impl Language, parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(language.space())
}
