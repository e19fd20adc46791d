//! The cookie of a session: its path is that of the public URL and `/admin`, so that it is never sent to `/socket.io`.

use axum::http::{HeaderMap, HeaderValue, header};

use super::sessions::{LIFETIME, TOKEN_CHARS};
use crate::config::BasePath;
use crate::config::secret::Secret;

const NAME: &str = "castway_admin";
/// Cookies of this name that are tried: other hosts of the domain may have set further ones.
const MAX_TRIED: usize = 64;

/// The tokens of a request that have the form of one.
pub(super) fn tokens(headers: &HeaderMap) -> Vec<Secret<String>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME && value.len() == TOKEN_CHARS).then(|| Secret::new(value.to_owned()))
    });
    values.take(MAX_TRIED).collect()
}

/// The cookie of a new session.
pub(super) fn set(token: &Secret<String>, base: &BasePath) -> HeaderValue {
    with_value(token.expose(), LIFETIME.as_secs(), base)
}

/// Removes the cookie.
pub(super) fn removed(base: &BasePath) -> HeaderValue {
    with_value("", 0, base)
}

fn with_value(value: &str, seconds: u64, base: &BasePath) -> HeaderValue {
    let cookie = format!("{NAME}={value}; Path={base}/admin; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict");
    let mut cookie = HeaderValue::from_str(&cookie).expect("tokens and base paths are header text");
    cookie.set_sensitive(true);
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    #[test]
    fn the_cookie_is_for_admin_alone_and_for_no_script() {
        let at = |url: &str| {
            let settings = Settings { public_url: Some(url.to_owned()), ..Settings::default() };
            let base = Config::read(&settings).unwrap().http.base_path;
            set(&Secret::new("t".to_owned()), &base).to_str().unwrap().to_owned()
        };
        let expected = |path: &str| format!("castway_admin=t; Path={path}; Max-Age=43200; HttpOnly; Secure; SameSite=Strict");
        assert_eq!(at("https://cast.example.org"), expected("/admin"));
        assert_eq!(at("https://example.org/castway/"), expected("/castway/admin"));
        assert!(removed(&BasePath::default()).to_str().unwrap().starts_with("castway_admin=; Path=/admin; Max-Age=0;"));
    }

    #[test]
    fn every_cookie_of_that_name_is_tried_up_to_a_bound() {
        let token = |letter: char| letter.to_string().repeat(TOKEN_CHARS);
        let (one, other) = (token('a'), token('b'));
        let read = |lines: &[String]| {
            let headers = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap())).collect();
            tokens(&headers).iter().map(|token| token.expose().clone()).collect::<Vec<_>>()
        };
        assert_eq!(read(&[format!("x=1; castway_admin={one};castway_admin={other}")]), [one.clone(), other.clone()]);
        assert_eq!(read(&[format!("castway_admin={one}"), format!("castway_admin={other}")]), [one.clone(), other]);
        assert_eq!(read(&[format!("xcastway_admin={one}; castway_admin=short; castway_admin; CASTWAY_ADMIN={one}")]), [""; 0]);
        assert_eq!(read(&[format!("castway_admin={one};").repeat(100)]).len(), MAX_TRIED);
    }
}
