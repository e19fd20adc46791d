//! The built pages, embedded in the binary: `/`, `/tv`, `/cast` and what they load.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// Serves the pages as the fallback of everything else.
pub fn router() -> Router {
    Router::new().fallback(serve).layer(CompressionLayer::new())
}

async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_matches('/');
    let name = match path {
        "" => "index.html".to_owned(),
        page if !page.contains('.') && !page.contains('/') => format!("{page}.html"),
        file => file.to_owned(),
    };
    // A dot begins what the build keeps for itself.
    match Dist::get(&name).filter(|_| !name.starts_with('.')) {
        Some(file) => respond(&name, file, &headers),
        None => not_found(&uri),
    }
}

fn respond(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag = format!("\"{:016x}\"", u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes")));
    // Names under assets/ contain their content's hash.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let head = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, cache)];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let mut response = (head, file.data).into_response();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    let kind = HeaderValue::from_str(&kind).expect("media types are header text");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn not_found(uri: &Uri) -> Response {
    // The first thing that goes wrong with a Socket.IO front end: a namespace taken for a path, or the other way round.
    let socket_io = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("EIO=")));
    let text = if socket_io {
        "Socket.IO is served at the path /socket.io/ (the client's default) with the namespaces / and /rtc: \
         use io('https://this-host/rtc'), and leave the option `path` alone.\n"
    } else {
        "Nothing here. The TV opens /tv, whoever shares a screen opens /cast.\n"
    };
    (StatusCode::NOT_FOUND, text).into_response()
}
