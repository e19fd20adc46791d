//! The REST API: TURN credentials, what the pages ask, health.
//!
//! The router wants the [`crate::http::client_info::ClientInfo`] in each request's extensions. CORS, compression and tracing are the
//! caller's layers; none may log the query, which can hold an API key.

mod challenge;
mod error;
mod health;
mod iceconfig;
mod info;
mod insider;
mod keys;
mod metrics;
mod turn;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use ipnet::IpNet;

pub use error::Error;
pub use keys::ApiKeys;
pub use metrics::{Family, Kind, Numbers, Sample};
pub use turn::TurnReply;

use crate::addresses::ice_servers::IceServers;
use crate::apprtc::params;
use crate::cast::code::CodeAlphabet;
use crate::config::CredentialsConfig;
use crate::limits::rate::AddressLimiter;
use crate::tls::Certificates;
use crate::users::Directory;

/// Most bytes of a request's body.
const BODY: usize = 8 * 1024;

/// What the handlers share.
#[derive(Debug)]
pub struct Api {
    pub directory: Directory,
    pub credentials: CredentialsConfig,
    /// Those of `credentials`.
    pub keys: ApiKeys,
    pub ice: IceServers,
    /// Shared with whoever else hands out credentials.
    pub limiter: AddressLimiter,
    /// Of `/v1alpha/iceconfig` and `/v1alpha/turn` alone.
    pub ice_limiter: AddressLimiter,
    pub site: Site,
    /// `None`: no TLS.
    pub certificates: Option<Certificates>,
    /// Who may see what is for whoever runs the server.
    pub insiders: Vec<IpNet>,
    /// What besides the database must be in order for `/readyz`.
    pub probes: Vec<Probe>,
    /// What `/metrics` shows.
    pub numbers: Numbers,
}

/// What the pages are told about the server.
#[derive(Debug)]
pub struct Site {
    /// The origin people type, without a trailing slash, where it is set.
    pub public_url: Option<String>,
    /// Where the HTTP port really listens.
    pub http: SocketAddr,
    pub https_port: Option<u16>,
    pub alphabet: CodeAlphabet,
}

/// A part of the server that is ready or not.
pub struct Probe {
    /// As `/readyz` shows it.
    pub name: Cow<'static, str>,
    /// Asked for each request, so it must not wait.
    pub ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.name).finish()
    }
}

/// `/turn`, `/v1alpha/iceconfig`, `/v1alpha/turn`, `/api/info`, `/healthz`, `/readyz`, `/metrics` and `/.well-known/acme-challenge/`.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/turn", get(turn::issue).post(turn::issue))
        .route(params::ICE_CONFIG, get(iceconfig::issue).post(iceconfig::issue))
        .route(params::TURN, get(iceconfig::issue_turn).post(iceconfig::issue_turn))
        .route("/api/info", get(info::info))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/.well-known/acme-challenge/{token}", get(challenge::answer))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(api)
}
