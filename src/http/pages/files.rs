//! The built files: which there are, and how they are sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::{LazyLock, OnceLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[include = "*.br"]
#[include = "*.gz"]
struct Dist;

/// The files by their path without the leading slash.
pub(super) static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    Dist::iter()
        .filter_map(|name| Some((name.strip_suffix(".gz")?.to_owned(), File::embedded(name.strip_suffix(".gz")?)?)))
        .collect()
});

/// The folder of the Socket.IO clients, which have their own routes.
pub(super) const SOCKET_IO_FOLDER: &str = "socket.io/";

#[derive(Debug)]
pub(super) struct File {
    gzip: Bytes,
    /// Only of embedded files, which the build has packed.
    brotli: Option<Bytes>,
    /// The uncompressed file, from its first request on.
    plain: OnceLock<Bytes>,
    hash: String,
}

/// The content coding of a response (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
    Plain,
}

impl File {
    fn embedded(name: &str) -> Option<Self> {
        let (gzip, brotli) = (Dist::get(&format!("{name}.gz"))?, Dist::get(&format!("{name}.br"))?);
        let hash = shortened(gzip.metadata.sha256_hash());
        let bytes = |file: rust_embed::EmbeddedFile| match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        };
        Some(Self { gzip: bytes(gzip), brotli: Some(bytes(brotli)), plain: OnceLock::new(), hash })
    }

    /// A file that isn't embedded as it is. This compresses it.
    pub(super) fn packed(content: &str) -> Self {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(content.as_bytes()).expect("memory takes it");
        let gzip = packed.finish().expect("memory takes it").into();
        Self { gzip, brotli: None, plain: OnceLock::new(), hash: shortened(Sha256::digest(content).into()) }
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn plain(&self) -> Bytes {
        self.plain.get_or_init(|| unpacked(&self.gzip)).clone()
    }

    /// The smallest form that the client accepts (RFC 9110 §12.5.3).
    pub(super) fn body(&self, headers: &HeaderMap) -> (Bytes, Coding) {
        match &self.brotli {
            Some(brotli) if accepts(headers, "br") => (brotli.clone(), Coding::Brotli),
            _ if accepts(headers, "gzip") => (self.gzip.clone(), Coding::Gzip),
            _ => (self.plain(), Coding::Plain),
        }
    }

    pub(super) fn answer(&self, name: &str, headers: &HeaderMap) -> Response {
        let (body, coding) = self.body(headers);
        // Each coding is a representation with its own tag (RFC 9110 §8.8.3).
        let tag = match coding {
            Coding::Brotli => format!("\"{}-br\"", self.hash),
            Coding::Gzip => format!("\"{}-gz\"", self.hash),
            Coding::Plain => format!("\"{}\"", self.hash),
        };
        respond(name, body, coding, &tag, headers)
    }

    /// The answer to a request for something else: it has no tag, and is not cached.
    pub(super) fn answer_instead(&self, name: &str, status: StatusCode, headers: &HeaderMap) -> Response {
        let (body, coding) = self.body(headers);
        let head = [(header::CACHE_CONTROL, "no-store"), (header::VARY, "accept, accept-encoding")];
        with_coding((status, head, [(header::CONTENT_TYPE, media_type(name))], body).into_response(), coding)
    }
}

fn shortened(hash: [u8; 32]) -> String {
    format!("{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes")))
}

fn unpacked(gzip: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut plain).expect("the build or this server has packed it");
    plain.into()
}

impl Coding {
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

/// A file, or 304 for a client that knows it.
pub(super) fn respond(name: &str, body: Bytes, coding: Coding, tag: &str, headers: &HeaderMap) -> Response {
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
    with_coding((head, [(header::CONTENT_TYPE, media_type(name))], body).into_response(), coding)
}

fn with_coding(mut response: Response, coding: Coding) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn a_client_gets_a_coding_that_it_accepts() {
        let file = &FILES["index.html"];
        let chosen = |lines: &[&str]| file.body(&headers(header::ACCEPT_ENCODING, lines)).1;
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
            let brotli = file.brotli.as_ref().expect(name);
            assert!(brotli.len() < file.gzip.len() && file.gzip.len() < file.plain().len(), "{name}");
        }
    }

    #[test]
    fn an_answer_holds_no_copy_of_its_file() {
        let (embedded, packed) = (&FILES["socket.io/socket.io.js.map"], File::packed("<html></html>"));
        for (file, accepted) in [(embedded, "br"), (embedded, "gzip"), (embedded, ""), (&packed, "br, gzip"), (&packed, "")] {
            let headers = headers(header::ACCEPT_ENCODING, &[accepted]);
            assert_eq!(file.body(&headers).0.as_ptr(), file.body(&headers).0.as_ptr(), "{accepted}");
        }
    }

    #[test]
    fn a_packed_file_unpacks() {
        let file = File::packed("<html></html>");
        assert_eq!(file.plain(), "<html></html>");
        let accepts = |coding| file.body(&headers(header::ACCEPT_ENCODING, &[coding])).1;
        assert_eq!((accepts("br"), accepts("br, gzip")), (Coding::Plain, Coding::Gzip));
        assert_ne!(file.hash(), File::packed("<html> </html>").hash());
    }
}
