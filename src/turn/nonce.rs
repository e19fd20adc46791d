//! Stateless nonces (RFC 8489 §9.2): the time of issue and an HMAC over it and the client's address.
//!
//! Sixteen characters: base64 of 4 bytes of seconds and 8 bytes of HMAC-SHA256. Where the password algorithms are negotiated, the
//! nonce cookie `obMatJos2` and four characters of security features come first. The HMAC covers them, so that an attacker cannot
//! remove them.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// RFC 8489 §9.2: 24 security features in base64 follow this text. Bit 0 stands for password algorithms and bit 1 for username
/// anonymity (§18.1), counted from the least significant bit (erratum 6290, and the vector of appendix B.1).
const NONCE_COOKIE: &[u8; 9] = b"obMatJos2";
const TOKEN_LEN: usize = 16;
/// The length of a nonce with its cookie and security features.
pub(super) const MAX_NONCE_LEN: usize = NONCE_COOKIE.len() + 4 + TOKEN_LEN;

/// The security features that a nonce announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SecurityFeatures {
    pub(super) password_algorithms: bool,
    pub(super) username_anonymity: bool,
}

impl SecurityFeatures {
    const fn bits(self) -> u8 {
        self.password_algorithms as u8 | (self.username_anonymity as u8) << 1
    }
}

pub(super) struct Nonces {
    mac: Hmac<Sha256>,
    lifetime: u32,
}

impl Nonces {
    /// `lifetime` is in seconds; RFC 8656 §5 recommends at most an hour.
    pub(super) fn new(key: &[u8; 32], lifetime: u32) -> Self {
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length"), lifetime }
    }

    /// Writes a nonce for `client` at `now` (seconds since the epoch) and returns its length.
    pub(super) fn issue(&self, client: SocketAddr, features: SecurityFeatures, now: u32, out: &mut [u8; MAX_NONCE_LEN]) -> usize {
        let mut len = 0;
        if features != SecurityFeatures::default() {
            out[..NONCE_COOKIE.len()].copy_from_slice(NONCE_COOKIE);
            encode(&[0, 0, features.bits()], &mut out[NONCE_COOKIE.len()..NONCE_COOKIE.len() + 4]);
            len = NONCE_COOKIE.len() + 4;
        }
        encode(&self.token(client, features, now), &mut out[len..len + TOKEN_LEN]);
        len + TOKEN_LEN
    }

    /// The features of a valid nonce; `None` where the nonce has expired, belongs to another address, or is not ours (438).
    pub(super) fn check(&self, nonce: &[u8], client: SocketAddr, now: u32) -> Option<SecurityFeatures> {
        let (features, token) = match nonce.strip_prefix(NONCE_COOKIE) {
            Some(rest) => {
                let (features, token) = rest.split_at_checked(4)?;
                let [_, _, bits] = decode::<3>(features)?;
                (SecurityFeatures { password_algorithms: bits & 1 != 0, username_anonymity: bits & 2 != 0 }, token)
            }
            None => (SecurityFeatures::default(), nonce),
        };
        let token: [u8; 12] = decode(token)?;
        let issued = u32::from_be_bytes(*token.first_chunk().expect("twelve bytes hold four"));
        let age = now.checked_sub(issued)?;
        let genuine: bool = self.token(client, features, issued).ct_eq(&token).into();
        (genuine && age < self.lifetime).then_some(features)
    }

    fn token(&self, client: SocketAddr, features: SecurityFeatures, issued: u32) -> [u8; 12] {
        let mut mac = self.mac.clone();
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        mac.update(&[features.bits()]);
        mac.update(&issued.to_be_bytes());
        let mut token = [0; 12];
        token[..4].copy_from_slice(&issued.to_be_bytes());
        token[4..].copy_from_slice(&mac.finalize().into_bytes()[..8]);
        token
    }
}

fn encode(bytes: &[u8], out: &mut [u8]) {
    STANDARD.encode_slice(bytes, out).expect("the buffer has four characters for three bytes");
}

fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // The decoder needs a buffer of whole groups of three bytes, and N is a multiple of three.
    let mut out = [0; N];
    (text.len() == N / 3 * 4).then_some(())?;
    (STANDARD.decode_slice(text, &mut out).ok()? == N).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: SecurityFeatures = SecurityFeatures { password_algorithms: true, username_anonymity: false };

    fn issue(nonces: &Nonces, client: &str, features: SecurityFeatures, now: u32) -> Vec<u8> {
        let mut out = [0; MAX_NONCE_LEN];
        let len = nonces.issue(client.parse().expect("an address"), features, now, &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn r18_a_nonce_belongs_to_an_address_and_port() {
        let nonces = Nonces::new(&[1; 32], 600);
        let nonce = issue(&nonces, "192.0.2.1:1000", SecurityFeatures::default(), 5);
        let check = |client: &str| nonces.check(&nonce, client.parse().expect("an address"), 6);
        assert_eq!(nonce.len(), 16);
        assert_eq!(check("192.0.2.1:1000"), Some(SecurityFeatures::default()));
        assert_eq!(check("192.0.2.1:1001"), None);
        assert_eq!(check("192.0.2.2:1000"), None);
        assert_eq!(Nonces::new(&[2; 32], 600).check(&nonce, "192.0.2.1:1000".parse().expect("an address"), 6), None);
    }

    #[test]
    fn r19_a_nonce_expires() {
        let nonces = Nonces::new(&[1; 32], 600);
        let client = "[2001:db8::1]:9";
        let nonce = issue(&nonces, client, BOTH, 5);
        let client = client.parse().expect("an address");
        assert!(nonce.starts_with(b"obMatJos2AAAB"), "{}", String::from_utf8_lossy(&nonce));
        assert_eq!(nonces.check(&nonce, client, 604), Some(BOTH));
        assert_eq!(nonces.check(&nonce, client, 605), None);
        assert_eq!(nonces.check(&nonce, client, 4), None);
    }

    #[test]
    fn the_cookie_cannot_be_cut_off() {
        let nonces = Nonces::new(&[1; 32], 600);
        let client = "192.0.2.1:1000";
        let nonce = issue(&nonces, client, BOTH, 5);
        let client = client.parse().expect("an address");
        assert_eq!(nonces.check(&nonce[13..], client, 6), None);
        for garbage in [&b""[..], b"obMatJos2", b"obMatJos2AAAB", b"0123456789abcdef", &[0xFF; 29]] {
            assert_eq!(nonces.check(garbage, client, 6), None);
        }
    }
}
