//! [`IceServer`]: an entry of a list of ICE servers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::users::Credentials;

/// An ICE server, as `RTCPeerConnection` takes it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IceServer {
    #[schema(min_items = 1, example = json!(["turn:cast.example.org:3478?transport=udp"]))]
    urls: Vec<String>,
    /// Of TURN servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1800000000:call-1", nullable = false)]
    username: Option<String>,
    /// Of TURN servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
}

impl IceServer {
    /// One server with the URLs of STUN, and one with those of TURN. A server without URLs is left out, because browsers throw an
    /// exception for it.
    pub(super) fn list(stun: Vec<String>, turn: Vec<String>, credentials: &Credentials) -> Vec<Self> {
        let stun = Self { urls: stun, username: None, credential: None };
        [stun, Self::with_credentials(turn, credentials)].into_iter().filter(|server| !server.urls.is_empty()).collect()
    }

    pub(super) fn with_credentials(urls: Vec<String>, credentials: &Credentials) -> Self {
        let (username, credential) = (credentials.username.clone(), credentials.password.expose().clone());
        Self { urls, username: Some(username), credential: Some(credential) }
    }
}
