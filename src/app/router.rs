//! All routes on the HTTP port, and what every request passes through.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use tower::ServiceExt as _;
use tower::util::option_layer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::cors;
use crate::apprtc::collider;
use crate::apprtc::gateway::Gateway as CallGateway;
use crate::config::HttpConfig;
use crate::http::client_info;
use crate::http::pages;
use crate::http::redirect::{self, Redirect};
use crate::http::request_bodies;
use crate::http::websocket_handshake::{self, BrokenHandshakeLog};
use crate::limits::unfinished::UnfinishedMessages;
use crate::socketio;

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
    let allowed = cors::allowed_origins(&config.cors, own);
    let routes = collider::on_the_main_port(&calls, api.merge(pages::calls()), pages::router());
    let collider = routes.clone();
    let behind = signaling.in_front_of(routes);
    let (redirect, hsts) = https.unzip();
    let redirect = redirect.map(|redirect| middleware::from_fn_with_state(Arc::new(redirect), redirect::redirect));
    // Socket.IO takes all other paths that begin like these.
    pages::socket_io_clients()
        .fallback_service(behind)
        .layer(middleware::from_fn_with_state(Arc::clone(&allowed), cors::refuse_foreign_origins))
        .layer(middleware::from_fn_with_state(collider, past_socket_io))
        .layer(middleware::from_fn_with_state(shared.broken_handshakes, websocket_handshake::refuse_broken))
        .layer(option_layer(redirect))
        .layer(middleware::from_fn_with_state(shared.unfinished, request_bodies::limit))
        // Around whatever answers: what has no CORS headers is hidden from pages of other origins, errors and redirects, too.
        .layer(cors::layer(&allowed))
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
