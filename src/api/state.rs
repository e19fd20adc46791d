//! The state that all handlers of the REST API share.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use axum::body::Bytes;
use ipnet::IpNet;

use super::keys::ApiKeys;
use super::metric_families::MetricsSource;
use crate::addresses::ice_servers::IceServers;
use crate::admission::Admission;
use crate::cast::code::CodeAlphabet;
use crate::config::{ApiConfig, CredentialsConfig};
use crate::limits::rate::ClientLimiter;
use crate::tls::Certificates;
use crate::users::{Directory, Store, UserPasswords};

#[derive(Debug)]
pub struct ApiState {
    pub directory: Directory,
    /// Where `/api/usage` reads former days and months.
    pub store: Store,
    pub credentials: CredentialsConfig,
    pub config: ApiConfig,
    /// What `/api/docs` serves; `None`: it is off.
    pub descriptions: Option<Descriptions>,
    /// The API keys of `credentials`.
    pub keys: ApiKeys,
    pub passwords: UserPasswords,
    pub admission: Admission,
    pub ice: IceServers,
    /// The rate limit of `/turn`; the cast gateway, which issues credentials too, shares it.
    pub limiter: ClientLimiter,
    /// The rate limit of `/v1alpha/iceconfig` and `/v1alpha/turn`.
    pub ice_limiter: ClientLimiter,
    pub public: PublicAddress,
    /// `None` without TLS.
    pub certificates: Option<Certificates>,
    /// The networks of the operators, from `CASTWAY_METRICS_ALLOW`.
    pub operator_networks: Vec<IpNet>,
    /// The checks of `/readyz` besides that of the database.
    pub readiness_checks: Vec<ReadinessCheck>,
    pub metrics: MetricsSource,
}

/// The descriptions of the APIs.
#[derive(Debug)]
pub struct Descriptions {
    /// OpenAPI, as JSON.
    pub openapi: Bytes,
    /// AsyncAPI, as JSON.
    pub asyncapi: &'static str,
    /// Where they are, with the base path.
    pub openapi_path: String,
    pub asyncapi_path: String,
}

/// Where the server is reached, and the form of its codes: what `/api/info` tells the pages.
#[derive(Debug)]
pub struct PublicAddress {
    /// The configured address, without a slash at the end.
    pub public_url: Option<String>,
    /// The bound address of the HTTP port.
    pub http: SocketAddr,
    pub https_port: Option<u16>,
    pub alphabet: CodeAlphabet,
    /// kbit/s that a page may send of its picture; `None`: as many as it likes.
    pub max_bitrate: Option<u32>,
}

/// A part of the server that can be ready or not.
pub struct ReadinessCheck {
    /// The name that `/readyz` shows.
    pub name: Cow<'static, str>,
    /// Called for each request, so it must not block.
    pub check: Box<dyn Fn() -> Readiness + Send + Sync>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady,
    /// With the reason, for operators.
    NotReadyBecause(String),
}

impl From<bool> for Readiness {
    fn from(is_ready: bool) -> Self {
        if is_ready { Self::Ready } else { Self::NotReady }
    }
}

impl fmt::Debug for ReadinessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadinessCheck").field(&self.name).finish()
    }
}
