//! Removes the base path from a request's path, for proxies that forward it. Behind a proxy that removes it, and without a proxy, requests
//! come without it, and are served as they are.
//!
//! A few paths could mean two things, because a page or a room may be called like the base path. With the base path `/cast`:
//!
//! | Request | If the proxy forwards the base path | If it has removed it | Served |
//! |---|---|---|---|
//! | `GET /cast` | the landing page | the caster's page | the latter; its script goes to `/cast/` where the browser's address is `/cast` |
//! | `GET /cast/` | the landing page | the caster's page with a last slash | the former; its script goes to `/cast/cast` where the address is `/cast/cast/` |
//! | `POST`, `DELETE` of `/cast/X` | nothing, unless X is a route | Collider's client X in the room `cast` | the latter, unless X is a route |
//!
//! All other paths of this server have other first parts than a base path may have, see [`BasePath`]. The script is the first one of every
//! page, in `web/start.js`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::pages;
use super::path_slashes;
use crate::config::BasePath;

/// Routes of one part that clients POST to.
const POST_ROUTES: [&str; 3] = ["turn", "a", "socket.io"];

/// Middleware in front of everything that looks at paths.
pub async fn remove(State(base): State<Arc<BasePath>>, mut request: Request, next: Next) -> Response {
    let path = without(&base, request.method(), request.uri().path(), pages::has_file);
    if let Some(uri) = path.and_then(|path| path_slashes::with_path(request.uri(), path)) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// The path without the base path; `None`: it stays as it is. `has_file` tells whether a file is served at a path.
fn without<'a>(base: &BasePath, method: &Method, path: &'a str, has_file: impl Fn(&str) -> bool) -> Option<&'a str> {
    let rest = base.rest_of(path)?;
    let reads = !matches!(*method, Method::POST | Method::DELETE);
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (None, _) if !reads => None,
        (None, _) if rest.is_empty() && has_file(base.as_str()) => None,
        (None, _) => Some("/"),
        (Some(client), None)
            if !reads && base.only_part().is_some() && !rest.ends_with('/') && !POST_ROUTES.contains(&client) =>
        {
            None
        }
        (Some(_), _) => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn base(path: &str) -> BasePath {
        let public_url = Some(format!("https://example.org{path}"));
        Config::read(&Settings { public_url, ..Settings::default() }).unwrap().http.base_path
    }

    fn served(at: &str, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let is_page = |path: &str| matches!(path, "/cast" | "/tv");
        without(&base(at), &method.parse().unwrap(), path, is_page).unwrap_or(path).to_owned()
    }

    #[test]
    fn a_request_with_the_base_path_is_served_without_it_and_others_as_they_are() {
        for (at, request, path) in [
            ("/castway", "GET /castway", "/"),
            ("/castway", "GET /castway/", "/"),
            ("/castway", "HEAD /castway/tv", "/tv"),
            ("/castway", "GET /castway/r/%E4%BC%9A", "/r/%E4%BC%9A"),
            ("/castway", "GET /castway/r/castway", "/r/castway"),
            ("/castway", "POST /castway/join/castway", "/join/castway"),
            ("/castway", "POST /castway/turn", "/turn"),
            ("/castway", "POST /castway/a/", "/a/"),
            ("/castway", "POST /castway/socket.io/", "/socket.io/"),
            ("/castway", "OPTIONS /castway/x", "/x"),
            ("/castway", "POST /castway/room/1", "/room/1"),
            ("/castway", "DELETE /castway/room/", "/room/"),
            ("/castway", "GET /tv", "/tv"),
            ("/castway", "POST /room/1", "/room/1"),
            ("/castway", "GET /castways/tv", "/castways/tv"),
            ("/a/b", "GET /a/b/tv", "/tv"),
            ("/a/b", "GET /a/b", "/"),
            ("/a/b", "POST /a/b/x", "/x"),
            ("/a/b", "POST /a/", "/a/"),
        ] {
            assert_eq!(served(at, request), path, "{request} under {at}");
        }
    }

    #[test]
    fn a_page_or_a_room_may_be_called_like_the_base_path() {
        for (at, request, path) in [
            ("/cast", "GET /cast", "/cast"),
            ("/cast", "GET /cast/", "/"),
            ("/cast", "GET //cast//", "/"),
            ("/cast", "GET /cast/cast", "/cast"),
            ("/cast", "GET /cast/cast/", "/cast/"),
            ("/tv", "GET /tv/tv", "/tv"),
            ("/room", "POST /room/1", "/room/1"),
            ("/room", "DELETE /room/1", "/room/1"),
            ("/room", "POST /room/", "/room/"),
            ("/room", "POST /room/room/1", "/room/1"),
            ("/room/1", "DELETE /room/1", "/room/1"),
            ("/room/1", "DELETE /room/1/room/1", "/room/1"),
            ("/a", "POST /a", "/a"),
            ("/a", "POST /a/", "/a/"),
        ] {
            assert_eq!(served(at, request), path, "{request} under {at}");
        }
    }
}
