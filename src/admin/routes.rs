//! The routes under `/admin`.

use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_http::set_header::SetResponseHeaderLayer;

use super::answer::{self, JsonBody, Refusal};
use super::handle::Admin;
use super::{acts, api, cookie, csrf, events, gate, session};
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;
use crate::http::layered::Layered;
use crate::http::problem::CodedProblem;
use crate::http::{path_slashes, response_bytes};
use crate::users::credentials::unix_seconds;

/// Bytes of a request's body.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Headers of every answer under `/admin`.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
/// What a browser may do with an answer of the API that somebody opens as a page.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Middleware in front of all other routes: `routes` are those of [`Admin::router`]. A client whose network may not use `/admin` gets the
/// answer of a path that does not exist, and POST and DELETE of `/admin/CLIENT` stay Collider's, in its room `admin`.
pub async fn first(State((admin, routes)): State<(Admin, Router)>, request: Request, next: Next) -> Response {
    if !is_admin(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let is_allowed = gate::is_allowed(&parts, &admin.0.parts.config);
    let request = Request::from_parts(parts, body);
    if is_allowed { routes.oneshot(request).await.into_response() } else { next.run(request).await }
}

fn is_admin(method: &Method, path: &str) -> bool {
    let plain = path_slashes::plain(path);
    let rest = plain.as_deref().unwrap_or(path).strip_prefix("/admin");
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    rest.is_some_and(|rest| rest.starts_with("/api/") || (is_read && (rest.is_empty() || rest.starts_with('/'))))
}

impl Admin {
    /// The API, and for all other paths the `page`.
    pub fn router(&self, page: Router) -> Router {
        let needs_session = Router::new()
            .route("/admin/api/sign-out", post(sign_out))
            .merge(api::routes())
            .merge(acts::routes())
            .route_layer(middleware::from_fn_with_state(self.clone(), session::require));
        let api = Router::new()
            .route("/admin/api/state", get(state))
            .route("/admin/api/sign-in", post(sign_in))
            .route("/admin/api/{*unknown}", get(unknown).post(unknown))
            .merge(needs_session)
            .method_not_allowed_fallback(|| async { CodedProblem::method_not_allowed() })
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(middleware::from_fn(response_bytes::count))
            .layer(overriding(header::CONTENT_SECURITY_POLICY, API_POLICY))
            .with_state(self.clone());
        // An event stream counts its bytes itself.
        let events = Router::new()
            .route("/admin/api/events", get(events::stream))
            .route_layer(middleware::from_fn_with_state(self.clone(), session::require))
            .with_state(self.clone());
        let routes = Router::new().merge(api).merge(events).fallback_service(page);
        let with_headers = |routes: Layered, (name, value)| routes.behind(overriding(name, value));
        let routes = HEADERS.into_iter().fold(Layered::new(routes), with_headers);
        routes.behind(middleware::from_fn(path_slashes::remove)).into_router()
    }
}

fn overriding(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

#[derive(Deserialize)]
struct SignInBody {
    name: String,
    password: String,
}

async fn state(State(admin): State<Admin>, Extension(client): Extension<ClientInfo>, headers: axum::http::HeaderMap) -> Response {
    let parts = &admin.0.parts;
    let why = gate::why_off(&client, &parts.config, parts.directory.has_operator());
    let is_own = csrf::may_read(&headers, &client, parts.public_origin.as_deref());
    let signed_in = admin.0.signed_in(&headers).filter(|_| why.is_none() && is_own);
    let (operator, csrf) = signed_in.map(|signed_in| (signed_in.operator, signed_in.csrf.expose().clone())).unzip();
    answer::json(&json!({
        "available": why.is_none(),
        "why": why,
        "secureUrl": (parts.secure_url)(client.host.as_deref()),
        "operator": operator,
        "csrf": csrf,
        "version": env!("CARGO_PKG_VERSION"),
        "now": unix_seconds(std::time::SystemTime::now()),
    }))
}

async fn sign_in(
    State(admin): State<Admin>,
    Extension(client): Extension<ClientInfo>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    admin.open_to(&parts)?;
    if !csrf::is_own_page(&parts.headers, &client, admin.0.parts.public_origin.as_deref()) || !csrf::is_json(&parts.headers) {
        return Err(Refusal::Csrf);
    }
    let headers = parts.headers.clone();
    let JsonBody(SignInBody { name, password }) = JsonBody::from_request(Request::from_parts(parts, body), &()).await?;
    let directory = &admin.0.parts.directory;
    let stamp = admin.0.sign_ins.check(directory, &name, Secret::new(password), client.address).await?;
    tracing::info!(operator = name, address = %client.address, "operator signed in");
    let session = admin.0.begin_session(&name, stamp, &headers);
    let body = Json(json!({"operator": name, "csrf": session.csrf.expose()}));
    Ok(([(header::SET_COOKIE, cookie::set(&session.token, &admin.0.parts.base))], body).into_response())
}

async fn sign_out(
    State(admin): State<Admin>,
    Extension(client): Extension<ClientInfo>,
    Extension(signed_in): Extension<super::sessions::SignedIn>,
    headers: axum::http::HeaderMap,
) -> Response {
    admin.0.end_sessions(&headers);
    tracing::info!(operator = signed_in.operator, address = %client.address, "operator signed out");
    let removed = [(header::SET_COOKIE, cookie::removed(&admin.0.parts.base))];
    (removed, Json::<Value>(json!({"done": "You are signed out."}))).into_response()
}

async fn unknown() -> Refusal {
    Refusal::NotFound("The API has no such path.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_has_its_own_paths_and_collider_keeps_its_room() {
        for (method, path) in [
            (Method::GET, "/admin"),
            (Method::GET, "//admin//"),
            (Method::HEAD, "/admin/casts"),
            (Method::GET, "/admin/api/state"),
            (Method::POST, "/admin/api/sign-in"),
            (Method::POST, "//admin//api//sign-in/"),
            (Method::OPTIONS, "/admin/api/end"),
            (Method::DELETE, "/admin/api/end"),
        ] {
            assert!(is_admin(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/adminx"),
            (Method::GET, "/ADMIN"),
            (Method::GET, "/x/admin"),
            (Method::GET, "/admin.html"),
            (Method::POST, "/admin"),
            (Method::POST, "/admin/client"),
            (Method::DELETE, "/admin/api"),
        ] {
            assert!(!is_admin(&method, path), "{method} {path}");
        }
    }
}
