//! Removes superfluous slashes from a request's path: apps append `/join/ROOM` to a URL that ends in a slash, and proxies add slashes.
//! A redirect would not work: clients turn a POST into a GET, or treat every status except 200 as an error.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::middleware::Next;
use axum::response::Response;

/// The URI with the last slash that [`remove`] has removed.
#[derive(Debug, Clone)]
struct WithLastSlash(Uri);

/// The path without doubled slashes and without a last slash; `None` if nothing changes. Escapes and dots stay unchanged.
pub fn plain(path: &str) -> Option<String> {
    let single = single(path);
    let path = single.as_deref().unwrap_or(path);
    match path.strip_suffix('/') {
        Some(open) if !open.is_empty() => Some(open.to_owned()),
        Some(_) | None => single,
    }
}

/// The path without doubled slashes; `None` if nothing changes.
fn single(path: &str) -> Option<String> {
    path.contains("//").then(|| {
        let mut single: Vec<char> = path.chars().collect();
        single.dedup_by(|next, kept| (*next, *kept) == ('/', '/'));
        single.into_iter().collect()
    })
}

/// Middleware: replaces the path by [`plain`].
pub async fn remove(mut request: Request, next: Next) -> Response {
    if let Some(uri) = plain(request.uri().path()).and_then(|path| with_path(request.uri(), &path)) {
        let closed = single(request.uri().path()).and_then(|path| with_path(request.uri(), &path));
        let closed = WithLastSlash(closed.unwrap_or_else(|| request.uri().clone()));
        request.extensions_mut().insert(closed);
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// Middleware: removes doubled slashes, and keeps the last slash.
pub async fn remove_doubled(mut request: Request, next: Next) -> Response {
    if let Some(uri) = single(request.uri().path()).and_then(|path| with_path(request.uri(), &path)) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// Restores the last slash that [`remove`] has removed.
#[must_use]
pub fn close(mut request: Request) -> Request {
    if let Some(WithLastSlash(uri)) = request.extensions_mut().remove() {
        *request.uri_mut() = uri;
    }
    request
}

pub(super) fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_and_the_last_one_go_and_nothing_else() {
        for (path, expected) in [
            ("//join/x", "/join/x"),
            ("/join/x/", "/join/x"),
            ("///message//r///c//", "/message/r/c"),
            ("/a/", "/a"),
            ("//", "/"),
            ("/%2F/./../a.b//c/", "/%2F/./../a.b/c"),
        ] {
            assert_eq!(plain(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["/", "*", "", "/join/x", "/%2F%2F", "/a/../b", "/."] {
            assert_eq!(plain(path), None, "{path}");
        }
        assert_eq!(single("//room//client//").as_deref(), Some("/room/client/"));
        assert_eq!(single("/room/"), None);
    }

    #[test]
    fn the_query_and_the_host_stay() {
        let uri: Uri = "https://cast.example.org:8443//join/x/?a=//b/".parse().unwrap();
        let uri = with_path(&uri, &plain(uri.path()).unwrap()).unwrap();
        assert_eq!(uri, "https://cast.example.org:8443/join/x?a=//b/");
        let bare: Uri = "//evil.example/r/x/".parse::<PathAndQuery>().unwrap().into();
        assert_eq!(with_path(&bare, &plain(bare.path()).unwrap()).unwrap(), "/evil.example/r/x");
    }
}
