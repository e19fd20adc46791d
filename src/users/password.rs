//! Turns a password into the hash and the keys that are stored.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::credentials::{h_a1_md5, h_a1_sha256};
use super::name::UserName;

/// Bytes of the longest password.
const MAX_BYTES: usize = 512;

/// Everything that is stored of a password: a hash for logging in, and TURN keys, which let their holder act as the user on relays of
/// this realm (RFC 8489 §9.2.2) and nowhere else.
#[derive(Clone)]
pub struct PasswordKeys {
    pub(super) argon2id: String,
    pub(super) realm: String,
    pub(super) h_a1_md5: [u8; 16],
    pub(super) h_a1_sha256: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password can't be empty")]
    Empty,
    #[error("a password has at most {MAX_BYTES} bytes")]
    Long,
    #[error("a password can't hold control characters or others that no client may send (RFC 4013)")]
    Prohibited,
    #[error("hashing the password failed: {0}")]
    Hash(argon2::password_hash::Error),
}

impl PasswordKeys {
    /// Takes tens of milliseconds and 19 MiB on purpose, so call it outside the runtime's threads.
    ///
    /// # Errors
    /// `Empty`, `Long`, `Prohibited` for passwords that can't be used, `Hash` when the system gives no random bytes.
    pub fn new(name: &UserName, realm: &str, password: &str) -> Result<Self, PasswordError> {
        if password.len() > MAX_BYTES {
            return Err(PasswordError::Long);
        }
        let password = stringprep::saslprep(password).map_err(|_| PasswordError::Prohibited)?;
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).map_err(PasswordError::Hash)?;
        Ok(Self {
            argon2id: hash.to_string(),
            realm: realm.to_owned(),
            h_a1_md5: h_a1_md5(name.as_str(), realm, &password),
            h_a1_sha256: h_a1_sha256(name.as_str(), realm, &password),
        })
    }
}

/// Whether `password` is that of the stored hash. Without a hash it takes as long and returns false.
pub(super) fn verify(password: &str, hash: Option<&str>) -> bool {
    let password = stringprep::saslprep(password).unwrap_or_default();
    match hash {
        Some(hash) => password.len() <= MAX_BYTES && Argon2::default().verify_password(password.as_bytes(), hash).is_ok(),
        None => {
            let hashed: Result<PasswordHash, _> = Argon2::default().hash_password(b"nobody's");
            drop(hashed);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_becomes_a_hash_and_two_keys() {
        let alice = "alice".parse().unwrap();
        let keys = PasswordKeys::new(&alice, "castway", "I\u{AD}X-correct horse").unwrap();
        assert!(keys.argon2id.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", keys.argon2id);
        assert!(Argon2::default().verify_password(b"IX-correct horse", keys.argon2id.as_str()).is_ok());
        assert!(Argon2::default().verify_password(b"another", keys.argon2id.as_str()).is_err());
        assert_eq!(keys.h_a1_md5, h_a1_md5("alice", "castway", "IX-correct horse"));
        assert_eq!(keys.h_a1_sha256, h_a1_sha256("alice", "castway", "IX-correct horse"));
    }

    #[test]
    fn the_stored_hash_knows_its_password() {
        let keys = PasswordKeys::new(&"alice".parse().unwrap(), "castway", "correct horse").unwrap();
        assert!(verify("correct horse", Some(&keys.argon2id)));
        assert!(!verify("correct cow", Some(&keys.argon2id)));
        assert!(!verify("correct horse", None));
        assert!(!verify("correct horse", Some("nonsense")));
        assert!(!verify("", Some(&keys.argon2id)));
    }

    #[test]
    fn a_password_nobody_can_type_is_refused() {
        let alice = "alice".parse().unwrap();
        assert!(matches!(PasswordKeys::new(&alice, "r", ""), Err(PasswordError::Empty)));
        assert!(matches!(PasswordKeys::new(&alice, "r", "\u{AD}"), Err(PasswordError::Empty)));
        assert!(matches!(PasswordKeys::new(&alice, "r", "tab\there"), Err(PasswordError::Prohibited)));
        assert!(matches!(PasswordKeys::new(&alice, "r", &"x".repeat(513)), Err(PasswordError::Long)));
    }
}
