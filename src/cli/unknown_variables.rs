//! Warnings of environment variables that look like settings but are not.

use std::ffi::OsString;

use crate::config::VARIABLE_PREFIX;

/// A warning for each of `names` that begins like a setting and is not among `known`.
pub(super) fn warnings(names: impl Iterator<Item = OsString>, known: &[String]) -> Vec<String> {
    let names = names.filter_map(|name| name.into_string().ok());
    let mut unknown: Vec<_> = names.filter(|name| name.starts_with(VARIABLE_PREFIX) && !known.contains(name)).collect();
    unknown.sort();
    let warn = |name: &String| match nearest(name, known) {
        Some(nearest) => format!("{name} is not a setting and is ignored; did you mean {nearest}?"),
        None => format!("{name} is not a setting and is ignored; castway --help lists them"),
    };
    unknown.iter().map(warn).collect()
}

/// The name with the fewest edits, if they are no more than a third of its length.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let rest = &name[VARIABLE_PREFIX.len()..];
    let candidates = known.iter().map(|known| (strsim::levenshtein(rest, &known[VARIABLE_PREFIX.len()..]), known.as_str()));
    candidates.filter(|(edits, known)| edits * 3 <= known.len() - VARIABLE_PREFIX.len()).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_a_warning_with_the_nearest_name() {
        let known = ["CASTWAY_DATA_DIR", "CASTWAY_HTTP_ADDR", "CASTWAY_LOG"].map(str::to_owned);
        let names = ["CASTWAY_DATADIR", "CASTWAY_LOG", "HOME", "CASTWAY_", "CASTWAY_ENTIRELY_ELSE"];
        let warnings = warnings(names.into_iter().map(OsString::from), &known);
        assert_eq!(
            warnings,
            [
                "CASTWAY_ is not a setting and is ignored; castway --help lists them",
                "CASTWAY_DATADIR is not a setting and is ignored; did you mean CASTWAY_DATA_DIR?",
                "CASTWAY_ENTIRELY_ELSE is not a setting and is ignored; castway --help lists them",
            ]
        );
    }

    #[test]
    fn distances() {
        for (one, other, edits) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("TTL", "TLT", 2)] {
            assert_eq!(strsim::levenshtein(one, other), edits);
            assert_eq!(strsim::levenshtein(other, one), edits);
        }
    }
}
