//! The option that somebody may have meant, and what is shown of a name that no option has.

use super::coturn_options::COTURN_OPTIONS;

/// Most letters that differ.
const MAX_DISTANCE: usize = 3;
/// Characters of the longest name that is compared and shown.
const MAX_CHARS: usize = 40;
/// Characters of an option of one letter, such as `-y`.
const LETTER: usize = 2;

/// What a name has in front of the first character that no option has.
fn beginning(name: &str) -> &str {
    let end = name.find(|character: char| !(character.is_ascii_alphanumeric() || "_-".contains(character)));
    &name[..end.unwrap_or(name.len())]
}

/// The part that may be shown of a name that no option has; `None`: it may be a secret, or a part of one.
///
/// Where another character ends the name, its beginning must be one that somebody has meant. A name without a value is a secret as easily
/// as an option.
pub(super) fn shown_name(name: &str, has_value: bool) -> Option<&str> {
    let shown = beginning(name);
    let is_option = closest(shown).is_some() || shown.len() == name.len() && (has_value || name.len() <= LETTER);
    (is_option && !name.is_empty() && shown.len() <= MAX_CHARS).then_some(shown)
}

/// The option whose name is nearest.
pub(super) fn closest(name: &str) -> Option<&'static str> {
    let name = beginning(name).trim_start_matches('-').to_lowercase().replace('_', "-");
    if name.is_empty() || name.len() > MAX_CHARS {
        return None;
    }
    let most = MAX_DISTANCE.min(name.len() / 3);
    let distances = COTURN_OPTIONS.iter().map(|option| (strsim::levenshtein(&name, &option.name.to_lowercase()), option.name));
    distances.min().filter(|(distance, _)| *distance <= most).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_option_is_found() {
        for (written, meant) in [
            ("lisening-port", Some("listening-port")),
            ("listening_port", Some("listening-port")),
            ("--listening-port", Some("listening-port")),
            ("ca-file", Some("CA-file")),
            ("static-auth-secrets", Some("static-auth-secret")),
            ("use-auth-secrets", Some("use-auth-secret")),
            ("no-loopback-peer", Some("no-loopback-peers")),
            ("static-auth-secret:hunter2", Some("static-auth-secret")),
            ("-y", None),
            ("something-else", None),
            ("", None),
        ] {
            assert_eq!(closest(written), meant, "{written}");
        }
        assert_eq!(closest(&"x".repeat(41)), None);
    }
}
