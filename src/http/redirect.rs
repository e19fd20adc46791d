//! Redirects HTTP requests to HTTPS when browsers trust the certificate.
//!
//! An untrusted certificate, such as a self-signed one, redirects nothing: a TV has no way to accept it, the TV's page works without
//! HTTPS, and the caster's page explains the browser's warning before it opens the HTTPS address. Some requests are never
//! redirected: those of this machine, those that came to a proxy over TLS, the paths that monitors and certificate authorities request,
//! and requests for anything but pages from the networks that a setting names.
//!
//! Inputs: a request with its [`ConnectionInfo`] and [`ClientInfo`], and the current certificate. Output: 308 or the next handler. The
//! redirect has a body for clients that don't follow it: a page for browsers, and an error of the API's form for programs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use ipnet::IpNet;
use url::Url;

use crate::addresses::interfaces;
use crate::config::without_last_slash;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::ConnectionInfo;
use crate::http::own_address;
use crate::http::page_request;
use crate::http::path_slashes;
use crate::http::problem::Problem;
use crate::limits::log_interval::LogInterval;
use crate::tls::Certificates;

/// Paths that monitors request over HTTP, whatever the certificate is.
pub const NEVER_REDIRECTED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
const ACME_CHALLENGES: &str = "/.well-known/acme-challenge/";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// How often the log says that a proxy on this machine may be unknown.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The HTTPS port and its certificates, and who needs no redirect.
#[derive(Debug)]
pub struct Redirect {
    certificates: Certificates,
    port: u16,
    /// The configured public URL.
    public_url: Option<Url>,
    /// Networks whose clients are redirected to HTTPS for pages only.
    plain_api: Vec<IpNet>,
    start: Instant,
    unknown_proxy_log: LogInterval,
}

/// Middleware behind [`crate::http::client_info::identify`] and in front of all handlers.
pub async fn redirect(State(redirect): State<Arc<Redirect>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match redirect.target(&parts) {
        Some(target) => {
            redirect.log_unknown_proxy(&parts);
            redirection(&parts, &target)
        }
        None => next.run(Request::from_parts(parts, body)).await,
    }
}

/// The answer, whose body names the URL: not every client follows a redirect, and some only if the method is GET.
fn redirection(parts: &Parts, target: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(target) else { return StatusCode::BAD_REQUEST.into_response() };
    // Browsers must not cache the redirect: the next certificate may be untrusted.
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, NO_STORE)];
    if is_page(parts) {
        let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'")];
        return (StatusCode::PERMANENT_REDIRECT, headers, policy, Html(page(target))).into_response();
    }
    // A query can have an API key, which must not come into the logs of clients.
    let url = target.split('?').next().unwrap_or(target);
    let message =
        format!("Requests need HTTPS here: send this one to {url}. The operator can let networks use HTTP (CASTWAY_PLAIN_API).");
    let problem = Problem::new(StatusCode::PERMANENT_REDIRECT, "HttpsRequired", message).url(url);
    (headers, problem).into_response()
}

fn page(target: &str) -> String {
    let escape = |text: String, (plain, escaped): (char, &str)| text.replace(plain, escaped);
    let escapes = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    let url = escapes.into_iter().fold(target.to_owned(), escape);
    format!("<!DOCTYPE html><meta charset=\"utf-8\"><title>HTTPS</title><p>This page is at <a href=\"{url}\">{url}</a>.</p>\n")
}

fn is_page(parts: &Parts) -> bool {
    page_request::is_page(&parts.method, &plain_path(parts), &parts.headers)
}

/// The path as handlers see it.
fn plain_path(parts: &Parts) -> String {
    path_slashes::plain(parts.uri.path()).unwrap_or_else(|| parts.uri.path().to_owned())
}

/// Whether a proxy says that its client used HTTPS. Nobody gains anything by a lie: it only leaves the liar with HTTP. Without this a
/// proxy on this machine that `CASTWAY_TRUSTED_PROXIES` lacks would be redirected to itself for ever.
fn claims_https(headers: &HeaderMap) -> bool {
    let lines = |name| headers.get_all(name).iter().filter_map(|line: &HeaderValue| line.to_str().ok());
    let last = lines("x-forwarded-proto").next_back().and_then(|line| line.rsplit(',').next());
    let by_standard =
        lines("forwarded").next_back().is_some_and(|line| line.to_ascii_lowercase().replace('"', "").contains("proto=https"));
    last.is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https")) || by_standard
}

impl Redirect {
    #[must_use]
    pub fn new(certificates: Certificates, port: u16, public_url: Option<Url>, plain_api: Vec<IpNet>) -> Self {
        let unknown_proxy_log = LogInterval::new(LOG_INTERVAL);
        Self { certificates, port, public_url, plain_api, start: Instant::now(), unknown_proxy_log }
    }

    fn target(&self, parts: &Parts) -> Option<String> {
        let connection = parts.extensions.get::<ConnectionInfo>()?;
        if connection.tls || connection.forwarded || own_address::is_this_machine(parts) || is_by_tls_proxy(connection, parts) {
            return None;
        }
        let path = plain_path(parts);
        if NEVER_REDIRECTED.contains(&path.as_str()) || path.starts_with(ACME_CHALLENGES) {
            return None;
        }
        if !self.plain_api.is_empty() && !is_page(parts) && own_address::is_in(parts, &self.plain_api) {
            return None;
        }
        let certificate = self.certificates.current();
        if !certificate.is_trusted() {
            return None;
        }
        let base = match &self.public_url {
            Some(url) if url.scheme() == "https" => without_last_slash(url),
            // The operator has configured a public URL without TLS.
            Some(_) => return None,
            None => {
                let host = parts.extensions.get::<ClientInfo>()?.host.as_deref()?;
                let asked = own_address::parsed_host(host)?;
                let host = certificate.host_for(asked.clone()).unwrap_or(asked);
                interfaces::origin("https", &host, self.port)
            }
        };
        let rest = parts.uri.path_and_query().map_or("/", |rest| rest.as_str());
        Some(format!("{base}{rest}"))
    }

    /// Names the setting to an operator whose proxy or tunnel on this machine gets redirects.
    fn log_unknown_proxy(&self, parts: &Parts) {
        let is_local = parts.extensions.get::<ConnectionInfo>().is_some_and(is_loopback);
        if is_local && self.unknown_proxy_log.is_due(self.start.elapsed()) {
            tracing::info!(
                "a request without TLS came from a loopback address and for another host than localhost, and was redirected to HTTPS; if a \
                 proxy on this machine terminates TLS, name its address in CASTWAY_TRUSTED_PROXIES"
            );
        }
    }
}

/// Whether a proxy on this machine that no setting names says that its client used HTTPS.
fn is_by_tls_proxy(connection: &ConnectionInfo, parts: &Parts) -> bool {
    is_loopback(connection) && claims_https(&parts.headers)
}

fn is_loopback(connection: &ConnectionInfo) -> bool {
    connection.client.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use axum::body::to_bytes;
    use axum::extract::ConnectInfo;

    use super::*;
    use crate::config::CertificateSource;
    use crate::http::client_info::Scheme;
    use crate::tls::ServerHosts;

    const STRANGER: ConnectionInfo = ConnectionInfo {
        client: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 1),
        tls: false,
        forwarded: false,
        local: Some(LOCAL),
    };
    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn redirect_of(trusted: Option<bool>, public_url: Option<&str>, plain_api: &[&str]) -> (Redirect, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["cast.example.org".to_owned()]).unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let source = CertificateSource::Files { cert, key, trusted };
        let certificates = Certificates::open(&source, folder.path(), ServerHosts::default()).unwrap();
        let plain_api = plain_api.iter().map(|network| network.parse().unwrap()).collect();
        (Redirect::new(certificates, 8443, public_url.map(|url| url.parse().unwrap()), plain_api), folder)
    }

    fn parts(connection: ConnectionInfo, host: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let address = connection.client.ip();
        let client = ClientInfo { address, scheme: Scheme::Http, host: Some(host.to_owned()) };
        let request = Request::builder().method(method).uri(path).extension(client).extension(connection);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.extension(ConnectInfo(connection.client)).body(()).unwrap().into_parts().0
    }

    fn target(redirect: &Redirect, host: &str, path: &str) -> Option<String> {
        redirect.target(&parts(STRANGER, host, "GET", path, &[]))
    }

    #[test]
    fn with_a_certificate_that_is_trusted_everything_is_redirected_to_its_name() {
        let (redirect, _folder) = redirect_of(Some(true), None, &[]);
        let https = |path: &str| Some(format!("https://cast.example.org:8443{path}"));
        assert_eq!(target(&redirect, "cast.example.org:8080", "/tv?x=1"), https("/tv?x=1"));
        assert_eq!(target(&redirect, "192.0.2.1", "/"), https("/"));
        assert_eq!(target(&redirect, "192.0.2.1", "//join/x/?a=b"), https("//join/x/?a=b"));
        for path in ["/healthz", "/healthz/", "//readyz", "/metrics", "/.well-known/acme-challenge/x"] {
            assert_eq!(target(&redirect, "cast.example.org", path), None, "{path}");
        }
        let usual = Redirect { port: 443, ..redirect };
        assert_eq!(target(&usual, "cast.example.org", "/a"), Some("https://cast.example.org/a".into()));
    }

    #[test]
    fn a_self_signed_certificate_redirects_nothing() {
        let (in_files, _folder) = redirect_of(None, None, &[]);
        let (distrusted, _folder) = redirect_of(Some(false), None, &[]);
        let folder = tempfile::tempdir().unwrap();
        let own = Certificates::open(&CertificateSource::SelfSigned, folder.path(), ServerHosts::default()).unwrap();
        for redirect in [Redirect::new(own, 8443, None, Vec::new()), in_files, distrusted] {
            for path in ["/", "/cast", "/tv", "/socket.io/?EIO=4", "/turn"] {
                assert_eq!(target(&redirect, "192.0.2.1", path), None, "{path}");
            }
        }
    }

    #[test]
    fn this_machine_a_proxy_and_those_with_tls_are_left_alone() {
        let (redirect, _folder) = redirect_of(Some(true), None, &[]);
        let at = |connection, host| redirect.target(&parts(connection, host, "GET", "/", &[]));
        assert!(at(STRANGER, "cast.example.org").is_some());
        assert_eq!(at(ConnectionInfo { tls: true, ..STRANGER }, "cast.example.org"), None);
        assert_eq!(at(ConnectionInfo { forwarded: true, ..STRANGER }, "cast.example.org"), None);
        let here = ConnectionInfo { client: "127.0.0.1:1".parse().unwrap(), ..STRANGER };
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080"] {
            assert_eq!(at(here, host), None, "{host}");
            assert!(at(STRANGER, host).is_some(), "{host}");
        }
    }

    #[test]
    fn a_tunnel_on_this_machine_is_not_this_machine() {
        let (redirect, _folder) = redirect_of(Some(true), None, &["127.0.0.0/8", "10.1.0.0/16"]);
        let tunnel = ConnectionInfo { client: "127.0.0.1:1".parse().unwrap(), ..STRANGER };
        let at = |host, headers: &[(&str, &str)]| redirect.target(&parts(tunnel, host, "GET", "/turn", headers));
        assert!(at("cast.example.org", &[]).is_some());
        assert!(at("localhost", &[("x-forwarded-for", "203.0.113.9")]).is_some());
        assert!(at("localhost", &[("via", "1.1 proxy")]).is_some());
        // A loop would be worse: the client has used TLS already.
        for https in [("x-forwarded-proto", "http, HTTPS"), ("forwarded", "for=203.0.113.9;proto=\"https\"")] {
            assert_eq!(at("cast.example.org", &[https]), None, "{https:?}");
        }
        for http in [("x-forwarded-proto", "https, http"), ("forwarded", "for=203.0.113.9;proto=http")] {
            assert!(at("cast.example.org", &[http]).is_some(), "{http:?}");
        }
        let stranger = parts(STRANGER, "cast.example.org", "GET", "/turn", &[("x-forwarded-proto", "https")]);
        assert!(redirect.target(&stranger).is_some());
    }

    #[test]
    fn the_api_is_plain_for_the_networks_that_the_setting_names() {
        let (redirect, _folder) = redirect_of(Some(true), None, &["10.1.0.0/16"]);
        let inside = ConnectionInfo { client: "10.1.2.3:1".parse().unwrap(), ..STRANGER };
        let html = ("accept", "text/html,application/xhtml+xml");
        let at = |connection, method, path, headers: &[(&str, &str)]| {
            redirect.target(&parts(connection, "cast.example.org", method, path, headers)).is_some()
        };
        for (method, path) in [
            ("GET", "/turn?username=a"),
            ("POST", "/turn"),
            ("GET", "/v1alpha/iceconfig?key=x"),
            ("POST", "/v1alpha/turn"),
            ("GET", "/api/info"),
            ("POST", "//join/x/"),
            ("GET", "/params"),
            ("GET", "/ws"),
            ("GET", "/socket.io/?EIO=4"),
            ("DELETE", "/x/y"),
        ] {
            assert!(!at(inside, method, path, &[]) && !at(inside, method, path, &[html]), "{path}");
            assert!(at(STRANGER, method, path, &[]), "{path}");
            assert!(at(inside, method, path, &[("x-forwarded-for", "203.0.113.9")]), "a proxy that nobody trusts: {path}");
        }
        assert!(at(inside, "GET", "/cast", &[html]), "pages need HTTPS");
    }

    #[tokio::test]
    async fn the_body_names_the_url_and_no_key() {
        let at = |method, path: &str, headers: &[(&str, &str)]| parts(STRANGER, "cast.example.org", method, path, headers);
        let target = "https://cast.example.org/turn?key=secret&a=<\"'>";
        let response = redirection(&at("POST", "/turn", &[]), target);
        assert_eq!((response.status(), &response.headers()[header::CACHE_CONTROL]), (StatusCode::PERMANENT_REDIRECT, &NO_STORE));
        assert_eq!(response.headers()[header::LOCATION], target);
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        assert_eq!((&body["error"], &body["url"]), (&"HttpsRequired".into(), &"https://cast.example.org/turn".into()));
        assert!(
            body["message"].as_str().unwrap().contains(" https://cast.example.org/turn.") && !body.to_string().contains("secret")
        );
        let response = redirection(&at("GET", "/cast", &[("accept", "text/html")]), target);
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], "default-src 'none'");
        let page = String::from_utf8(to_bytes(response.into_body(), 4096).await.unwrap().to_vec()).unwrap();
        assert!(page.contains("<a href=\"https://cast.example.org/turn?key=secret&amp;a=&lt;&quot;&#39;&gt;\">"), "{page}");
    }

    #[test]
    fn the_public_address_wins() {
        let (redirect, _folder) = redirect_of(Some(true), Some("https://tv.example.org"), &[]);
        assert_eq!(target(&redirect, "192.0.2.1", "/a"), Some("https://tv.example.org/a".into()));
        let (redirect, _folder) = redirect_of(Some(true), Some("http://tv.example.org"), &[]);
        assert_eq!(target(&redirect, "192.0.2.1", "/cast"), None);
        // The base path has been removed from the request's.
        let (redirect, _folder) = redirect_of(Some(true), Some("https://example.org/castway/"), &[]);
        for (path, url) in [("/", "https://example.org/castway/"), ("/tv?x=/", "https://example.org/castway/tv?x=/")] {
            assert_eq!(target(&redirect, "192.0.2.1", path).as_deref(), Some(url));
        }
    }
}
