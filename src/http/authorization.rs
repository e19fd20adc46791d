//! The Authorization header of a request: tokens, and names with passwords.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a client is asked for that has to send a token.
pub const BEARER_CHALLENGE: &str = "Bearer";
/// The same for a name and a password. RFC 7617 §2.1: clients should send UTF-8.
pub const BASIC_CHALLENGE: &str = "Basic realm=\"castway\", charset=\"UTF-8\"";

/// The token of a bearer (RFC 6750 §2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

/// The name and the password of HTTP Basic authentication (RFC 7617 §2).
#[must_use]
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = STANDARD.decode(credentials(headers, "basic")?).ok()?;
    // Browsers may send Latin-1, whose characters are the first 256 of Unicode.
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What the header has behind this scheme (RFC 9110 §11.6.2).
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (used, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    used.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_token_comes_behind_its_scheme() {
        assert_eq!(bearer(&with("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("bearer  abc")), Some("abc"));
        for none in ["Basic abc", "Bearer", "abc"] {
            assert_eq!(bearer(&with(none)), None, "{none}");
        }
    }

    #[test]
    fn a_name_and_a_password_come_in_a_header() {
        let basic = |value: &str| basic(&with(value));
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let encoded = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
        // The vectors of RFC 7617 §2 and §2.1.
        assert_eq!(basic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(basic("basic dGVzdDoxMjPCow=="), pair("test", "123£"));
        assert_eq!(basic(&encoded(b"test:123\xa3")), pair("test", "123£"));
        assert_eq!(basic(&encoded(b"alice:a:b")), pair("alice", "a:b"));
        for none in ["Basic", "Basic %", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", &encoded(b"alice")] {
            assert_eq!(basic(none), None, "{none}");
        }
    }
}
