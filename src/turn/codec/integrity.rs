//! Long-term keys, MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9.2.2, §14.5, §14.6).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::header::HEADER_LEN;
use super::message::StunMessage;

/// The hash that makes a key of a password (RFC 8489 §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    Md5,
    Sha256,
}

impl PasswordAlgorithm {
    pub const fn number(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    /// The value of PASSWORD-ALGORITHM; neither algorithm has parameters.
    pub fn read(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// H(A1): the hash of username, realm and password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LongTermKey {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

impl LongTermKey {
    /// RFC 8489 §9.2.2. The caller prepares the password (SASLprep).
    pub fn long_term(algorithm: PasswordAlgorithm, username: &str, realm: &str, password: &str) -> Self {
        let parts = [username, ":", realm, ":", password];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::Md5(digest::<Md5>(&parts).into()),
            PasswordAlgorithm::Sha256 => Self::Sha256(digest::<Sha256>(&parts).into()),
        }
    }

    pub const fn algorithm(&self) -> PasswordAlgorithm {
        match self {
            Self::Md5(_) => PasswordAlgorithm::Md5,
            Self::Sha256(_) => PasswordAlgorithm::Sha256,
        }
    }

    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(key) => key,
            Self::Sha256(key) => key,
        }
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

fn digest<D: Digest>(parts: &[&str]) -> sha2::digest::Output<D> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    digest.finalize()
}

/// Which integrity attribute a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrityAlgorithm {
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

impl IntegrityAlgorithm {
    /// The algorithm to verify: the stronger one where a message carries both attributes (RFC 8489 §9.2.4).
    pub const fn of(message: &StunMessage<'_>) -> Option<Self> {
        if message.integrity_sha256().is_some() {
            Some(Self::Sha256)
        } else if message.integrity().is_some() {
            Some(Self::Sha1)
        } else {
            None
        }
    }

    /// Length of the attribute with its header.
    pub const fn attribute_len(self) -> usize {
        match self {
            Self::Sha1 => 24,
            Self::Sha256 => 36,
        }
    }

    /// Compares in constant time.
    pub fn verify(self, message: &StunMessage<'_>, key: &LongTermKey) -> bool {
        let offset = match self {
            Self::Sha1 => message.integrity(),
            Self::Sha256 => message.integrity_sha256(),
        };
        let Some(offset) = offset else { return false };
        let mut expected = [0; 32];
        let len = self.compute(&message.bytes()[..offset], key, &mut expected);
        message.bytes()[offset + 4..][..len].ct_eq(&expected[..len]).into()
    }

    /// The HMAC over `covered`, as if the message ended with this attribute; returns its length.
    pub fn compute(self, covered: &[u8], key: &LongTermKey, out: &mut [u8; 32]) -> usize {
        let (head, tail) = covered.split_at(4);
        let length = u16::try_from(covered.len() + self.attribute_len() - HEADER_LEN).unwrap_or(u16::MAX).to_be_bytes();
        let parts = [&head[..2], &length, tail];
        match self {
            Self::Sha1 => {
                out[..20].copy_from_slice(&mac::<Hmac<Sha1>>(key, &parts));
                20
            }
            Self::Sha256 => {
                out.copy_from_slice(&mac::<Hmac<Sha256>>(key, &parts));
                32
            }
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &LongTermKey, parts: &[&[u8]]) -> sha2::digest::Output<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8489 §9.2.2.
    #[test]
    fn long_term_key_of_the_rfc_example() {
        let key = LongTermKey::long_term(PasswordAlgorithm::Md5, "user", "realm", "pass");
        assert_eq!(
            key.as_bytes(),
            [0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb]
        );
    }
}
