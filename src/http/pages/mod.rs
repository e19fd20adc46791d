//! The pages, embedded in the binary: `/`, `/tv`, `/cast`, the call page at `/r`, and the files that they load. Also the Socket.IO
//! clients that other front ends load from their server: version 4 at the path of the original server, and version 2 under
//! `/socket.io/v2/`.
//!
//! `files` has the built files and sends them, `html` changes pages, `policy` has their security headers, `not_found` answers all other
//! requests.
//!
//! Inputs: the built files, settings, and requests with a [`ClientInfo`]. Outputs: files with their headers. Invariants: the build
//! compresses each file with brotli and gzip, and only those are embedded; for a client that accepts neither, a file is unpacked once and
//! kept. A page that the base path changes is compressed once. So no response costs compression, and a response that waits for its client
//! holds no copy of the file.

mod files;
mod html;
mod not_found;
mod policy;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::{ExtensionRejection, PathRejection};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tower_http::set_header::SetResponseHeaderLayer;

use self::files::{Coding, FILES, File, SOCKET_IO_FOLDER};
use crate::apprtc::room_name::RoomName;
use crate::config::{BasePath, FrameAncestors};
use crate::http::client_info::ClientInfo;
use crate::http::page_request;

/// The page for addresses that lead nowhere.
const NOT_FOUND: &str = "404.html";
/// The page of operators, which only [`Pages::admin`] serves.
const ADMIN: &str = "admin.html";
/// Pages on which a click may cost something; they are in no frame, whatever `CASTWAY_FRAME_ANCESTORS` says.
const NEVER_FRAMED: [&str; 2] = [ADMIN, "check.html"];

/// The pages as one server shows them.
#[derive(Debug, Clone, Default)]
pub struct Pages(Arc<PagesOfServer>);

#[derive(Debug, Default)]
struct PagesOfServer {
    base: BasePath,
    ancestors: FrameAncestors,
    /// The pages that the base path has changed, by their files' names.
    changed: HashMap<String, File>,
}

impl Pages {
    pub fn new(base: BasePath, ancestors: FrameAncestors) -> Self {
        let pages = FILES.iter().filter(|(name, _)| name.ends_with(".html") && !base.is_empty());
        let changed = pages.map(|(name, file)| {
            let page = html::under(&base, &String::from_utf8_lossy(&file.plain()));
            (name.clone(), File::packed(&page))
        });
        Self(Arc::new(PagesOfServer { changed: changed.collect(), base, ancestors }))
    }

    /// The pages, for requests that no other route serves. Requests need a [`ClientInfo`] in their extensions.
    pub fn router(&self) -> Router {
        with_security_headers(Router::new().fallback(serve).with_state(self.clone()))
    }

    /// The call page, at `/r` without a room and at `/r/ROOM`. The page reads the room from its URL.
    pub fn calls(&self) -> Router {
        with_security_headers(Router::new().route("/r", get(call)).route("/r/{room}", get(call_in)).with_state(self.clone()))
    }

    /// The page of operators, whatever the path. Whoever mounts it decides who gets it.
    pub fn admin(&self) -> Router {
        let routes = Router::new().fallback(admin).with_state(self.clone());
        policy::ADMIN_HEADERS.into_iter().fold(routes, |routes, (name, value)| {
            routes.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
        })
    }

    /// The Socket.IO clients and their source maps. Socket.IO serves all other paths with the same prefix.
    pub fn socket_io_clients(&self) -> Router {
        let names = FILES.keys().filter(|name| name.starts_with(SOCKET_IO_FOLDER));
        let routes = names.fold(Router::new(), |router, name| router.route(&format!("/{name}"), get(client)));
        with_security_headers(routes.with_state(self.clone()))
    }

    fn file(&self, name: &str) -> Option<&File> {
        self.0.changed.get(name).or_else(|| FILES.get(name))
    }

    fn with_policy(&self, name: &str, mut response: Response, client: &ClientInfo) -> Response {
        let headers = response.headers_mut();
        if NEVER_FRAMED.contains(&name) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy::content_security(client, "'none'"));
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        } else {
            let policy = policy::content_security(client, &self.0.ancestors.to_string());
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    /// A file that has no route of its own.
    fn served(&self, name: &str) -> Option<&File> {
        self.file(name).filter(|_| !name.starts_with(SOCKET_IO_FOLDER) && ![NOT_FOUND, ADMIN].contains(&name))
    }

    fn page(&self, name: &str, asked: &Asked) -> Response {
        match self.served(name) {
            Some(file) if name.ends_with(".html") => self.with_policy(name, file.answer(name, &asked.headers), &asked.client),
            Some(file) => file.answer(name, &asked.headers),
            None => self.not_found(asked),
        }
    }

    fn not_found(&self, asked: &Asked) -> Response {
        let Asked { method, uri, client, headers } = asked;
        let page = self.file(NOT_FOUND).filter(|_| !not_found::is_of_socket_io(uri));
        match page.filter(|_| page_request::is_page(method, uri.path(), headers)) {
            Some(page) => self.with_policy(NOT_FOUND, page.answer_instead(NOT_FOUND, StatusCode::NOT_FOUND, headers), client),
            None => not_found::answer(uri, &self.0.base),
        }
    }

    /// 308 to a path of this server. Browsers ask again each time, since the base path may change.
    fn redirect(&self, path: &str, uri: &Uri) -> Response {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let Ok(location) = HeaderValue::from_str(&format!("{}{query}", self.0.base.at(path))) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let head = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (StatusCode::PERMANENT_REDIRECT, head).into_response()
    }
}

/// What handlers need of a request.
struct Asked {
    method: Method,
    uri: Uri,
    client: ClientInfo,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ExtensionRejection> {
        let Extension(client) = Extension::from_request_parts(parts, state).await?;
        Ok(Self { method: parts.method.clone(), uri: parts.uri.clone(), client, headers: parts.headers.clone() })
    }
}

/// Whether the pages have a file at a path.
pub(super) fn has_file(path: &str) -> bool {
    FILES.contains_key(&file_name(path))
}

fn file_name(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "index.html".to_owned(),
        page if !page.contains('.') && !page.contains('/') => format!("{page}.html"),
        file => file.to_owned(),
    }
}

fn with_security_headers(router: Router) -> Router {
    policy::SECURITY_HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
    })
}

async fn call(State(pages): State<Pages>, asked: Asked) -> Response {
    pages.page("call.html", &asked)
}

async fn call_in(State(pages): State<Pages>, room: Result<Path<String>, PathRejection>, asked: Asked) -> Response {
    let Ok(Path(written)) = room else { return pages.not_found(&asked) };
    let (Some(name), Some(file)) = (RoomName::read(&written), pages.file("call.html")) else { return pages.not_found(&asked) };
    let path = format!("/r/{}", name.in_link());
    if name.is_plain() && name.id() != written {
        return pages.redirect(&path, &asked.uri);
    }
    // The body is specific to the room. It is not compressed, so that no request costs compression.
    let page = html::with_canonical(&String::from_utf8_lossy(&file.plain()), &pages.0.base.at(&path));
    let tag = format!("\"{}-{}\"", file.hash(), name.id());
    pages.with_policy("call.html", files::respond("call.html", page.into(), Coding::Plain, &tag, &asked.headers), &asked.client)
}

async fn admin(State(pages): State<Pages>, asked: Asked) -> Response {
    match pages.file(ADMIN) {
        Some(page) if matches!(asked.method, Method::GET | Method::HEAD) => {
            page.answer_instead(ADMIN, StatusCode::OK, &asked.headers)
        }
        Some(_) => read_only(),
        None => pages.not_found(&asked),
    }
}

async fn serve(State(pages): State<Pages>, asked: Asked) -> Response {
    let name = file_name(asked.uri.path());
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    match not_found::meant(asked.uri.path()).filter(|_| reads) {
        Some(path) if !FILES.contains_key(&name) => pages.redirect(&path, &asked.uri),
        _ if !reads && pages.served(&name).is_some() => read_only(),
        _ => pages.page(&name, &asked),
    }
}

/// For requests that would change a file.
fn read_only() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response()
}

async fn client(State(pages): State<Pages>, asked: Asked) -> Response {
    let name = asked.uri.path().trim_start_matches('/');
    FILES.get(name).map_or_else(|| pages.not_found(&asked), |file| file.answer(name, &asked.headers))
}

#[cfg(test)]
mod tests;
