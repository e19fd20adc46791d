//! From observations to a verdict.

use super::observation::{End, Facts, Witness};
use super::report::CheckReport;
use super::verdict::Verdict;

/// Why a cast or a call between two ends does not connect. `tv` is the callee of a call.
pub fn cast(_caster: &End, _tv: &End, _facts: &Facts) -> Verdict {
    Verdict::Unknown
}

/// What the check of one device shows. `witness`: what the relay has seen of it meanwhile.
pub fn check(_report: &CheckReport, _witness: &Witness, _facts: &Facts) -> Verdict {
    Verdict::Unknown
}
