//! Redirects HTTP requests to HTTPS when browsers trust the certificate.
//!
//! An untrusted certificate, such as a self-signed one, redirects nothing: a TV has no way to accept it, the TV's page works without
//! HTTPS, and the caster's page explains the browser's warning before it opens the HTTPS address. Some requests are never
//! redirected: those of this machine, those that a trusted proxy forwards (the proxy terminates TLS), and the paths that monitors and
//! certificate authorities request.
//!
//! Inputs: a request with its [`ConnectionInfo`] and [`ClientInfo`], and the current certificate. Output: 308 or the next handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use url::Url;

use crate::addresses::interfaces;
use crate::http::client_info::ClientInfo;
use crate::http::connection_info::ConnectionInfo;
use crate::http::path_slashes;
use crate::tls::Certificates;

const NEVER_REDIRECTED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
const ACME_CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The HTTPS port and its certificates.
#[derive(Debug, Clone)]
pub struct Redirect {
    pub certificates: Certificates,
    pub port: u16,
    /// The configured public URL.
    pub public_url: Option<Url>,
}

/// Middleware behind [`crate::http::client_info::identify`] and in front of all handlers.
pub async fn redirect(State(redirect): State<Arc<Redirect>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectionInfo>().copied();
    let host = request.extensions().get::<ClientInfo>().and_then(|client| client.host.as_deref());
    match connection.and_then(|connection| redirect.target(connection, host, request.uri())) {
        // Browsers must not cache the redirect: the next certificate may be untrusted.
        Some(target) => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, target), (header::CACHE_CONTROL, NO_STORE)]).into_response()
        }
        None => next.run(request).await,
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

impl Redirect {
    fn target(&self, connection: ConnectionInfo, host: Option<&str>, uri: &Uri) -> Option<HeaderValue> {
        let plain = path_slashes::plain(uri.path());
        let path = plain.as_deref().unwrap_or(uri.path());
        if connection.tls || connection.forwarded || connection.client.ip().to_canonical().is_loopback() {
            return None;
        }
        if NEVER_REDIRECTED.contains(&path) || path.starts_with(ACME_CHALLENGES) {
            return None;
        }
        let certificate = self.certificates.current();
        if !certificate.is_trusted() {
            return None;
        }
        let origin = match &self.public_url {
            Some(url) if url.scheme() == "https" => url.origin().ascii_serialization(),
            // The operator has configured a public URL without TLS.
            Some(_) => return None,
            None => {
                let asked = format!("http://{}", host?).parse::<Url>().ok()?.host()?.to_owned();
                let host = certificate.host_for(asked.clone()).unwrap_or(asked);
                interfaces::origin("https", &host, self.port)
            }
        };
        let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
        HeaderValue::from_str(&format!("{origin}{rest}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CertificateSource;
    use crate::tls::ServerHosts;

    fn redirect_of(trusted: Option<bool>, public_url: Option<&str>) -> (Redirect, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["cast.example.org".to_owned()]).unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let source = CertificateSource::Files { cert, key, trusted };
        let certificates = Certificates::open(&source, folder.path(), ServerHosts::default()).unwrap();
        (Redirect { certificates, port: 8443, public_url: public_url.map(|url| url.parse().unwrap()) }, folder)
    }

    fn target(redirect: &Redirect, host: &str, path: &str) -> Option<String> {
        let connection = ConnectionInfo { client: "192.0.2.9:1".parse().unwrap(), tls: false, forwarded: false, local: None };
        let target = redirect.target(connection, Some(host), &path.parse().unwrap());
        target.map(|target| target.to_str().unwrap().to_owned())
    }

    #[test]
    fn with_a_certificate_that_is_trusted_everything_is_redirected_to_its_name() {
        let (redirect, _folder) = redirect_of(Some(true), None);
        let https = |path: &str| Some(format!("https://cast.example.org:8443{path}"));
        assert_eq!(target(&redirect, "cast.example.org:8080", "/tv?x=1"), https("/tv?x=1"));
        assert_eq!(target(&redirect, "192.0.2.1", "/"), https("/"));
        assert_eq!(target(&redirect, "192.0.2.1", "//join/x/?a=b"), https("//join/x/?a=b"));
        for path in ["/healthz", "/healthz/", "//readyz", "/metrics", "/.well-known/acme-challenge/x"] {
            assert_eq!(target(&redirect, "cast.example.org", path), None, "{path}");
        }
        assert_eq!(
            target(&Redirect { port: 443, ..redirect }, "cast.example.org", "/a"),
            Some("https://cast.example.org/a".into())
        );
    }

    #[test]
    fn with_one_that_signed_itself_nothing_is() {
        let (in_files, _folder) = redirect_of(None, None);
        let (distrusted, _folder) = redirect_of(Some(false), None);
        let folder = tempfile::tempdir().unwrap();
        let own = Certificates::open(&CertificateSource::SelfSigned, folder.path(), ServerHosts::default()).unwrap();
        for redirect in [Redirect { certificates: own, ..in_files.clone() }, in_files, distrusted] {
            nothing_is_redirected(&redirect);
        }
    }

    fn nothing_is_redirected(redirect: &Redirect) {
        for path in ["/", "/cast", "/tv", "/socket.io/?EIO=4", "/turn"] {
            assert_eq!(target(redirect, "192.0.2.1", path), None, "{path}");
        }
    }

    #[test]
    fn this_machine_a_proxy_and_those_with_tls_are_left_alone() {
        let (redirect, _folder) = redirect_of(Some(true), None);
        let plain = ConnectionInfo { client: "192.0.2.9:1".parse().unwrap(), tls: false, forwarded: false, local: None };
        let at = |connection| redirect.target(connection, Some("cast.example.org"), &"/".parse().unwrap());
        assert!(at(plain).is_some());
        assert_eq!(at(ConnectionInfo { tls: true, ..plain }), None);
        assert_eq!(at(ConnectionInfo { forwarded: true, ..plain }), None);
        assert_eq!(at(ConnectionInfo { client: "127.0.0.1:1".parse().unwrap(), ..plain }), None);
    }

    #[test]
    fn the_public_address_wins() {
        let (redirect, _folder) = redirect_of(Some(true), Some("https://tv.example.org"));
        assert_eq!(target(&redirect, "192.0.2.1", "/a"), Some("https://tv.example.org/a".into()));
        let (redirect, _folder) = redirect_of(Some(true), Some("http://tv.example.org"));
        assert_eq!(target(&redirect, "192.0.2.1", "/cast"), None);
    }
}
