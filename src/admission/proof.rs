//! What a client shows of itself.

use serde_json::Value;

use crate::config::secret::Secret;

/// Bytes of a name or of a password.
const MAX_TEXT_BYTES: usize = 512;
/// Bytes of a token: front ends may send a signed one of their own.
const MAX_TOKEN_BYTES: usize = 4096;

/// A name with a password, or a token, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    pub(super) name: Option<String>,
    pub(super) password: Option<Secret<String>>,
    pub(super) token: Option<Secret<String>>,
}

/// A member of an `auth` object is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("auth: a name and a password of at most {MAX_TEXT_BYTES} bytes, and a token of at most {MAX_TOKEN_BYTES}")]
pub struct TooLong;

impl Proof {
    /// Reads the strings `name`, `password` and `token` of an object. `None`: it has none of them. Front ends may have members of their
    /// own there.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn read(auth: &Value) -> Result<Option<Self>, TooLong> {
        let text = |name: &str, max| match auth.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            Some(text) if text.len() > max => Err(TooLong),
            text => Ok(text.map(str::to_owned)),
        };
        let proof = Self {
            name: text("name", MAX_TEXT_BYTES)?,
            password: text("password", MAX_TEXT_BYTES)?.map(Secret::new),
            token: text("token", MAX_TOKEN_BYTES)?.map(Secret::new),
        };
        Ok((proof != Self::default()).then_some(proof))
    }

    /// A token alone; `None`: it is too long, or empty.
    #[must_use]
    pub fn of_token(token: &str) -> Option<Self> {
        let token = Some(token).filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)?;
        Some(Self { token: Some(Secret::new(token.to_owned())), ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_strings_by_these_names_are_read() {
        for none in [
            json!(null),
            json!("token"),
            json!(["token"]),
            json!({}),
            json!({"token": 7, "name": null, "user": "a", "password": ""}),
        ] {
            assert_eq!(Proof::read(&none), Ok(None), "{none}");
        }
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        let all = Proof::read(&json!({"name": "alice", "password": "p", "token": "t"})).unwrap().unwrap();
        assert_eq!(all, Proof { name: Some("alice".to_owned()), password: secret("p"), token: secret("t") });
        assert_eq!(Proof::of_token("t"), Some(Proof { token: secret("t"), ..Proof::default() }));
    }

    #[test]
    fn what_is_kept_of_a_client_is_bounded() {
        for (name, most) in [("name", MAX_TEXT_BYTES), ("password", MAX_TEXT_BYTES), ("token", MAX_TOKEN_BYTES)] {
            assert!(Proof::read(&json!({name: "x".repeat(most)})).unwrap().is_some());
            assert_eq!(Proof::read(&json!({name: "x".repeat(most + 1)})), Err(TooLong), "{name}");
        }
        assert_eq!(Proof::of_token(&"x".repeat(MAX_TOKEN_BYTES + 1)), None);
    }
}
