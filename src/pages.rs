//! The built pages, embedded in the binary: `/`, `/tv`, `/cast`, the call page at `/r`, and what they load; and the Socket.IO
//! client that other pages load from their server.
//!
//! That is version 4, as the original server of RTCMultiConnection has served it for years (it takes the newest): its pages work
//! with it as with version 2, it is kept up, smaller, ES5 all the same, and our own pages hold it already.

use std::borrow::Cow;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::apprtc::message;
use crate::client::Client;

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// What every page says. It may ask for the screen, the camera and the microphone; frames of others may not.
const HARDENING: [(HeaderName, &str); 2] = [
    // The address of a page can hold a code.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), display-capture=(self), fullscreen=(self), geolocation=(), microphone=(self), payment=(), \
         screen-wake-lock=(self), usb=()",
    ),
];

/// Serves the pages as the fallback of everything else. It wants the [`Client`] in each request's extensions.
pub fn router() -> Router {
    hardened(Router::new().fallback(serve))
}

/// The call page: `/r` to begin with, `/r/ROOM` for a room. It is the same page, which reads the room from its address and
/// learns from its join that the room is full.
pub fn calls() -> Router {
    hardened(Router::new().route("/r", get(call)).route("/r/{room}", get(call_in)))
}

/// Serves the Socket.IO client, where pages look for it.
pub fn socket_io_client() -> Router {
    hardened(Router::new().route("/socket.io/socket.io.js", get(serve)))
}

fn hardened(router: Router) -> Router {
    let router = router.layer(CompressionLayer::new());
    HARDENING.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

async fn call(uri: Uri, Extension(client): Extension<Client>, headers: HeaderMap) -> Response {
    page("call.html", &uri, &client, &headers)
}

async fn call_in(Path(room): Path<String>, uri: Uri, Extension(client): Extension<Client>, headers: HeaderMap) -> Response {
    match Dist::get("call.html").filter(|_| message::is_id(&room)) {
        Some(file) => {
            let tag = format!("\"{}-{room}\"", hash(&file));
            let body = in_room(&file.data, &room).into_bytes();
            let mut response = respond("call.html", body.into(), &tag, &headers);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(&client));
            response
        }
        None => not_found(&uri),
    }
}

/// The call page with its room's address, for whoever reads it without running it. A room's id needs no escapes.
fn in_room(page: &[u8], room: &str) -> String {
    let link = format!("<link rel=\"canonical\" href=\"/r/{room}\" /></head>");
    String::from_utf8_lossy(page).replacen("</head>", &link, 1)
}

async fn serve(uri: Uri, Extension(client): Extension<Client>, headers: HeaderMap) -> Response {
    let path = uri.path().trim_matches('/');
    let name = match path {
        "" => "index.html".to_owned(),
        page if !page.contains('.') && !page.contains('/') => format!("{page}.html"),
        file => file.to_owned(),
    };
    page(&name, &uri, &client, &headers)
}

fn page(name: &str, uri: &Uri, client: &Client, headers: &HeaderMap) -> Response {
    // A dot begins what the build keeps for itself.
    match Dist::get(name).filter(|_| !name.starts_with('.')) {
        Some(file) => {
            let tag = format!("\"{}\"", hash(&file));
            let mut response = respond(name, file.data, &tag, headers);
            if name.ends_with(".html") {
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(client));
            }
            response
        }
        None => not_found(uri),
    }
}

/// Scripts, styles and pictures are files of ours, nothing is inline. WebSockets are named, since 'self' is not about them in
/// old engines; both kinds, since a proxy that is not trusted may have ended TLS.
fn content_security_policy(client: &Client) -> HeaderValue {
    // No policy can name an IPv6 address.
    let sockets = client
        .host
        .as_ref()
        .filter(|host| !host.contains('['))
        .map(|host| format!(" ws://{host} wss://{host}"))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    );
    HeaderValue::from_str(&policy).expect("a checked host is header text")
}

fn hash(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes")))
}

fn respond(name: &str, body: Cow<'static, [u8]>, tag: &str, headers: &HeaderMap) -> Response {
    // Names under assets/ contain their content's hash.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let head = [(header::ETAG, tag), (header::CACHE_CONTROL, cache)];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let mut response = (head, body).into_response();
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
        "Nothing here. The TV opens /tv, whoever shares a screen opens /cast, and a call begins at /r.\n"
    };
    (StatusCode::NOT_FOUND, text).into_response()
}
