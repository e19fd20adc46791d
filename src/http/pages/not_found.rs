//! Addresses that lead nowhere, and those that somebody has almost typed right.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::files::FILES;
use crate::config::BasePath;
use crate::http::problem::{self, Problem};

/// Pages that nobody opens by name.
const UNNAMED: [&str; 2] = ["index", "404"];

/// The path that was meant where the name of a page is written in capitals: `/TV`, `/R/ROOM`. What follows stays as it is.
pub(super) fn meant(path: &str) -> Option<String> {
    let written = path.trim_matches('/');
    let (page, room) = written.split_once('/').map_or((written, None), |(page, room)| (page, Some(room)));
    let name = page.to_ascii_lowercase();
    if name == page {
        return None;
    }
    match room {
        None if name == "r" => Some("/r".to_owned()),
        None if !UNNAMED.contains(&name.as_str()) && FILES.contains_key(&format!("{name}.html")) => Some(format!("/{name}")),
        Some(room) if name == "r" && !room.is_empty() && !room.contains('/') => Some(format!("/r/{room}")),
        None | Some(_) => None,
    }
}

/// Whether a request is for Socket.IO, at a wrong path.
pub(super) fn is_of_socket_io(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("EIO=")))
}

/// The answer to programs.
pub(super) fn answer(uri: &Uri, base: &BasePath) -> Response {
    if problem::is_api(uri.path()) {
        return Problem::no_such_path().into_response();
    }
    // A frequent error of Socket.IO front ends: a namespace used as a path, or the other way round.
    let text = if !is_of_socket_io(uri) {
        format!("Not found. Open {base}/tv on the TV, {base}/cast to share a screen, or {base}/r for a call.\n")
    } else if base.is_empty() {
        "Socket.IO is served at the path /socket.io/ (the client's default) with the namespaces / and /rtc: \
         use io('https://this-host/rtc'), and leave the option `path` alone.\n"
            .to_owned()
    } else {
        format!(
            "Socket.IO is served at the path {base}/socket.io/ with the namespaces / and /rtc: \
             use io('https://this-host/rtc', {{ path: '{base}/socket.io/' }}).\n"
        )
    };
    // Browsers get a page for the same address.
    (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_capitals_is_meant_and_a_room_keeps_its_case() {
        for (path, expected) in [
            ("/TV", "/tv"),
            ("/Cast", "/cast"),
            ("/CAST/", "/cast"),
            ("/Check", "/check"),
            ("/R", "/r"),
            ("/R/", "/r"),
            ("/R/Room-A", "/r/Room-A"),
            ("/R/%E4%BC%9A/", "/r/%E4%BC%9A"),
        ] {
            assert_eq!(meant(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["/", "/tv", "/cast/", "/r/Room", "/Index", "/TV/x", "/R/a/b", "/R//evil.example", "/Turn", "/X", "/TV.html"]
        {
            assert_eq!(meant(path), None, "{path}");
        }
    }
}
