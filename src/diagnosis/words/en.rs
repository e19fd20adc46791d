//! English.

use super::Text;
use crate::diagnosis::verdict::Verdict;

pub(super) fn text(_verdict: &Verdict) -> Text {
    Text::default()
}
