//! The pages, embedded in the binary: `/`, `/tv`, `/cast`, the call page at `/r`, and the files that they load. Also the Socket.IO
//! clients that other front ends load from their server: version 4 at the path of the original server, and version 2 under
//! `/socket.io/v2/`.
//!
//! Inputs: the built files, and requests with a [`ClientInfo`]. Outputs: files with their headers. Invariants: the build compresses each
//! file with brotli and gzip, and only those are embedded; for a client that accepts neither, a file is unpacked once and kept. So no
//! response costs compression, and a response that waits for its client holds no copy of the file.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use rust_embed::RustEmbed;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::apprtc::wire;
use crate::http::client_info::ClientInfo;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[include = "*.br"]
#[include = "*.gz"]
struct Dist;

/// The files by their path without the leading slash.
static FILES: LazyLock<HashMap<String, EmbeddedFile>> = LazyLock::new(|| {
    Dist::iter()
        .filter_map(|name| Some((name.strip_suffix(".gz")?.to_owned(), EmbeddedFile::load(name.strip_suffix(".gz")?)?)))
        .collect()
});

/// The folder of the Socket.IO clients, which have their own routes.
const SOCKET_IO_FOLDER: &str = "socket.io/";

struct EmbeddedFile {
    gzip: Bytes,
    brotli: Bytes,
    /// The uncompressed file, from its first request on.
    plain: OnceLock<Bytes>,
    hash: String,
}

/// The content coding of a response (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Plain,
}

/// Headers of every page. The page may use the screen, the camera and the microphone; frames of other origins may not.
const SECURITY_HEADERS: [(HeaderName, &str); 2] = [
    // The URL of a page can contain a code.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), display-capture=(self), fullscreen=(self), geolocation=(), microphone=(self), payment=(), \
         screen-wake-lock=(self), usb=()",
    ),
];

/// The pages, for requests that no other route serves. Requests need a [`ClientInfo`] in their extensions.
pub fn router() -> Router {
    with_security_headers(Router::new().fallback(serve))
}

/// The call page, at `/r` without a room and at `/r/ROOM`. The page reads the room from its URL.
pub fn calls() -> Router {
    with_security_headers(Router::new().route("/r", get(call)).route("/r/{room}", get(call_in)))
}

/// The Socket.IO clients and their source maps. Socket.IO serves all other paths with the same prefix.
pub fn socket_io_clients() -> Router {
    let names = FILES.keys().filter(|name| name.starts_with(SOCKET_IO_FOLDER));
    with_security_headers(names.fold(Router::new(), |router, name| router.route(&format!("/{name}"), get(client))))
}

fn with_security_headers(router: Router) -> Router {
    SECURITY_HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

async fn call(uri: Uri, Extension(client): Extension<ClientInfo>, headers: HeaderMap) -> Response {
    page("call.html", &uri, &client, &headers)
}

async fn call_in(Path(room): Path<String>, uri: Uri, Extension(client): Extension<ClientInfo>, headers: HeaderMap) -> Response {
    match FILES.get("call.html").filter(|_| wire::is_id(&room)) {
        Some(file) => {
            // The body is specific to the room. It is not compressed, so that no request costs compression.
            let body = in_room(&file.body(Coding::Plain), &room);
            let mut response = respond("call.html", body.into(), Coding::Plain, &format!("\"{}-{room}\"", file.hash), &headers);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(&client));
            response
        }
        None => not_found(&uri),
    }
}

/// The call page with the canonical URL of its room, for link previews. A room's id needs no escapes.
fn in_room(page: &[u8], room: &str) -> String {
    let link = format!("<link rel=\"canonical\" href=\"/r/{room}\" /></head>");
    String::from_utf8_lossy(page).replacen("</head>", &link, 1)
}

async fn serve(uri: Uri, Extension(client): Extension<ClientInfo>, headers: HeaderMap) -> Response {
    let path = uri.path().trim_matches('/');
    let name = match path {
        "" => "index.html".to_owned(),
        page if !page.contains('.') && !page.contains('/') => format!("{page}.html"),
        file => file.to_owned(),
    };
    page(&name, &uri, &client, &headers)
}

fn page(name: &str, uri: &Uri, client: &ClientInfo, headers: &HeaderMap) -> Response {
    match FILES.get(name).filter(|_| !name.starts_with(SOCKET_IO_FOLDER)) {
        Some(file) => {
            let mut response = file.answer(name, headers);
            if name.ends_with(".html") {
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(client));
            }
            response
        }
        None => not_found(uri),
    }
}

/// Scripts, styles and images are files of this server, and nothing is inline. The policy names WebSocket URLs because 'self' does
/// not include them in old engines, and names `ws:` and `wss:` because an untrusted proxy may have terminated TLS.
fn content_security_policy(client: &ClientInfo) -> HeaderValue {
    // A policy has no syntax for IPv6 addresses.
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

async fn client(uri: Uri, headers: HeaderMap) -> Response {
    let name = uri.path().trim_start_matches('/');
    FILES.get(name).map_or_else(|| not_found(&uri), |file| file.answer(name, &headers))
}

impl EmbeddedFile {
    fn load(name: &str) -> Option<Self> {
        let (gzip, brotli) = (Dist::get(&format!("{name}.gz"))?, Dist::get(&format!("{name}.br"))?);
        let hash = gzip.metadata.sha256_hash();
        let hash = format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes")));
        let bytes = |file: rust_embed::EmbeddedFile| match file.data {
            std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
            std::borrow::Cow::Owned(data) => data.into(),
        };
        Some(Self { gzip: bytes(gzip), brotli: bytes(brotli), plain: OnceLock::new(), hash })
    }

    fn body(&self, coding: Coding) -> Bytes {
        match coding {
            Coding::Brotli => self.brotli.clone(),
            Coding::Gzip => self.gzip.clone(),
            Coding::Plain => self.plain.get_or_init(|| unpacked(&self.gzip)).clone(),
        }
    }

    fn answer(&self, name: &str, headers: &HeaderMap) -> Response {
        let coding = Coding::negotiate(headers);
        // Each coding is a representation with its own tag (RFC 9110 §8.8.3).
        let tag = match coding {
            Coding::Brotli => format!("\"{}-br\"", self.hash),
            Coding::Gzip => format!("\"{}-gz\"", self.hash),
            Coding::Plain => format!("\"{}\"", self.hash),
        };
        respond(name, self.body(coding), coding, &tag, headers)
    }
}

fn unpacked(gzip: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gzip).read_to_end(&mut plain).expect("the build has packed it");
    plain.into()
}

impl Coding {
    /// The smallest coding that the client accepts (RFC 9110 §12.5.3).
    fn negotiate(headers: &HeaderMap) -> Self {
        if accepts(headers, "br") {
            Self::Brotli
        } else if accepts(headers, "gzip") {
            Self::Gzip
        } else {
            Self::Plain
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Plain => None,
        }
    }
}

fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let weight = |wanted: &str| {
        items(headers, &header::ACCEPT_ENCODING).find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            coding.trim().eq_ignore_ascii_case(wanted).then_some(weight.unwrap_or(0.0))
        })
    };
    weight(coding).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

/// Whether the client has the representation with this tag (RFC 9110 §13.1.2). The comparison is weak, since proxies that compress
/// make tags weak.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, &header::IF_NONE_MATCH).any(|seen| seen == "*" || seen.strip_prefix("W/").unwrap_or(seen) == tag)
}

/// The items of a comma-separated header.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn respond(name: &str, body: Bytes, coding: Coding, tag: &str, headers: &HeaderMap) -> Response {
    let cache = if name.starts_with("assets/") {
        // The names of these files contain a hash of their content.
        "public, max-age=31536000, immutable"
    } else if name.starts_with(SOCKET_IO_FOLDER) {
        // The original server sends the same header.
        "public, max-age=0"
    } else {
        "no-cache"
    };
    let head = [(header::ETAG, tag), (header::CACHE_CONTROL, cache), (header::VARY, "accept-encoding")];
    if is_known(headers, tag) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let mut response = (head, [(header::CONTENT_TYPE, media_type(name))], body).into_response();
    if let Some(coding) = coding.name() {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn media_type(name: &str) -> HeaderValue {
    if name.starts_with(SOCKET_IO_FOLDER) {
        // The original server sends the same types.
        let kind =
            if name.ends_with(".map") { "application/json; charset=utf-8" } else { "application/javascript; charset=utf-8" };
        return HeaderValue::from_static(kind);
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    HeaderValue::from_str(&kind).expect("media types are header text")
}

fn not_found(uri: &Uri) -> Response {
    // A frequent error of Socket.IO front ends: a namespace used as a path, or the other way round.
    let socket_io = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("EIO=")));
    let text = if socket_io {
        "Socket.IO is served at the path /socket.io/ (the client's default) with the namespaces / and /rtc: \
         use io('https://this-host/rtc'), and leave the option `path` alone.\n"
    } else {
        "Not found. Open /tv on the TV, /cast to share a screen, or /r for a call.\n"
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
    fn a_client_gets_a_coding_that_it_accepts() {
        let chosen = |lines: &[&str]| Coding::negotiate(&headers(header::ACCEPT_ENCODING, lines));
        for lines in [&["gzip, deflate, br"][..], &["br"], &["gzip", "BR;q=0.5"], &["*"], &["identity;q=0, *"], &["gzip;q=0, *"]]
        {
            assert_eq!(chosen(lines), Coding::Brotli, "{lines:?}");
        }
        for lines in [&["gzip"][..], &["gzip, deflate"], &["GZIP;q=0.5"], &["deflate", "gzip"], &["br;q=0, *"], &["br;q=0,gzip"]]
        {
            assert_eq!(chosen(lines), Coding::Gzip, "{lines:?}");
        }
        for lines in [&[][..], &[""], &["identity"], &["gzip;q=0"], &["*;q=0"], &["gzip;q=x"], &["br; q=0.0, gzip; q=0, *"]] {
            assert_eq!(chosen(lines), Coding::Plain, "{lines:?}");
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
    fn every_file_is_embedded_in_both_codings_and_unpacks() {
        assert_eq!(FILES.len() * 2, Dist::iter().count());
        for name in ["index.html", "tv.html", "cast.html", "call.html", "socket.io/socket.io.js", "socket.io/v2/socket.io.js.map"]
        {
            let file = FILES.get(name).expect(name);
            assert!(file.brotli.len() < file.gzip.len() && file.gzip.len() < file.body(Coding::Plain).len(), "{name}");
        }
    }

    #[test]
    fn an_answer_holds_no_copy_of_its_file() {
        let file = &FILES["socket.io/socket.io.js.map"];
        for coding in [Coding::Brotli, Coding::Gzip, Coding::Plain] {
            assert_eq!(file.body(coding).as_ptr(), file.body(coding).as_ptr(), "{coding:?}");
        }
    }
}
