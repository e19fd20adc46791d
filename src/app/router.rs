//! All routes on the HTTP ports, and the layers that every request passes.

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
use crate::admin::{self, Admin};
use crate::apprtc::collider;
use crate::apprtc::gateway::AppRtcGateway;
use crate::config::HttpConfig;
use crate::http::banned_clients;
use crate::http::base_path;
use crate::http::client_info;
use crate::http::layered::Layered;
use crate::http::pages::Pages;
use crate::http::proxy_sightings::{self, ProxySightings};
use crate::http::redirect::{self, Redirect};
use crate::http::request_bodies;
use crate::http::websocket_handshake::{self, BrokenHandshakeLog};
use crate::limits::bans::BannedAddresses;
use crate::limits::unfinished::UnfinishedMessages;
use crate::socketio;

/// The limits and checks of requests that all ports share.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestGuards {
    pub(super) broken_handshakes: Arc<BrokenHandshakeLog>,
    pub(super) unfinished: UnfinishedMessages,
    pub(super) proxies: ProxySightings,
    pub(super) banned: BannedAddresses,
}

/// The services on the HTTP ports. Each one gets the requests that the ones before it don't serve.
pub(super) struct MainPort {
    pub(super) signaling: socketio::Server,
    /// The REST API and AppRTC's room server.
    pub(super) api: Router,
    /// The gateway of Collider.
    pub(super) apprtc: AppRtcGateway,
    /// The origin that people type, if it is set.
    pub(super) own_origin: Option<String>,
    pub(super) https: Option<HttpsPort>,
    pub(super) admin: Admin,
}

/// The HTTPS port.
pub(super) struct HttpsPort {
    pub(super) redirect: Redirect,
    /// Whether HTTPS stays available, so that browsers may be told to use nothing else.
    pub(super) permanent: bool,
}

/// All routes on the HTTP ports. A request passes the layers from the last one to the first: the base path, HSTS, the client's address, `/admin`, CORS, bans, body
/// limits, the redirect to HTTPS, the check of WebSocket handshakes, Collider's paths under `/socket.io`, and the origin's check.
pub(super) fn main_port(services: MainPort, config: &HttpConfig, guards: RequestGuards) -> Router {
    let MainPort { signaling, api, apprtc, own_origin, https, admin } = services;
    let allowed = cors::allowed_origins(&config.cors, own_origin);
    let pages = Pages::new(config.base_path.clone(), config.frame_ancestors.clone());
    let routes = collider::on_the_main_port(&apprtc, api.merge(pages.calls()), pages.router());
    let collider = routes.clone();
    let permanent = https.as_ref().is_some_and(|https| https.permanent);
    let redirect = https.map(|https| middleware::from_fn_with_state(Arc::new(https.redirect), redirect::redirect));
    let operators = Layered::new(admin.router(pages.admin()))
        .behind(option_layer(redirect.clone()))
        .behind(middleware::from_fn_with_state(guards.unfinished.clone(), request_bodies::limit))
        .behind(middleware::from_fn_with_state(guards.banned.clone(), banned_clients::refuse))
        .into_router();
    // Socket.IO serves all other paths that begin like those of its clients.
    let routes = pages.socket_io_clients().fallback_service(signaling.in_front_of(routes));
    let routes = Layered::new(routes)
        .behind(middleware::from_fn_with_state(Arc::clone(&allowed), cors::refuse_foreign_origins))
        .behind(middleware::from_fn_with_state(collider, past_socket_io))
        .behind(middleware::from_fn_with_state(guards.broken_handshakes, websocket_handshake::refuse_broken))
        .behind(option_layer(redirect))
        .behind(middleware::from_fn_with_state(guards.unfinished, request_bodies::limit))
        .behind(middleware::from_fn_with_state(guards.banned, banned_clients::refuse))
        // This layer is outside of everything that responds: without CORS headers, pages of other origins could not read errors
        // and redirects.
        .behind(cors::layer(&allowed))
        // No page of another origin may read anything of an operator, so that these routes are outside of that layer.
        .behind(middleware::from_fn_with_state((admin, operators), admin::routes::first))
        .behind(middleware::from_fn_with_state(trusted(config), client_info::identify))
        .behind(middleware::from_fn_with_state((guards.proxies, trusted(config)), proxy_sightings::note))
        .behind(option_layer(hsts(permanent)));
    if config.base_path.is_empty() {
        return routes.into_router();
    }
    routes.behind(middleware::from_fn_with_state(Arc::new(config.base_path.clone()), base_path::remove)).into_router()
}

/// Collider on a port of its own.
pub(super) fn collider_port(apprtc: AppRtcGateway, config: &HttpConfig, guards: RequestGuards) -> Router {
    Layered::new(collider::on_a_port_of_its_own(apprtc))
        .behind(middleware::from_fn_with_state(guards.broken_handshakes, websocket_handshake::refuse_broken))
        .behind(middleware::from_fn_with_state(guards.unfinished, request_bodies::limit))
        .behind(middleware::from_fn_with_state(guards.banned, banned_clients::refuse))
        .behind(middleware::from_fn_with_state(trusted(config), client_info::identify))
        .into_router()
}

fn trusted(config: &HttpConfig) -> Arc<[IpNet]> {
    Arc::from(config.trusted_proxies.as_slice())
}

/// Makes browsers use only HTTPS for a year. Browsers can't be told to stop earlier, so this is only for certificates that
/// Castway renews.
fn hsts(on: bool) -> Option<SetResponseHeaderLayer<HeaderValue>> {
    let year = HeaderValue::from_static("max-age=31536000");
    on.then(|| SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, year))
}

/// Socket.IO takes every path that begins with `/socket.io`, but Engine.IO's requests have the path `/socket.io/` and name their
/// protocol in the query. POST and DELETE of other paths go to Collider, for rooms with such names.
async fn past_socket_io(State(collider): State<Router>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let other = path.starts_with("/socket.io") && !matches!(path, "/socket.io" | "/socket.io/");
    let engine_io = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("EIO=")));
    if other && !engine_io && matches!(*request.method(), Method::POST | Method::DELETE) {
        return collider.oneshot(request).await.into_response();
    }
    next.run(request).await
}
