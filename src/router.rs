//! All routes on the HTTP port, and what every request passes through.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use tower::util::option_layer;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::apprtc::collider;
use crate::apprtc::hub::Hub;
use crate::client::{self, Client};
use crate::config::{CorsOrigins, HttpConfig};
use crate::http::{LostUpgrades, Redirect};
use crate::{http, pages, socket_io};

/// Everything on the HTTP port: Socket.IO, the REST API and the room server as `api`, Collider and the pages for the rest.
/// `own`: the origin people type, where it is set. `https`: where HTTPS is, and whether for good, see [`hsts`].
pub fn router(
    signaling: socket_io::Server,
    api: Router,
    hub: Hub,
    config: &HttpConfig,
    own: Option<String>,
    https: Option<(Redirect, bool)>,
    lost_upgrades: Arc<LostUpgrades>,
) -> Router {
    let mut cors = config.cors.clone();
    if let CorsOrigins::Only(list) = &mut cors {
        list.extend(own);
    }
    let allowed = Arc::new(cors.clone());
    let routes = api.merge(pages::calls()).merge(collider::on_the_main_port(hub, pages::router()));
    let behind = signaling.in_front_of(routes);
    let (redirect, hsts) = https.unzip();
    let redirect = redirect.map(|redirect| middleware::from_fn_with_state(Arc::new(redirect), http::redirect));
    // Socket.IO takes all paths that begin like this one.
    pages::socket_io_client()
        .fallback_service(behind)
        .layer(middleware::from_fn_with_state(allowed, refuse_foreign_origins))
        .layer(cors_layer(&cors))
        .layer(middleware::from_fn_with_state(lost_upgrades, http::refuse_lost_upgrades))
        .layer(option_layer(redirect))
        .layer(middleware::from_fn_with_state(trusted(config), client::identify))
        .layer(option_layer(self::hsts(hsts.unwrap_or(false))))
}

/// Collider on a port of its own.
pub fn collider(hub: Hub, config: &HttpConfig, lost_upgrades: Arc<LostUpgrades>) -> Router {
    collider::on_a_port_of_its_own(hub)
        .layer(middleware::from_fn_with_state(lost_upgrades, http::refuse_lost_upgrades))
        .layer(middleware::from_fn_with_state(trusted(config), client::identify))
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
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if let (CorsOrigins::Only(list), Some(origin)) = (&*allowed, origin)
        && request.uri().path().starts_with("/socket.io")
    {
        let host = request.extensions().get::<Client>().and_then(|client| client.host.as_deref());
        let own = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        if !own && !list.iter().any(|listed| listed == origin) {
            return (StatusCode::FORBIDDEN, "This origin is not in CASTWAY_CORS_ORIGINS.\n").into_response();
        }
    }
    next.run(request).await
}

fn cors_layer(origins: &CorsOrigins) -> CorsLayer {
    let origin = match origins {
        CorsOrigins::Any => AllowOrigin::mirror_request(),
        CorsOrigins::Only(list) => AllowOrigin::list(list.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::DELETE]))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(AllowCredentials::predicate(|_, request| is_engine_io_3(request)))
}

/// Clients of socket.io 2 send every request "with credentials" and read the answer only if that is allowed. Nothing here
/// sets or reads a cookie, and newer clients do not ask, so it is allowed to those alone.
fn is_engine_io_3(request: &Parts) -> bool {
    let version_3 = request.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "EIO=3"));
    version_3 && request.uri.path().starts_with("/socket.io")
}
