//! Tokens of signed-in users. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What tokens of this server begin with.
const PREFIX: &str = "castway1.";
/// Bytes of the time and of the stamp, each a `u64`.
const NUMBERS_LENGTH: usize = 2 * size_of::<u64>();
/// Bytes of a token's signature, a truncated HMAC-SHA256.
const MAC_LENGTH: usize = 16;
const PROOF_LENGTH: usize = NUMBERS_LENGTH + MAC_LENGTH;
/// Bytes of the longest name, see `users::name`.
const MAX_NAME_BYTES: usize = 480;

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) name: String,
    /// In Unix seconds.
    pub(super) expires: u64,
    /// Of the user's password when the token was made.
    pub(super) stamp: u64,
}

/// Whether `token` has the form of our tokens, genuine or not.
pub(super) fn is_ours(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// `castway1.base64url(expires ‖ stamp ‖ HMAC-SHA256(key, expires ‖ stamp ‖ name)[..16]).base64url(name)`, the numbers as 8 bytes each, the
/// highest first.
pub(super) fn issue(key: &[u8; 32], claims: &Claims) -> String {
    let mut proof = [0; PROOF_LENGTH];
    let (signed, signature) = proof.split_at_mut(NUMBERS_LENGTH);
    signed[..size_of::<u64>()].copy_from_slice(&claims.expires.to_be_bytes());
    signed[size_of::<u64>()..].copy_from_slice(&claims.stamp.to_be_bytes());
    signature.copy_from_slice(&mac(key, signed, claims.name.as_bytes()).finalize().into_bytes()[..MAC_LENGTH]);
    format!("{PREFIX}{}.{}", URL_SAFE_NO_PAD.encode(proof), URL_SAFE_NO_PAD.encode(&claims.name))
}

/// What `token` says, if it is one of ours. Whether it has expired is for the caller to ask.
pub(super) fn verify(key: &[u8; 32], token: &str) -> Option<Claims> {
    let (proof, name) = token.strip_prefix(PREFIX)?.split_once('.')?;
    if name.len() > MAX_NAME_BYTES.div_ceil(3) * 4 {
        return None;
    }
    let mut bytes = [0; PROOF_LENGTH];
    let length = URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes).ok()?;
    let name = URL_SAFE_NO_PAD.decode(name).ok()?;
    if length != PROOF_LENGTH {
        return None;
    }
    let (signed, signature) = bytes.split_at(NUMBERS_LENGTH);
    mac(key, signed, &name).verify_truncated_left(signature).ok()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let (expires, stamp) = signed.split_at(size_of::<u64>());
    Some(Claims { name: String::from_utf8(name).ok()?, expires: number(expires), stamp: number(stamp) })
}

fn mac(key: &[u8; 32], numbers: &[u8], name: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(b"token").chain_update(numbers).chain_update(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_its_key_name_time_and_stamp() {
        let (ours, theirs) = ([1; 32], [2; 32]);
        let claims = Claims { name: "Ünal 李雷".to_owned(), expires: 1_800_000_000, stamp: u64::MAX - 7 };
        let token = issue(&ours, &claims);
        assert!(is_ours(&token));
        assert_eq!(verify(&ours, &token), Some(claims.clone()));
        assert_eq!(verify(&theirs, &token), None);
        let (proof, name) = token[PREFIX.len()..].split_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(proof).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            assert_eq!(verify(&ours, &format!("{PREFIX}{}.{name}", URL_SAFE_NO_PAD.encode(forged))), None, "byte {place}");
        }
        for other in ["", "alice", "Ünal 李雷 "] {
            assert_eq!(verify(&ours, &format!("{PREFIX}{proof}.{}", URL_SAFE_NO_PAD.encode(other))), None, "{other}");
        }
        let long = URL_SAFE_NO_PAD.encode("x".repeat(MAX_NAME_BYTES + 3));
        for broken in
            ["", PREFIX, &token[1..], &format!("{token}A"), &format!("{PREFIX}{proof}"), &format!("{PREFIX}{proof}.{long}")]
        {
            assert_eq!(verify(&ours, broken), None, "{broken}");
        }
    }

    #[test]
    fn the_longest_name_has_a_token() {
        let claims = Claims { name: "x".repeat(MAX_NAME_BYTES), expires: 1, stamp: 0 };
        assert_eq!(verify(&[1; 32], &issue(&[1; 32], &claims)), Some(claims));
    }
}
