//! Under which name the traffic of users is kept, and for how long.

use super::reader::Reader;

const EXPECTED: &str = "whole, none, before:TEXT or after:TEXT, e.g. before:-";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageConfig {
    pub name: UsageName,
    /// Days whose rows are kept, today included.
    pub days: u32,
    /// Months whose rows are kept, this one included.
    pub months: u32,
}

/// The part of a name that a key or another issuer has signed, under which its traffic is kept. Some issuers put a tenant or a session into
/// their usernames. The names of users of the database are always whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UsageName {
    #[default]
    Whole,
    /// No part: these names are among all others.
    None,
    /// What precedes the first occurrence of this text; the whole name where it does not occur, or nothing precedes it.
    Before(String),
    /// What follows the first occurrence of this text; the whole name where it does not occur, or nothing follows it.
    After(String),
}

impl UsageName {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "whole" => Some(Self::Whole),
            None if text == "none" => Some(Self::None),
            Some(("before", separator)) if !separator.is_empty() => Some(Self::Before(separator.to_owned())),
            Some(("after", separator)) if !separator.is_empty() => Some(Self::After(separator.to_owned())),
            None | Some(_) => None,
        }
    }

    /// The name under which the traffic of `name` is kept; `None`: among all others.
    #[must_use]
    pub fn of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let part = match self {
            Self::Whole => Some(name),
            Self::None => return None,
            Self::Before(separator) => name.split_once(separator).map(|(before, _)| before),
            Self::After(separator) => name.split_once(separator).map(|(_, after)| after),
        };
        Some(part.filter(|part| !part.is_empty()).unwrap_or(name))
    }
}

impl UsageConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            name: reader.value("CASTWAY_USAGE_NAME", EXPECTED, UsageName::parse),
            days: reader.number("CASTWAY_USAGE_DAYS", 1..=3660, "of days"),
            months: reader.number("CASTWAY_USAGE_MONTHS", 1..=120, "of months"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_a_word_or_a_separator() {
        assert_eq!(UsageName::parse("whole"), Some(UsageName::Whole));
        assert_eq!(UsageName::parse("none"), Some(UsageName::None));
        assert_eq!(UsageName::parse("before:-"), Some(UsageName::Before("-".into())));
        assert_eq!(UsageName::parse("after::"), Some(UsageName::After(":".into())));
        for bad in ["", "before", "before:", "after:", "between:-", "Whole", "-"] {
            assert_eq!(UsageName::parse(bad), None, "{bad:?}");
        }
    }

    /// The users in time-limited usernames of real issuers, behind `EXPIRY:`.
    #[test]
    fn names_of_real_issuers_are_grouped() {
        let of = |rule: &str, name: &'static str| UsageName::parse(rule).unwrap().of(name).map(str::to_owned);
        let some = |name: &str| Some(name.to_owned());
        // A multi-tenant issuer: TENANT-SESSION.
        assert_eq!(of("before:-", "acme-7f3a"), some("acme"));
        assert_eq!(of("before:-", "acme-7f-3a"), some("acme"));
        assert_eq!(of("before:-", "acme"), some("acme"));
        assert_eq!(of("before:-", "-7f3a"), some("-7f3a"), "nothing is no name");
        // Synapse: a user and a homeserver, which may have a port.
        assert_eq!(of("after::", "@alice:example.org"), some("example.org"));
        assert_eq!(of("after::", "@alice:example.org:8448"), some("example.org:8448"));
        assert_eq!(of("before::", "@alice:example.org"), some("@alice"));
        assert_eq!(of("whole", "@alice:example.org"), some("@alice:example.org"));
        // Nextcloud Talk: 16 random characters for each page. Prosody and Galene: nothing but the expiry. Janus: a random number.
        for random in ["Rz2gFbW0c8mQ1x4Y", "1800000010", "3471629185"] {
            assert_eq!(of("none", random), None);
            assert_eq!(of("before:-", random), some(random));
        }
    }
}
