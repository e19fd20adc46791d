//! Resume tokens: proof that this server gave a client its seat. PURE: randomness comes in as an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::{CryptoRng, RngExt as _};
use sha2::Sha256;

use super::code::{Code, CodeAlphabet};

/// Whose seat a resume token gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Tv,
    Caster,
}

/// Bytes of a token's random part.
const NONCE_LENGTH: usize = 12;
/// Bytes of the two times in a token, each a `u64`.
const TIMES_LENGTH: usize = 2 * size_of::<u64>();
/// Bytes of a token's signature, a truncated HMAC-SHA256.
const MAC_LENGTH: usize = 16;
/// Bytes of a token of this version, before base64.
const PROOF_LENGTH: usize = NONCE_LENGTH + TIMES_LENGTH + MAC_LENGTH;
/// Bytes of a token of earlier versions, which have no times in them.
const UNDATED_PROOF_LENGTH: usize = NONCE_LENGTH + MAC_LENGTH;

/// When a client got its seat and its code, in Unix seconds by this server's clock of that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the client first got a token. A TV whose code changes keeps this time.
    pub since: u64,
    /// When this token was made, and with it the code.
    pub made: u64,
}

impl Times {
    /// The times of a token from a version whose tokens had none.
    pub const LONG_AGO: Self = Self { since: 0, made: 0 };

    pub const fn new(now: u64) -> Self {
        Self { since: now, made: now }
    }

    fn to_bytes(self) -> [u8; TIMES_LENGTH] {
        (u128::from(self.since) << u64::BITS | u128::from(self.made)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; TIMES_LENGTH]) -> Self {
        let [since, made] = [&bytes[..8], &bytes[8..]].map(|half| half.iter().fold(0, |time, &byte| time << 8 | u64::from(byte)));
        Self { since, made }
    }
}

/// What a genuine resume token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    pub code: Code,
    pub times: Times,
}

/// Issues and checks resume tokens: `CODE.base64url(nonce ‖ since ‖ made ‖ HMAC-SHA256(key, role ‖ code ‖ nonce ‖ since ‖ made)[..16])`,
/// the times as 8 bytes each, the highest first.
///
/// A token proves that this server gave that code to its bearer, and when, also after a restart: the server stores no token. Tokens of
/// earlier versions have no times and are still valid.
pub struct TokenKey([u8; 32]);

impl TokenKey {
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub(super) fn issue(&self, role: Role, code: Code, times: Times, rng: &mut impl CryptoRng) -> String {
        let mut proof = [0; PROOF_LENGTH];
        let (signed, mac) = proof.split_at_mut(NONCE_LENGTH + TIMES_LENGTH);
        signed[..NONCE_LENGTH].copy_from_slice(&rng.random::<[u8; NONCE_LENGTH]>());
        signed[NONCE_LENGTH..].copy_from_slice(&times.to_bytes());
        mac.copy_from_slice(&self.mac(role, code, signed).finalize().into_bytes()[..MAC_LENGTH]);
        format!("{code}.{}", URL_SAFE_NO_PAD.encode(proof))
    }

    /// What `token` says, if it was issued in that role; `None`: it is not one of ours.
    pub(super) fn verify(&self, role: Role, token: &str, alphabet: CodeAlphabet) -> Option<Issued> {
        let (text, proof) = token.split_once('.')?;
        // Nobody types a token, so the code in it has one form: otherwise one token would have many spellings, of any length.
        let code = Code::parse(text, alphabet).filter(|code| code.as_str() == text)?;
        let mut bytes = [0; PROOF_LENGTH];
        let length = URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes).ok()?;
        if length != PROOF_LENGTH && length != UNDATED_PROOF_LENGTH {
            return None;
        }
        let (signed, mac) = bytes[..length].split_at(length - MAC_LENGTH);
        self.mac(role, code, signed).verify_truncated_left(mac).ok()?;
        let times = signed[NONCE_LENGTH..].try_into().map_or(Times::LONG_AGO, Times::from_bytes);
        Some(Issued { code, times })
    }

    fn mac(&self, role: Role, code: Code, signed: &[u8]) -> Hmac<Sha256> {
        let role: &[u8] = match role {
            Role::Tv => b"tv",
            Role::Caster => b"caster",
        };
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(role).chain_update([0]).chain_update(code.as_str()).chain_update(signed)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_token_is_bound_to_its_key_role_code_and_times() {
        let mut rng = StdRng::seed_from_u64(1);
        let (ours, theirs) = (TokenKey::new([1; 32]), TokenKey::new([2; 32]));
        let alphabet = CodeAlphabet::Letters;
        let code = Code::random(alphabet, &mut rng);
        let times = Times { since: 1_800_000_000, made: 1_800_086_400 };
        let token = ours.issue(Role::Tv, code, times, &mut rng);
        assert_eq!(ours.verify(Role::Tv, &token, alphabet), Some(Issued { code, times }));
        assert_eq!(ours.verify(Role::Caster, &token, alphabet), None);
        assert_eq!(theirs.verify(Role::Tv, &token, alphabet), None);
        let other = Code::random(alphabet, &mut rng);
        let proof = token.split_once('.').expect("has a dot").1;
        let forged = format!("{other}.{proof}");
        assert_eq!(ours.verify(Role::Tv, &forged, alphabet), None);
        let bytes = URL_SAFE_NO_PAD.decode(proof).expect("it is base64");
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = format!("{code}.{}", URL_SAFE_NO_PAD.encode(forged));
            assert_eq!(ours.verify(Role::Tv, &forged, alphabet), None, "byte {place}");
        }
        let undated = [&bytes[..NONCE_LENGTH], &bytes[NONCE_LENGTH + TIMES_LENGTH..]].concat();
        let undated = format!("{code}.{}", URL_SAFE_NO_PAD.encode(undated));
        assert_eq!(ours.verify(Role::Tv, &undated, alphabet), None, "the times can't be cut out");
        for broken in
            ["", ".", "K7Q2MX.", "K7Q2MX.AAAA", &token[..token.len() - 1], &format!("{token}A"), &format!("{token}AAAA")]
        {
            assert_eq!(ours.verify(Role::Tv, broken, alphabet), None, "{broken}");
        }
        for otherwise in [code.as_str().to_lowercase(), format!("{}{code}", "-".repeat(400)), format!("{code} ")] {
            assert_eq!(ours.verify(Role::Tv, &format!("{otherwise}.{proof}"), alphabet), None, "{otherwise}: it has one form");
        }
    }

    #[test]
    fn a_token_without_times_is_still_good_and_was_made_long_ago() {
        // Issued by the version that had no times in its tokens.
        let key = TokenKey::new([1; 32]);
        let code = Code::parse("K7Q2MX", CodeAlphabet::Letters).expect("a code");
        for (role, token) in [
            (Role::Tv, "K7Q2MX.AAECAwQFBgcICQoLPxBw_prUVIYyk-pFhtOp5w"),
            (Role::Caster, "K7Q2MX.AAECAwQFBgcICQoLIsomMAWDPaJNsTfuzPiEkQ"),
        ] {
            assert_eq!(key.verify(role, token, CodeAlphabet::Letters), Some(Issued { code, times: Times::LONG_AGO }), "{token}");
        }
    }
}
