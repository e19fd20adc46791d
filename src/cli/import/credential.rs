//! A user of coturn: a name with a password or with a key.

use crate::config::secret::Secret;
use crate::users::ImportedKey;

/// What turnserver has of a user.
#[derive(Clone)]
pub(super) enum Credential {
    Password(Secret<String>),
    /// H(A1) of the user in a realm.
    Key(ImportedKey),
}

/// A user of coturn.
#[derive(Clone)]
pub(super) struct CoturnUser {
    pub(super) name: String,
    /// Empty: the default realm.
    pub(super) realm: String,
    pub(super) credential: Credential,
}

/// What a user's value must be, in words.
pub(super) const EXPECTED_USER: &str = "expected NAME:PASSWORD or NAME:0x and a key of 32 hexadecimal digits (64 for SHA-256)";

/// Reads the value of `user=`.
pub(super) fn user(value: &str) -> Option<CoturnUser> {
    let (name, credential) =
        value.split_once(':').filter(|(name, credential)| !name.is_empty() && !credential.trim().is_empty())?;
    let credential = credential.trim_start();
    let credential = match credential.strip_prefix("0x") {
        Some(digits) => Credential::Key(key(digits.trim_end())?),
        None => Credential::Password(Secret::new(credential.to_owned())),
    };
    Some(CoturnUser { name: name.to_owned(), realm: String::new(), credential })
}

/// What is taken over of a user, in words.
pub(super) fn words(user: &CoturnUser) -> String {
    match user.credential {
        Credential::Password(_) => format!("the user {:?}, with the password", user.name),
        Credential::Key(ImportedKey::Md5(_)) => format!("the user {:?}, with the key", user.name),
        Credential::Key(ImportedKey::Sha256(_)) => {
            format!("the user {:?}, with the key for SHA-256, which browsers don't use", user.name)
        }
    }
}

/// Reads a key in hexadecimal digits.
pub(super) fn key(digits: &str) -> Option<ImportedKey> {
    let bytes = hex(digits)?;
    match bytes.len() {
        16 => bytes.try_into().ok().map(ImportedKey::Md5),
        32 => bytes.try_into().ok().map(ImportedKey::Sha256),
        _ => None,
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_password_or_a_key() {
        let of = |value: &str| {
            user(value).map(|user| match user.credential {
                Credential::Password(password) => format!("{} password {}", user.name, password.expose()),
                Credential::Key(ImportedKey::Md5(key)) => format!("{} md5 {key:?}", user.name),
                Credential::Key(ImportedKey::Sha256(key)) => format!("{} sha256 {}", user.name, key.len()),
            })
        };
        assert_eq!(of("alice:a:b c").as_deref(), Some("alice password a:b c"));
        assert_eq!(of("alice: b").as_deref(), Some("alice password b"));
        let md5 = "alice md5 [188, 128, 126, 226, 157, 243, 201, 255, 167, 54, 82, 63, 178, 196, 232, 238]";
        assert_eq!(of("alice:0xbc807ee29df3c9ffa736523fb2c4E8EE").as_deref(), Some(md5));
        assert_eq!(of(&format!("alice:0x{}", "0a".repeat(32))).as_deref(), Some("alice sha256 32"));
        for bad in ["alice", "alice:", "alice: ", ":x", "alice:0x12", "alice:0xzz807ee29df3c9ffa736523fb2c4e8ee", "alice:0x0é"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
