//! The HTTP client of hooks: signed POST requests to a URL of the settings.
//!
//! It follows no redirects, keeps no cookies and asks no proxy. A connection is used for several requests, one after the other.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::PostError;
use super::resolve::Resolver;
use super::sign::{SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
use crate::config::HookUrl;
use crate::config::secret::Secret;

/// Bytes of an answer's body, and of its head.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long a connection waits for its next request. Many servers end those that wait for five seconds.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// Connections to one URL that wait for a request.
const MAX_KEPT: usize = 16;
/// Addresses of a name that are tried, and how long each but the last one.
const MAX_ADDRESSES: usize = 4;
const MAX_CONNECT_TIME: Duration = Duration::from_millis(500);

/// What the requests to all URLs have in common. Clones share it.
#[derive(Clone)]
pub struct Client {
    secret: Secret<String>,
    /// Private addresses are allowed.
    private: bool,
    resolver: Resolver,
    tls: TlsConnector,
}

/// Sends requests to one URL. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
    url: HookUrl,
    kept: Arc<Mutex<Vec<KeptConnection>>>,
}

#[derive(Debug)]
struct KeptConnection {
    sender: SendRequest<Body>,
    since: Instant,
}

/// What a server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostAnswer {
    pub status: StatusCode,
    /// `None`: it has more than 64 KiB, or breaks off.
    pub body: Option<Bytes>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Reads the machine's trust store.
    #[must_use]
    pub fn new(secret: Secret<String>, private: bool, resolver: Resolver) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("the provider has TLS 1.2 and 1.3").with_root_certificates(roots());
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { secret, private, resolver, tls: TlsConnector::from(Arc::new(config)) }
    }
}

/// Public authorities, and those that this machine trusts.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

impl Target {
    #[must_use]
    pub fn new(client: &Client, url: HookUrl) -> Self {
        Self { client: client.clone(), url, kept: Arc::default() }
    }

    /// Without the path, which may be a secret.
    #[must_use]
    pub const fn url(&self) -> &HookUrl {
        &self.url
    }

    /// Sends `json` and returns the answer, whatever its status is.
    ///
    /// # Errors
    /// [`PostError`]: there was no answer within `limit`.
    pub async fn post(&self, json: Bytes, limit: Duration) -> Result<PostAnswer, PostError> {
        tokio::time::timeout(limit, self.exchange(json)).await.unwrap_or(Err(PostError::Late))
    }

    async fn exchange(&self, json: Bytes) -> Result<PostAnswer, PostError> {
        if let Some(kept) = self.take_kept()
            && let Ok(answer) = self.send(kept, json.clone()).await
        {
            return Ok(answer);
        }
        // The server may have ended the kept connection, so the request goes again.
        let connection = self.connect().await?;
        self.send(connection, json).await
    }

    async fn send(&self, mut sender: SendRequest<Body>, json: Bytes) -> Result<PostAnswer, PostError> {
        sender.ready().await.map_err(PostError::Http)?;
        let response = sender.send_request(self.request(json)).await.map_err(PostError::Http)?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), MAX_ANSWER_BYTES).await.ok();
        if body.is_some() {
            self.keep(sender);
        }
        Ok(PostAnswer { status, body })
    }

    fn request(&self, json: Bytes) -> Request<Body> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = Request::post(self.url.path_and_query())
            .header(header::HOST, self.url.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("castway/", env!("CARGO_PKG_VERSION")))
            .header(TIMESTAMP_HEADER, now)
            .header(SIGNATURE_HEADER, signature(&self.client.secret, now, &json));
        request.body(Body::from(json)).expect("URLs and headers were checked")
    }

    fn take_kept(&self) -> Option<SendRequest<Body>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|connection| connection.since.elapsed() < MAX_IDLE && !connection.sender.is_closed());
        Some(kept.pop()?.sender)
    }

    fn keep(&self, sender: SendRequest<Body>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(KeptConnection { sender, since: Instant::now() });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, PostError> {
        let mut addresses = self.client.resolver.addresses(&self.url, self.client.private).await?;
        addresses.truncate(MAX_ADDRESSES);
        let stream = connect_to_one(&addresses).await.map_err(PostError::Unreachable)?;
        stream.set_nodelay(true).map_err(PostError::Unreachable)?;
        if !self.url.is_secure() {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(self.url.host().to_owned());
        let name = name.map_err(|error| PostError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        handshake(self.client.tls.connect(name, stream).await.map_err(PostError::Tls)?).await
    }
}

async fn connect_to_one(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let (last, others) = addresses.split_last().ok_or(io::ErrorKind::NotFound)?;
    for address in others {
        if let Ok(Ok(stream)) = tokio::time::timeout(MAX_CONNECT_TIME, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await
}

/// The connection ends when its sender is dropped.
async fn handshake(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<SendRequest<Body>, PostError> {
    let mut builder = http1::Builder::new();
    let (sender, connection) =
        builder.max_buf_size(MAX_ANSWER_BYTES).handshake(TokioIo::new(stream)).await.map_err(PostError::Http)?;
    tokio::spawn(connection);
    Ok(sender)
}
