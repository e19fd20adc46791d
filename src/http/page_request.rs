//! Whether a browser requests a page, or a program something else.

use axum::http::{HeaderMap, Method, header};

/// What programs request with GET, although a person may open it in a browser: the REST API, AppRTC and Socket.IO.
const API_PATHS: [&str; 4] = ["/turn", "/params", "/ws", "/socket.io"];
const API_FOLDERS: [&str; 3] = ["/v1alpha/", "/api/", "/socket.io/"];

/// Whether a browser requests a page. `path` is one as handlers see it.
pub(super) fn is_page(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let is_api = API_PATHS.contains(&path) || API_FOLDERS.iter().any(|folder| path.starts_with(folder));
    matches!(*method, Method::GET | Method::HEAD) && !is_api && accepts_html(headers)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|types| types.to_str().ok()).any(|types| types.to_ascii_lowercase().contains("text/html"))
}
