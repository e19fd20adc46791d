//! Which names are near enough to a misspelt one to be suggested.

use clap::error::{ContextKind, ContextValue};

/// Whether `written` may be a slip for `known`: at most a third of the characters are wrong, where two that have changed places count once.
fn is_near(written: &str, known: &str) -> bool {
    let [written, known] = [written, known].map(|name| name.trim_start_matches('-'));
    strsim::damerau_levenshtein(written, known) * 3 <= known.chars().count()
}

/// Takes suggestions out of `error` that have little in common with what was written. clap compares letters without their order.
pub(super) fn without_far(mut error: clap::Error) -> clap::Error {
    for (written, suggested) in
        [(ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand), (ContextKind::InvalidArg, ContextKind::SuggestedArg)]
    {
        let Some(ContextValue::String(written)) = error.get(written).cloned() else { continue };
        match error.remove(suggested) {
            Some(ContextValue::Strings(names)) => {
                let near: Vec<_> = names.into_iter().filter(|known| is_near(&written, known)).collect();
                if !near.is_empty() {
                    error.insert(suggested, ContextValue::Strings(near));
                }
            }
            Some(ContextValue::String(known)) if is_near(&written, &known) => {
                error.insert(suggested, ContextValue::String(known));
            }
            _ => {}
        }
    }
    // Without the suggestion, an empty list of tips is an empty line too many.
    if matches!(error.get(ContextKind::Suggested), Some(ContextValue::StyledStrs(tips)) if tips.is_empty()) {
        error.remove(ContextKind::Suggested);
    }
    error
}

#[cfg(test)]
mod tests {
    use crate::cli::command_line::said;

    #[test]
    fn only_what_is_near_is_suggested() {
        for (line, suggested) in [
            ("castway stauts", "'status'"),
            ("castway uesr", "'user'"),
            ("castway block-s", "'blocks'"),
            ("castway user ad", "'add'"),
            ("castway --htp-addr x", "'--http-addr'"),
        ] {
            assert!(said(line).contains(suggested), "{line}: {}", said(line));
        }
        for line in ["castway bogus", "castway user bogus", "castway sensors", "castway --bogus x"] {
            assert!(!said(line).contains("similar") && !said(line).contains("\n\n\n"), "{line}: {}", said(line));
        }
    }
}
