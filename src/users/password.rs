//! Turns a password into the hash and the keys that are stored.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use subtle::ConstantTimeEq;

use super::credentials::{h_a1_md5, h_a1_sha256};
use super::name::UserName;

/// Bytes of the longest password.
const MAX_BYTES: usize = 512;
/// Characters of an operator's shortest password.
const MIN_OPERATOR_CHARS: usize = 12;

/// Characters of generated passwords, without look-alikes; 20 of them are 99 bits.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP_CHARS: usize = 5;

/// Everything that is stored of a password: a hash for logging in, and TURN keys, which let their holder act as the user on relays of
/// this realm (RFC 8489 §9.2.2) and nowhere else.
#[derive(Clone)]
pub struct PasswordKeys {
    pub(super) argon2id: String,
    pub(super) realm: String,
    /// Of the password in its SASLprep form, as the RFC has it.
    pub(super) prepared: TurnKeys,
    /// Of the password as it was typed: the clients that people use send it so.
    pub(super) typed: TurnKeys,
    pub(super) known: KnownKeys,
}

/// Which of a user's TURN keys are known. The others are random, so that nothing matches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownKeys {
    /// Those of a password that was set here.
    All,
    /// The one that was imported from another server, where nobody knows the password.
    Md5,
    Sha256,
}

impl KnownKeys {
    /// As the database writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::All, Self::Md5, Self::Sha256].into_iter().find(|known| known.name() == name)
    }
}

/// The long-term key H(A1) of a user of another TURN server, which has kept nothing else of the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ImportedKey {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

/// The hash of an imported user: of no password.
pub(super) const NO_HASH: &str = "!";

/// The long-term keys H(A1) of one form of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TurnKeys {
    pub(super) md5: [u8; 16],
    pub(super) sha256: [u8; 32],
}

impl TurnKeys {
    pub(super) fn new(name: &str, realm: &str, password: &str) -> Self {
        Self { md5: h_a1_md5(name, realm, password), sha256: h_a1_sha256(name, realm, password) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password can't be empty")]
    Empty,
    #[error("a password has at most {MAX_BYTES} bytes")]
    Long,
    #[error("an operator's password has at least {MIN_OPERATOR_CHARS} characters")]
    Short,
    #[error(
        "a password can't hold what SASLprep (RFC 4013) prohibits: control characters, most emoji and other characters newer than \
         Unicode 3.2, or letters of both writing directions"
    )]
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
        let prepared = stringprep::saslprep(password).map_err(|_| PasswordError::Prohibited)?;
        Ok(Self {
            argon2id: hash(&prepared)?,
            realm: realm.to_owned(),
            prepared: TurnKeys::new(name.as_str(), realm, &prepared),
            typed: TurnKeys::new(name.as_str(), realm, password),
            known: KnownKeys::All,
        })
    }

    /// The one key that another server has kept, for this realm alone.
    #[must_use]
    pub fn imported(realm: &str, key: ImportedKey) -> Self {
        let random = TurnKeys { md5: rand::random(), sha256: rand::random() };
        let (keys, known) = match key {
            ImportedKey::Md5(md5) => (TurnKeys { md5, ..random }, KnownKeys::Md5),
            ImportedKey::Sha256(sha256) => (TurnKeys { sha256, ..random }, KnownKeys::Sha256),
        };
        Self { argon2id: NO_HASH.to_owned(), realm: realm.to_owned(), prepared: keys, typed: keys, known }
    }
}

/// The password of an operator. Only its hash is stored.
#[derive(Clone)]
pub struct OperatorPassword(pub(super) String);

impl OperatorPassword {
    /// As slow as [`PasswordKeys::new`], so call it outside the runtime's threads.
    ///
    /// # Errors
    /// `Short` for fewer than 12 characters, and those of [`PasswordKeys::new`].
    pub fn new(password: &str) -> Result<Self, PasswordError> {
        if password.len() > MAX_BYTES {
            return Err(PasswordError::Long);
        }
        let prepared = stringprep::saslprep(password).map_err(|_| PasswordError::Prohibited)?;
        if prepared.chars().count() < MIN_OPERATOR_CHARS {
            return Err(PasswordError::Short);
        }
        hash(&prepared).map(Self)
    }
}

fn hash(prepared: &str) -> Result<String, PasswordError> {
    if prepared.is_empty() {
        return Err(PasswordError::Empty);
    }
    let hash: PasswordHash = Argon2::default().hash_password(prepared.as_bytes()).map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// A password of four groups of five characters, which can be read out or typed.
#[must_use]
pub fn generate_password() -> String {
    let letter = || char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    let groups: [String; GROUPS] = std::array::from_fn(|_| (0..GROUP_CHARS).map(|_| letter()).collect());
    groups.join("-")
}

/// Whether `password` has the form of generated ones, so that nobody finds a user's by trying passwords of this form.
#[must_use]
pub fn looks_generated(password: &str) -> bool {
    let groups: Vec<&str> = password.split('-').collect();
    groups.len() == GROUPS
        && groups.iter().all(|group| group.len() == GROUP_CHARS && group.bytes().all(|letter| ALPHABET.contains(&letter)))
}

/// Whether one of `keys` is that of this name and of the SASLprep form of the password, which may be given in another form. The time
/// depends on neither. Of an imported user the one for MD5 may be the only one that is known.
pub(super) fn has_key(name: &str, realm: &str, password: &str, keys: &TurnKeys) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let same = |password: &str| {
        let of_password = TurnKeys::new(name, realm, password);
        of_password.sha256.ct_eq(&keys.sha256) | of_password.md5.ct_eq(&keys.md5)
    };
    (same(password) | same(&prepared)).into()
}

/// Whether `password` is that of the stored hash. Without a hash it takes as long and returns false.
pub(super) fn verify(password: &str, hash: Option<&str>) -> bool {
    let password = stringprep::saslprep(password).unwrap_or_default();
    // Nobody has a longer one; it is refused as slowly as that of an unknown name.
    match hash.filter(|_| password.len() <= MAX_BYTES) {
        Some(hash) => Argon2::default().verify_password(password.as_bytes(), hash).is_ok(),
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
    fn r77_a_password_becomes_a_hash_and_the_keys_of_both_forms() {
        let alice = "alice".parse().unwrap();
        let typed = "I\u{AD}X-correct horse";
        let keys = PasswordKeys::new(&alice, "castway", typed).unwrap();
        assert!(keys.argon2id.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", keys.argon2id);
        assert!(Argon2::default().verify_password(b"IX-correct horse", keys.argon2id.as_str()).is_ok());
        assert!(Argon2::default().verify_password(b"another", keys.argon2id.as_str()).is_err());
        for (form, keys) in [("IX-correct horse", keys.prepared), (typed, keys.typed)] {
            assert_eq!(keys.md5, h_a1_md5("alice", "castway", form));
            assert_eq!(keys.sha256, h_a1_sha256("alice", "castway", form));
        }
        // Full-width digits, a no-break space, and a letter with its accent apart.
        for (typed, prepared) in [("\u{FF11}\u{FF12}3", "123"), ("a\u{A0}b", "a b"), ("e\u{301}", "\u{E9}")] {
            let keys = PasswordKeys::new(&alice, "castway", typed).unwrap();
            assert_ne!(keys.prepared.md5, keys.typed.md5);
            assert_eq!(keys.prepared.md5, h_a1_md5("alice", "castway", prepared));
        }
        let plain = PasswordKeys::new(&alice, "castway", "correct horse").unwrap();
        assert_eq!(plain.prepared.sha256, plain.typed.sha256);
    }

    #[test]
    fn an_operators_password_has_twelve_characters_at_least() {
        for short in ["", "elevencharsx", "\u{AD}elevenchars", "密码密码密码密码密码密"] {
            let short = short.trim_end_matches('x');
            assert!(matches!(OperatorPassword::new(short), Err(PasswordError::Short)), "{short:?}");
        }
        let kept = OperatorPassword::new("密码密码密码密码密码密码").unwrap();
        assert!(verify("密码密码密码密码密码密码", Some(&kept.0)) && !verify("密码", Some(&kept.0)));
        assert!(matches!(OperatorPassword::new(&"x".repeat(513)), Err(PasswordError::Long)));
        assert!(matches!(OperatorPassword::new("\u{1F600} and twelve more"), Err(PasswordError::Prohibited)));
    }

    #[test]
    fn a_generated_password_is_long_and_new() {
        let (one, other) = (generate_password(), generate_password());
        assert_eq!(one.len(), 23);
        assert_ne!(one, other);
        assert!(looks_generated(&one) && looks_generated(&other));
        for chosen in
            ["", "correct-horse-battery-stapl", "abcde-fghjk-mnpqr", "Abcde-fghjk-mnpqr-stuvw", "abcde-fghjk-mnpqr-stuv"]
        {
            assert!(!looks_generated(chosen), "{chosen}");
        }
    }

    #[test]
    fn a_key_knows_its_password_as_typed_and_prepared() {
        let keys = PasswordKeys::new(&"alice".parse().unwrap(), "castway", "I\u{AD}X-correct horse").unwrap();
        for right in ["IX-correct horse", "I\u{AD}X-correct horse", "\u{2168}-correct horse"] {
            assert!(has_key("alice", "castway", right, &keys.prepared), "{right:?}");
        }
        for wrong in ["", "ix-correct horse", "tab\there", &"x".repeat(MAX_BYTES + 1)] {
            assert!(!has_key("alice", "castway", wrong, &keys.prepared), "{wrong:?}");
        }
        assert!(!has_key("bob", "castway", "IX-correct horse", &keys.prepared));
        assert!(!has_key("alice", "elsewhere", "IX-correct horse", &keys.prepared));
        assert!(!has_key("alice", "castway", "IX-correct horse", &TurnKeys { md5: [0; 16], sha256: [0; 32] }));
    }

    #[test]
    fn an_imported_key_knows_its_password_and_has_no_hash() {
        let md5 = ImportedKey::Md5(h_a1_md5("alice", "north.example", "correct horse"));
        let sha256 = ImportedKey::Sha256(h_a1_sha256("alice", "north.example", "correct horse"));
        for (key, known) in [(md5, KnownKeys::Md5), (sha256, KnownKeys::Sha256)] {
            let keys = PasswordKeys::imported("north.example", key);
            assert_eq!((keys.known, &*keys.realm), (known, "north.example"));
            assert!(has_key("alice", "north.example", "correct horse", &keys.prepared));
            assert!(!has_key("alice", "north.example", "correct cow", &keys.prepared));
            assert!(!verify("correct horse", Some(&keys.argon2id)) && !verify("!", Some(&keys.argon2id)));
            let again = PasswordKeys::imported("north.example", key);
            assert!(again.prepared != keys.prepared, "the key of the other algorithm is a random one");
        }
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
        for prohibited in ["tab\there", "\u{E000}", "\u{1F600}", "\u{627}1a"] {
            assert!(matches!(PasswordKeys::new(&alice, "r", prohibited), Err(PasswordError::Prohibited)), "{prohibited:?}");
        }
        assert!(matches!(PasswordKeys::new(&alice, "r", &"x".repeat(513)), Err(PasswordError::Long)));
    }
}
