//! Signs requests, so that their receiver knows who has sent them, and when.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::secret::Secret;

/// Seconds since 1970.
pub(super) const TIMESTAMP_HEADER: &str = "x-castway-timestamp";
pub(super) const SIGNATURE_HEADER: &str = "x-castway-signature";

/// The value of [`SIGNATURE_HEADER`]: `sha256=` and the HMAC-SHA256 of the timestamp, a dot and the body, in hexadecimal.
pub(super) fn signature(secret: &Secret<String>, timestamp: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of HMAC may have any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let digits = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_and_body_are_signed() {
        // printf '1700000000.{"id":"1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::new("0123456789abcdef".to_owned());
        let expected = "sha256=d5f5834972cbc6cf5590800c46ccaa0cd6c16f19c0c73dbdf9b4c56390cbc2a3";
        assert_eq!(signature(&secret, 1_700_000_000, br#"{"id":"1"}"#), expected);
    }
}
