//! Users' passwords, as requests to the API send them.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ApiError;
use super::keys::authorization;
use crate::users::PasswordRefusal;

impl From<PasswordRefusal> for ApiError {
    fn from(refusal: PasswordRefusal) -> Self {
        match refusal {
            PasswordRefusal::Banned => Self::Forbidden,
            PasswordRefusal::Wrong => Self::NotSignedIn,
            PasswordRefusal::TooMany(wait) => Self::TooManyRequests(wait),
        }
    }
}

/// The name and the password of HTTP Basic authentication (RFC 7617 §2).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = STANDARD.decode(authorization(headers, "basic")?).ok()?;
    // Browsers may send Latin-1, whose characters are the first 256 of Unicode.
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_name_and_a_password_come_in_a_header() {
        let basic = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            super::basic(&headers)
        };
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
