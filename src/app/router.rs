//! All routes on the HTTP port, and what every request passes through.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use tower::ServiceExt as _;
use tower::util::option_layer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::apprtc::collider;
use crate::apprtc::gateway::Gateway as CallGateway;
use crate::config::{AllowedOrigin, CorsOrigins, HttpConfig};
use crate::http::client_info::{self, ClientInfo};
use crate::http::pages;
use crate::http::path_slashes;
use crate::http::redirect::{self, Redirect};
use crate::http::request_bodies;
use crate::http::websocket_handshake::{self, BrokenHandshakeLog};
use crate::limits::unfinished::UnfinishedMessages;
use crate::socketio;
use crate::socketio::jsonp;

/// What the ports have in common.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    pub broken_handshakes: Arc<BrokenHandshakeLog>,
    pub unfinished: UnfinishedMessages,
}

/// Everything on the HTTP port: Socket.IO, the REST API and the room server as `api`, Collider and the pages for the rest.
/// `own`: the origin people type, where it is set. `https`: where HTTPS is, and whether for good, see [`hsts`].
pub fn router(
    signaling: socketio::Server,
    api: Router,
    calls: CallGateway,
    config: &HttpConfig,
    own: Option<String>,
    https: Option<(Redirect, bool)>,
    shared: Shared,
) -> Router {
    let mut cors = config.cors.clone();
    if let CorsOrigins::Only(list) = &mut cors {
        list.extend(own.map(AllowedOrigin::Exact));
    }
    let allowed = Arc::new(cors);
    let routes = collider::on_the_main_port(&calls, api.merge(pages::calls()), pages::router());
    let collider = routes.clone();
    let behind = signaling.in_front_of(routes);
    let (redirect, hsts) = https.unzip();
    let redirect = redirect.map(|redirect| middleware::from_fn_with_state(Arc::new(redirect), redirect::redirect));
    // Socket.IO takes all other paths that begin like these.
    pages::socket_io_clients()
        .fallback_service(behind)
        .layer(middleware::from_fn_with_state(Arc::clone(&allowed), refuse_foreign_origins))
        .layer(middleware::from_fn_with_state(collider, past_socket_io))
        .layer(middleware::from_fn_with_state(shared.broken_handshakes, websocket_handshake::refuse_broken))
        .layer(option_layer(redirect))
        .layer(middleware::from_fn_with_state(shared.unfinished, request_bodies::limit))
        // Around whatever answers: what has no CORS headers is hidden from pages of other origins, errors and redirects, too.
        .layer(cors_layer(&allowed))
        .layer(middleware::from_fn_with_state(trusted(config), client_info::identify))
        .layer(option_layer(self::hsts(hsts.unwrap_or(false))))
}

/// Collider on a port of its own.
pub fn collider(calls: CallGateway, config: &HttpConfig, shared: Shared) -> Router {
    collider::on_a_port_of_its_own(calls)
        .layer(middleware::from_fn_with_state(shared.broken_handshakes, websocket_handshake::refuse_broken))
        .layer(middleware::from_fn_with_state(shared.unfinished, request_bodies::limit))
        .layer(middleware::from_fn_with_state(trusted(config), client_info::identify))
}

fn trusted(config: &HttpConfig) -> Arc<[IpNet]> {
    Arc::from(config.trusted_proxies.as_slice())
}

/// Has browsers keep to HTTPS for a year. Only for certificates that renew themselves: there is no way back before that.
pub fn hsts(on: bool) -> Option<SetResponseHeaderLayer<HeaderValue>> {
    let year = HeaderValue::from_static("max-age=31536000");
    on.then(|| SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, year))
}

/// Browsers ask nobody before they open a WebSocket to another origin, so an allow-list is kept here for Socket.IO. Native
/// clients send no Origin and are not what it is about.
async fn refuse_foreign_origins(State(allowed): State<Arc<CorsOrigins>>, request: Request, next: Next) -> Response {
    if *allowed == CorsOrigins::Any || !socketio::serves(request.uri().path()) {
        return next.run(request).await;
    }
    let client = request.extensions().get::<ClientInfo>();
    let refusal = match request.headers().get(header::ORIGIN) {
        Some(origin) if !allowed.allow(origin, client) => "This origin is not in CASTWAY_CORS_ORIGINS.\n",
        _ if jsonp::is_asked(request.uri()) => NO_JSONP,
        _ => return next.run(request).await,
    };
    (StatusCode::FORBIDDEN, refusal).into_response()
}

/// Socket.IO takes every path that begins with `/socket.io`, but Engine.IO's requests have the path `/socket.io/` and name their
/// protocol in the query. POST and DELETE of others are Collider's, for rooms of such names.
async fn past_socket_io(State(collider): State<Router>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let other = path.starts_with("/socket.io") && !matches!(path, "/socket.io" | "/socket.io/");
    let engine_io = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("EIO=")));
    if other && !engine_io && matches!(*request.method(), Method::POST | Method::DELETE) {
        return collider.oneshot(request).await.into_response();
    }
    next.run(request).await
}

const NO_JSONP: &str = "JSONP polling is refused where CASTWAY_CORS_ORIGINS lists origins, since scripts don't say whose page \
                        they are of. Leave forceJSONP out.\n";

/// What browsers are told before they let a page of another origin read an answer; errors tell it, too, or nobody could read them.
///
/// Under `/socket.io` credentials are allowed: clients of socket.io 2 send every request with them, newer ones where a page says
/// `withCredentials`, and neither reads an answer otherwise. So **no cookie of this server may ever be valid for `/socket.io`**
/// (RFC 6265 §5.1.4: its path must be neither `/` nor that): any page that is allowed, by default every page there is, could
/// act with it. `tests/interop/cors.test.mjs` looks at the answer of every route. Elsewhere no credentials are allowed.
fn cors_layer(origins: &Arc<CorsOrigins>) -> CorsLayer {
    let allows = |origins: &Arc<CorsOrigins>| {
        let origins = Arc::clone(origins);
        move |origin: &HeaderValue, request: &Parts| {
            // Not even browsers whose address may see it show this to a page of another origin.
            let path = request.uri.path();
            path_slashes::plain(path).as_deref().unwrap_or(path) != "/metrics"
                && origins.allow(origin, request.extensions.get::<ClientInfo>())
        }
    };
    let with_credentials = allows(origins);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allows(origins)))
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::DELETE]))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(AllowCredentials::predicate(move |origin, request| {
            socketio::serves(request.uri.path()) && with_credentials(origin, request)
        }))
}
