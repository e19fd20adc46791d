//! Decides which pages of other origins may call this server from a browser (CORS), and read its answers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use url::Url;

use crate::config::{AllowedOrigin, CorsOrigins};
use crate::http::client_info::{ClientInfo, Scheme};
use crate::http::path_slashes;
use crate::socketio;
use crate::socketio::jsonp;

const NO_JSONP: &str = "JSONP polling is refused where CASTWAY_CORS_ORIGINS lists origins, since scripts don't say whose page \
                        they are of. Leave forceJSONP out.\n";

/// The configured origins, and `own`, the origin that people type, if it is set.
pub(super) fn allowed_origins(configured: &CorsOrigins, own: Option<String>) -> Arc<CorsOrigins> {
    let mut allowed = configured.clone();
    if let CorsOrigins::Only(list) = &mut allowed {
        list.extend(own.map(AllowedOrigin::Exact));
    }
    Arc::new(allowed)
}

/// Refuses requests to Socket.IO from pages whose origin is not allowed. Browsers don't ask before they open a WebSocket to another
/// origin, so the CORS headers alone would not keep such pages out. Native clients send no Origin header and may connect.
pub(super) async fn refuse_foreign_origins(State(allowed): State<Arc<CorsOrigins>>, request: Request, next: Next) -> Response {
    if *allowed == CorsOrigins::Any || !socketio::serves(request.uri().path()) {
        return next.run(request).await;
    }
    let client = request.extensions().get::<ClientInfo>();
    let refusal = match request.headers().get(header::ORIGIN) {
        Some(origin) if !may_call(&allowed, origin, client) => "This origin is not in CASTWAY_CORS_ORIGINS.\n",
        _ if jsonp::is_asked(request.uri()) => NO_JSONP,
        _ => return next.run(request).await,
    };
    (StatusCode::FORBIDDEN, refusal).into_response()
}

/// The headers by which browsers let a page of another origin read an answer. Errors have these headers too, or no page could read
/// them.
///
/// Under `/socket.io` credentials are allowed: clients of socket.io 2 send every request with credentials, newer ones where a page
/// sets `withCredentials`, and neither could read an answer otherwise. So **no cookie of this server may ever be valid for
/// `/socket.io`** (RFC 6265 §5.1.4: its path must be neither `/` nor `/socket.io`): any page that is allowed, by default any page at
/// all, could act with it. `tests/interop/cors.test.mjs` checks the answer of every route. Elsewhere no credentials are allowed.
pub(super) fn layer(origins: &Arc<CorsOrigins>) -> CorsLayer {
    let allows = |origins: &Arc<CorsOrigins>| {
        let origins = Arc::clone(origins);
        move |origin: &HeaderValue, request: &Parts| {
            // No page of another origin may read metrics, even in a browser whose address may read them.
            let path = request.uri.path();
            path_slashes::plain(path).as_deref().unwrap_or(path) != "/metrics"
                && may_call(&origins, origin, request.extensions.get::<ClientInfo>())
        }
    };
    let with_credentials = allows(origins);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allows(origins)))
        .allow_methods(AllowMethods::list([Method::GET, Method::POST, Method::PUT, Method::DELETE]))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(AllowCredentials::predicate(move |origin, request| {
            socketio::serves(request.uri.path()) && with_credentials(origin, request)
        }))
}

/// Whether pages of `origin`, a header's value, may call this server by the scheme and host of `client`'s request. The server's own
/// pages always may.
fn may_call(allowed: &CorsOrigins, origin: &HeaderValue, client: Option<&ClientInfo>) -> bool {
    if *allowed == CorsOrigins::Any {
        return true;
    }
    let Ok(origin) = origin.to_str() else { return false };
    allowed.lists(origin) || client.is_some_and(|client| is_own(&origin.to_ascii_lowercase(), client))
}

/// Whether `origin` has the scheme and host of the request. If the request came over HTTP, HTTPS is also the server's own scheme:
/// a proxy that is not trusted may have terminated TLS.
fn is_own(origin: &str, client: &ClientInfo) -> bool {
    let scheme = match (client.scheme, origin.split_once("://")) {
        (Scheme::Http | Scheme::Https, Some(("https", _))) => Scheme::Https,
        (Scheme::Http, Some(("http", _))) => Scheme::Http,
        _ => return false,
    };
    let own = client.host.as_deref().and_then(|host| Url::parse(&format!("{}://{host}", scheme.as_str())).ok());
    own.is_some_and(|own| own.origin().ascii_serialization() == origin)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::{Config, Settings};

    fn read(value: &str) -> Result<CorsOrigins, String> {
        let settings = Settings { cors_origins: Some(value.into()), ..Settings::default() };
        Config::read(&settings).map(|config| config.http.cors).map_err(|problems| problems.to_string())
    }

    fn asked(scheme: Scheme, host: &str) -> ClientInfo {
        ClientInfo { address: IpAddr::V4(Ipv4Addr::LOCALHOST), scheme, host: Some(host.to_owned()) }
    }

    #[test]
    fn the_servers_own_pages_are_never_foreign() {
        let list = read("https://other.example").unwrap();
        let is_own = |origin: &str, client: ClientInfo| may_call(&list, &HeaderValue::from_str(origin).unwrap(), Some(&client));
        for (origin, scheme, host) in [
            ("http://cast.example.org:8080", Scheme::Http, "cast.example.org:8080"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org:443"),
            ("http://cast.example.org", Scheme::Http, "cast.example.org:80"),
            ("https://cast.example.org", Scheme::Http, "cast.example.org"),
            ("https://cast.example.org", Scheme::Http, "cast.example.org:443"),
            ("http://[2001:db8::7]:8080", Scheme::Http, "[2001:db8:0::7]:8080"),
        ] {
            assert!(is_own(origin, asked(scheme, host)), "{origin} at {host}");
        }
        for (origin, scheme, host) in [
            ("http://cast.example.org", Scheme::Https, "cast.example.org"),
            ("http://cast.example.org", Scheme::Http, "cast.example.org:443"),
            ("https://cast.example.org", Scheme::Https, "cast.example.org:8443"),
            ("https://cast.example.org:8443", Scheme::Https, "cast.example.org"),
            ("https://cast.example.org.evil.example", Scheme::Https, "cast.example.org"),
            ("capacitor://cast.example.org", Scheme::Http, "cast.example.org"),
            ("null", Scheme::Http, "null"),
        ] {
            assert!(!is_own(origin, asked(scheme, host)), "{origin} at {host}");
        }
    }
}
