//! The texts of verdicts, in English and Chinese.

mod command;
mod en;
mod figures;
mod language;
mod zh;

#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;

use language::Language;
pub use language::{Reader, Subject, Text};

use super::verdict::{Finding, NotTested, Side, Verdict};

/// A verdict as the pages, `castway doctor` and the log show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerdictReply {
    /// snake_case; the label of `castway_failures_total`.
    #[schema(example = "udp_closed")]
    pub code: &'static str,
    pub side: Side,
    /// The evidence leaves doubt, which the text explains.
    pub doubt: bool,
    pub en: Text,
    pub zh: Text,
    /// A line that the operator adds to the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "CASTWAY_EXTERNAL_IP=203.0.113.7")]
    pub command: Option<String>,
}

impl VerdictReply {
    /// For the caster, or for the device of a check.
    pub fn of(verdict: &Verdict) -> Self {
        Self::to(Reader::Caster, verdict)
    }

    pub fn to(reader: Reader, verdict: &Verdict) -> Self {
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

fn text(verdict: &Verdict, language: &impl Language) -> Text {
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
