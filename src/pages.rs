//! The built pages, embedded in the binary: `/`, `/tv`, `/cast`, the call page at `/r`, and what they load; and the Socket.IO
//! clients that other pages load from their server.
//!
//! These are version 4 where the original server of that version has it, and version 2 under `/socket.io/v2/`. They are embedded as
//! gzip, which is what browsers take: their maps are ten times larger than all our pages, and nobody should make us compress them.

use std::borrow::Cow;
use std::io::Read as _;

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

/// What packed files are called here and not where they are served.
const PACKED: &str = ".gz";

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

/// Serves the Socket.IO clients and their maps, where pages look for them. Whatever else begins like that is Socket.IO's.
pub fn socket_io_clients() -> Router {
    let paths = Dist::iter().filter_map(|name| Some(format!("/{}", name.strip_suffix(PACKED)?)));
    hardened(paths.fold(Router::new(), |router, path| router.route(&path, get(client))))
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

/// As the original server answers.
async fn client(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let Some(file) = Dist::get(&format!("{path}{PACKED}")) else { return not_found(&uri) };
    let kind = if path.ends_with(".map") { "application/json; charset=utf-8" } else { "application/javascript; charset=utf-8" };
    let tag = format!("\"{}\"", hash(&file));
    let head = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, "public, max-age=0"), (header::VARY, "accept-encoding")];
    if is_known(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let kind = [(header::CONTENT_TYPE, kind)];
    if takes_gzip(&headers) {
        return (head, kind, [(header::CONTENT_ENCODING, "gzip")], file.data).into_response();
    }
    let mut plain = Vec::new();
    match flate2::read::GzDecoder::new(&*file.data).read_to_end(&mut plain) {
        Ok(_) => (head, kind, plain).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("This file is damaged: {error}.\n")).into_response(),
    }
}

/// RFC 9110 §12.5.3.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        items(headers, &header::ACCEPT_ENCODING).find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            coding.trim().eq_ignore_ascii_case(wanted).then_some(weight.unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

/// Whether the client has what bears this tag (RFC 9110 §13.1.2); proxies that compress make tags weak.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, &header::IF_NONE_MATCH).any(|seen| seen == "*" || seen.strip_prefix("W/").unwrap_or(seen) == tag)
}

/// The items of a header that is a list.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn hash(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes")))
}

fn respond(name: &str, body: Cow<'static, [u8]>, tag: &str, headers: &HeaderMap) -> Response {
    // Names under assets/ contain their content's hash.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let head = [(header::ETAG, tag), (header::CACHE_CONTROL, cache)];
    if is_known(headers, tag) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        let takes = |lines: &[&str]| takes_gzip(&headers(header::ACCEPT_ENCODING, lines));
        for lines in
            [&["gzip"][..], &["gzip, deflate, br"], &["br;q=1.0, GZIP;q=0.5"], &["deflate", "gzip"], &["*"], &["identity;q=0, *"]]
        {
            assert!(takes(lines), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["identity"], &["gzip;q=0"], &["gzip; q=0.0, *"], &["*;q=0"], &["br"], &["gzip;q=x"]] {
            assert!(!takes(lines), "{lines:?}");
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        let knows = |lines: &[&str]| is_known(&headers(header::IF_NONE_MATCH, lines), "\"a1\"");
        for lines in [&["\"a1\""][..], &["W/\"a1\""], &["\"b2\", W/\"a1\""], &["\"b2\"", "\"a1\""], &["*"]] {
            assert!(knows(lines), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["\"b2\""], &["a1"], &["W/a1"]] {
            assert!(!knows(lines), "{lines:?}");
        }
    }

    #[test]
    fn socket_io_clients_are_packed() {
        let packed: Vec<_> = Dist::iter().filter(|name| name.ends_with(PACKED)).collect();
        assert!(packed.len() >= 12 && packed.iter().all(|name| name.starts_with("socket.io/")), "{packed:?}");
    }
}
