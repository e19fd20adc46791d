//! Names of users, checked.

use std::fmt;
use std::str::FromStr;

use crate::sentence::Sentence;

/// Characters of the longest name.
const MAX_CHARS: usize = 128;
/// Bytes of the longest name: `EXPIRY:` and the name share a USERNAME attribute of fewer than 509 bytes (RFC 8489, 14.3).
const MAX_BYTES: usize = 480;

/// A user's name: 1–128 characters in the form clients send it (SASLprep), compared exactly.
///
/// A name may hold `:`, so that `@alice:example.org` is one, unless all that precedes the first `:` is digits: `17:alice` is
/// read as time-limited credentials of `alice` that expired in 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a user name can't be empty")]
    Empty,
    #[error("a user name has at most {MAX_CHARS} characters and {MAX_BYTES} bytes")]
    Long,
    #[error("a user name can't hold line breaks or other control characters")]
    Control,
    #[error("a user name can't begin or end with a space")]
    Space,
    #[error("a user name can't begin with digits and a colon: that is how time-limited credentials begin")]
    LooksLikeExpiry,
    #[error("clients would send this user name as {0:?}; use that")]
    NotNormal(String),
    #[error("a user name can't hold characters that no client may send (RFC 4013)")]
    Prohibited,
}

impl NameError {
    #[must_use]
    pub fn sentence(&self) -> Sentence {
        let in_chinese = match self {
            Self::Empty => "用户名不能为空".to_owned(),
            Self::Long => format!("用户名最多 {MAX_CHARS} 个字符、{MAX_BYTES} 字节"),
            Self::Control => "用户名不能包含换行或其他控制字符".to_owned(),
            Self::Space => "用户名不能以空格开头或结尾".to_owned(),
            Self::LooksLikeExpiry => "用户名不能以数字加冒号开头：限时凭据就是这样开头的".to_owned(),
            Self::NotNormal(name) => format!("客户端会把此用户名发送为 {name:?}；请使用这种写法"),
            Self::Prohibited => "用户名不能包含客户端不可发送的字符（RFC 4013）".to_owned(),
        };
        Sentence::new(self.to_string(), in_chinese)
    }
}

impl UserName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check_requested(name)?;
        if name.trim() != name {
            return Err(NameError::Space);
        }
        if name.split_once(':').is_some_and(|(front, _)| front.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NameError::LooksLikeExpiry);
        }
        match stringprep::saslprep(name) {
            Ok(normal) if normal == name => Ok(Self(name.to_owned())),
            Ok(normal) => Err(NameError::NotNormal(normal.into_owned())),
            Err(_) => Err(NameError::Prohibited),
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a name that credentials are asked for: [`UserName`]'s limits, but any form, as the name need not be a user's.
///
/// # Errors
/// `Empty`, `Long` or `Control`.
pub fn check_requested(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.len() > MAX_BYTES || name.chars().count() > MAX_CHARS {
        Err(NameError::Long)
    } else if name.chars().any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_and_machines_are_names() {
        for good in ["alice", "a", "1001", "tv-3", "@alice:example.org", "Ünal", "李雷", "living room", "a:1"] {
            assert_eq!(good.parse::<UserName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        assert!("x".repeat(128).parse::<UserName>().is_ok());
    }

    #[test]
    fn a_name_that_confuses_is_refused_with_its_reason() {
        let cases = [
            ("", NameError::Empty),
            (" alice", NameError::Space),
            ("alice\n", NameError::Control),
            ("al\u{2028}ice", NameError::Control),
            ("17:alice", NameError::LooksLikeExpiry),
            (":alice", NameError::LooksLikeExpiry),
            ("A\u{308}", NameError::NotNormal("Ä".into())),
            ("\u{e000}", NameError::Prohibited),
        ];
        for (name, error) in cases {
            assert_eq!(name.parse::<UserName>(), Err(error), "{name:?}");
        }
        assert_eq!("x".repeat(129).parse::<UserName>(), Err(NameError::Long));
        assert_eq!("\u{10348}".repeat(128).parse::<UserName>(), Err(NameError::Long));
    }

    #[test]
    fn a_requested_name_need_not_be_a_users() {
        assert_eq!(check_requested("17:alice"), Ok(()));
        assert_eq!(check_requested("al\0ice"), Err(NameError::Control));
    }
}
