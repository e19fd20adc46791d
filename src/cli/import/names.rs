//! The option that somebody may have meant.

use super::coturn_options::COTURN_OPTIONS;

/// Most letters that differ.
const MAX_DISTANCE: usize = 3;
/// Characters of the longest name that is compared.
const MAX_CHARS: usize = 64;

/// The option whose name is nearest.
pub(super) fn closest(name: &str) -> Option<&'static str> {
    let name = name.trim_start_matches('-').to_lowercase().replace('_', "-");
    if name.is_empty() || name.chars().count() > MAX_CHARS {
        return None;
    }
    let most = MAX_DISTANCE.min(name.chars().count() / 3);
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
            ("-y", None),
            ("something-else", None),
            ("", None),
        ] {
            assert_eq!(closest(written), meant, "{written}");
        }
        assert_eq!(closest(&"x".repeat(65)), None);
    }
}
