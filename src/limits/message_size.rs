//! Limits the size of the messages that clients send to each other. PURE.
//!
//! An offer or an answer counts with the bytes of its text, not of its JSON: each line end takes two more bytes in JSON, and four
//! more in JSON inside of a string. Every message counts with at least half of its bytes on the wire, which bounds escapes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use axum::http::Request;

/// KiB of the text of an offer or an answer. A description with all codecs of a browser, simulcast and all candidates has a third
/// of that.
pub const DESCRIPTION_KIB: usize = 256;
/// KiB of the text of any other event.
pub const EVENT_KIB: usize = 64;
/// Further bytes, for the event's name and everything else around the text.
const ENVELOPE_BYTES: usize = 1024;
/// Bytes on the wire in one event, frame or body. More bytes end the connection, or are refused unread. The original server's limit for
/// Socket.IO is 10⁶.
pub const MAX_WIRE_BYTES: usize = (1 << 20) + (1 << 17);

/// A message is larger than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payload too large: at most {limit} KiB, and this has {sent} KiB")]
pub struct TooLarge {
    /// The limit in KiB.
    pub limit: usize,
    /// The message's size in KiB.
    pub sent: usize,
}

/// Checks JSON, or text with JSON in it, against a limit in KiB. `more`: bytes of the message that are not in `text`.
///
/// # Errors
/// [`TooLarge`], with both sizes.
pub fn check(text: &str, more: usize, limit: usize) -> Result<(), TooLarge> {
    let bytes = (unescaped(text) + more).max(text.len() / 2);
    if bytes > limit * 1024 + ENVELOPE_BYTES { Err(TooLarge { limit, sent: bytes / 1024 }) } else { Ok(()) }
}

/// Bytes of a request's head, approximately.
#[must_use]
pub fn of_head<T>(request: &Request<T>) -> usize {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    headers + request.uri().path_and_query().map_or(0, |path| path.as_str().len())
}

/// Bytes of JSON, where each escape counts as one byte, even if it was escaped several times.
fn unescaped(json: &str) -> usize {
    let backslashes = json.bytes().filter(|byte| *byte == b'\\').count();
    let of_four_digits = json.as_bytes().windows(2).filter(|pair| pair == b"\\u").count();
    json.len().saturating_sub(backslashes + 4 * of_four_digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_counts_as_its_text_in_json_and_in_json_inside_a_string() {
        let sdp = "a=x\r\n".repeat(DESCRIPTION_KIB * 1024 / 5);
        let once = json!(["CLIENT_OFFER_TO_SERVER", {"type": "offer", "sdp": sdp}]).to_string();
        assert!(once.len() > DESCRIPTION_KIB * 1024 * 6 / 5, "on the wire it is larger");
        assert_eq!(check(&once, 0, DESCRIPTION_KIB), Ok(()));
        let twice = json!([once]).to_string();
        assert_eq!(check(&twice, 0, DESCRIPTION_KIB), Ok(()));
        let large = json!([sdp + &"x".repeat(2048)]).to_string();
        assert_eq!(check(&large, 0, DESCRIPTION_KIB), Err(TooLarge { limit: 256, sent: 258 }));
    }

    #[test]
    fn escapes_count_by_half_at_least() {
        let escapes = |count: usize| format!("[\"{}\"]", "\\u0000".repeat(count));
        assert!(check(&escapes(80_000), 0, DESCRIPTION_KIB).is_ok());
        assert_eq!(check(&escapes(100_000), 0, DESCRIPTION_KIB), Err(TooLarge { limit: 256, sent: 292 }));
        assert!(check(&"\\".repeat(600 * 1024), 0, DESCRIPTION_KIB).is_err());
        assert!(check("\\u\\u", 0, DESCRIPTION_KIB).is_ok(), "nonsense has a size, too");
    }

    #[test]
    fn attachments_count_as_they_are() {
        assert!(check("[]", EVENT_KIB * 1024, EVENT_KIB).is_ok());
        assert_eq!(
            check("[]", 70 * 1024, EVENT_KIB).map_err(|error| error.to_string()),
            Err("payload too large: at most 64 KiB, and this has 70 KiB".to_owned())
        );
    }
}
