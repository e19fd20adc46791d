//! The built pages, embedded in the binary: `/`, `/tv`, `/cast`, the call page at `/r`, and what they load; and the Socket.IO
//! clients that other pages load from their server: version 4 where the original server of that version has it, and version 2
//! under `/socket.io/v2/`.
//!
//! The build compresses each file, as brotli and as gzip, and those are what is embedded. A client that takes neither gets the
//! plain file, which is unpacked once and then kept. So whatever a client asks for, an answer costs no compression, and one that
//! waits for its client holds no copy of the file.

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

/// By the name that the file has where it is served.
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    Dist::iter()
        .filter_map(|name| Some((name.strip_suffix(".gz")?.to_owned(), File::embedded(name.strip_suffix(".gz")?)?)))
        .collect()
});

/// The folder of the Socket.IO clients, which have routes of their own.
const CLIENTS: &str = "socket.io/";

struct File {
    gzip: Bytes,
    brotli: Bytes,
    /// Unpacked when it is first asked for.
    plain: OnceLock<Bytes>,
    hash: String,
}

/// How the body of an answer is coded (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Plain,
}

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

/// Serves the pages as the fallback of everything else. It wants the [`ClientInfo`] in each request's extensions.
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
    let names = FILES.keys().filter(|name| name.starts_with(CLIENTS));
    hardened(names.fold(Router::new(), |router, name| router.route(&format!("/{name}"), get(client))))
}

fn hardened(router: Router) -> Router {
    HARDENING.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

async fn call(uri: Uri, Extension(client): Extension<ClientInfo>, headers: HeaderMap) -> Response {
    page("call.html", &uri, &client, &headers)
}

async fn call_in(Path(room): Path<String>, uri: Uri, Extension(client): Extension<ClientInfo>, headers: HeaderMap) -> Response {
    match FILES.get("call.html").filter(|_| wire::is_id(&room)) {
        Some(file) => {
            // Made for this room, so it goes as it is: nobody has us compress.
            let body = in_room(&file.body(Coding::Plain), &room);
            let mut response = respond("call.html", body.into(), Coding::Plain, &format!("\"{}-{room}\"", file.hash), &headers);
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
    match FILES.get(name).filter(|_| !name.starts_with(CLIENTS)) {
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

/// Scripts, styles and pictures are files of ours, nothing is inline. WebSockets are named, since 'self' is not about them in
/// old engines; both kinds, since a proxy that is not trusted may have ended TLS.
fn content_security_policy(client: &ClientInfo) -> HeaderValue {
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

async fn client(uri: Uri, headers: HeaderMap) -> Response {
    let name = uri.path().trim_start_matches('/');
    FILES.get(name).map_or_else(|| not_found(&uri), |file| file.answer(name, &headers))
}

impl File {
    fn embedded(name: &str) -> Option<Self> {
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
        let coding = Coding::chosen(headers);
        // Each coding is a representation of its own, with a tag of its own (RFC 9110 §8.8.3).
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
    /// The smallest that the client takes (RFC 9110 §12.5.3).
    fn chosen(headers: &HeaderMap) -> Self {
        if takes(headers, "br") {
            Self::Brotli
        } else if takes(headers, "gzip") {
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

fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let weight = |wanted: &str| {
        items(headers, &header::ACCEPT_ENCODING).find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            coding.trim().eq_ignore_ascii_case(wanted).then_some(weight.unwrap_or(0.0))
        })
    };
    weight(coding).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
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

fn respond(name: &str, body: Bytes, coding: Coding, tag: &str, headers: &HeaderMap) -> Response {
    let cache = if name.starts_with("assets/") {
        // Their names contain their content's hash.
        "public, max-age=31536000, immutable"
    } else if name.starts_with(CLIENTS) {
        // As the original server.
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
    if name.starts_with(CLIENTS) {
        // As the original server.
        let kind =
            if name.ends_with(".map") { "application/json; charset=utf-8" } else { "application/javascript; charset=utf-8" };
        return HeaderValue::from_static(kind);
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    HeaderValue::from_str(&kind).expect("media types are header text")
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
    fn a_coding_goes_to_those_who_take_it() {
        let chosen = |lines: &[&str]| Coding::chosen(&headers(header::ACCEPT_ENCODING, lines));
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
