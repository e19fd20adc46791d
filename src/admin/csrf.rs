//! Whether a request comes from a page of this server. The cookie alone does not prove it: other hosts of the domain are the same site, and
//! browsers may send cookies with what their pages submit.

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;

const TOKEN_HEADER: &str = "x-castway-csrf";
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether the page that made the browser send the request is one of this server, as far as the browser says so. Programs say
/// nothing. `public`: the origin that people type, which a proxy may not forward.
pub(super) fn is_own_page(headers: &HeaderMap, client: &ClientInfo, public: Option<&str>) -> bool {
    // Browsers add the header themselves, and scripts can't.
    if let Some(site) = headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => origin.to_str().is_ok_and(|origin| is_own(origin, client, public)),
    }
}

/// As [`is_own_page`], for requests that change nothing: somebody may also type their address.
pub(super) fn may_read(headers: &HeaderMap, client: &ClientInfo, public: Option<&str>) -> bool {
    headers.get(FETCH_SITE).is_some_and(|site| site == "none") || is_own_page(headers, client, public)
}

/// Whether the body claims to be JSON, which no form of a page can send.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether the request has the token of its session.
pub(super) fn has_token(headers: &HeaderMap, token: &Secret<String>) -> bool {
    let sent = headers.get(TOKEN_HEADER).map(|value| value.as_bytes());
    sent.is_some_and(|sent| sent.ct_eq(token.expose().as_bytes()).into())
}

fn is_own(origin: &str, client: &ClientInfo, public: Option<&str>) -> bool {
    let origin = origin.to_ascii_lowercase();
    let host = client.host.as_deref().and_then(|host| Url::parse(&format!("https://{host}")).ok());
    host.is_some_and(|host| host.origin().ascii_serialization() == origin) || public == Some(origin.as_str())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::http::client_info::Scheme;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn client(host: &str) -> ClientInfo {
        ClientInfo { address: IpAddr::V4(Ipv4Addr::LOCALHOST), scheme: Scheme::Https, host: Some(host.to_owned()) }
    }

    #[test]
    fn only_pages_of_this_origin_change_something() {
        let asks = |lines: &[(&'static str, &str)]| {
            is_own_page(&headers(lines), &client("cast.example.org"), Some("https://public.example.org"))
        };
        assert!(asks(&[]) && asks(&[("sec-fetch-site", "same-origin")]));
        assert!(asks(&[("origin", "https://cast.example.org")]) && asks(&[("origin", "https://public.example.org")]));
        for foreign in ["https://evil.example", "http://cast.example.org", "https://cast.example.org:8443", "null", ""] {
            assert!(!asks(&[("origin", foreign)]), "{foreign}");
        }
        for site in ["cross-site", "same-site", "none", "", "same-origin, cross-site"] {
            assert!(!asks(&[("sec-fetch-site", site), ("origin", "https://cast.example.org")]), "{site}");
        }
        let reads = |lines: &[(&'static str, &str)]| may_read(&headers(lines), &client("cast.example.org"), None);
        assert!(reads(&[("sec-fetch-site", "none")]) && reads(&[("sec-fetch-site", "same-origin")]) && reads(&[]));
        assert!(!reads(&[("sec-fetch-site", "same-site")]) && !reads(&[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn an_origin_is_compared_with_its_port() {
        let own = |origin: &str, host: &str| is_own_page(&headers(&[("origin", origin)]), &client(host), None);
        assert!(own("https://127.0.0.1:8443", "127.0.0.1:8443") && own("https://x.org", "x.org:443"));
        assert!(own("https://[2001:db8::7]:8443", "[2001:db8:0::7]:8443"));
        assert!(!own("https://x.org", "x.org:8443"));
    }

    #[test]
    fn a_form_is_no_json() {
        let json = |kind: &str| is_json(&headers(&[("content-type", kind)]));
        assert!(json("application/json") && json("Application/JSON; charset=utf-8"));
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; application/json", ""]
        {
            assert!(!json(form), "{form}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn the_token_is_the_sessions_own() {
        let token = Secret::new("abc".to_owned());
        assert!(has_token(&headers(&[("x-castway-csrf", "abc")]), &token));
        for other in ["", "ab", "abcd", "ABC"] {
            assert!(!has_token(&headers(&[("x-castway-csrf", other)]), &token), "{other}");
        }
        assert!(!has_token(&HeaderMap::new(), &token));
    }
}
