//! The part of a request that is the same in all providers' APIs: who asks, whether the key is known, and the credentials.

use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::check_name;
use super::refusal::Refusal;
use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::api::turn_credentials::quota_reached;
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;
use crate::users::Credentials;

/// A client that has shown an API key.
pub(super) struct Caller<'a> {
    api: &'a ApiState,
    client: &'a ClientInfo,
}

/// Credentials and the URLs that they are for.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) credentials: Credentials,
    /// At most one.
    pub(super) stun: Vec<String>,
    pub(super) turn: Vec<String>,
}

impl<'a> Caller<'a> {
    /// Counts the request with those for `/turn` before anything else is done for it.
    pub(super) fn count(api: &ApiState, client: &ClientInfo) -> Result<(), Refusal> {
        Ok(api.limiter.check(client.address).map_err(ApiError::TooManyRequests)?)
    }

    /// Checks the key of a request that [`Self::count`] has let pass. A wrong one counts as a guess.
    pub(super) fn with_key(api: &'a ApiState, client: &'a ClientInfo, key: Option<&str>) -> Result<Self, Refusal> {
        let key = key.filter(|key| !key.is_empty()).ok_or_else(Refusal::no_key)?;
        api.keys.check(&[Secret::new(key.to_owned())], client.address, Instant::now())?;
        Ok(Self { api, client })
    }

    /// Credentials for `name`, under which the traffic is kept, and which quotas and bans apply to: those of `GET /turn` with an API key.
    pub(super) fn grant(&self, name: &str, ttl: Option<Duration>) -> Result<Grant, Refusal> {
        let directory = &self.api.directory;
        check_name(name)?;
        let scope = directory.trusted_scope(name).ok_or(ApiError::Forbidden)?;
        if directory.is_exhausted(scope, name) {
            return Err(quota_reached(self.api, scope, name).into());
        }
        Ok(grant(self.api, self.client, directory.issue(name, scope, ttl, SystemTime::now())))
    }
}

impl Grant {
    /// A server for each URL, with the credentials for those of TURN.
    pub(super) fn servers<T>(&self, server: impl Fn(&str, Option<&Credentials>) -> T) -> Vec<T> {
        let stun = self.stun.iter().map(|url| server(url, None));
        stun.chain(self.turn.iter().map(|url| server(url, Some(&self.credentials)))).collect()
    }
}

/// An ICE server with one URL under both of its names, of which browsers no longer know the first.
#[derive(Serialize, ToSchema)]
pub(super) struct OneUrlServer {
    url: String,
    urls: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
}

impl OneUrlServer {
    pub(super) fn new(url: &str, credentials: Option<&Credentials>) -> Self {
        Self {
            url: url.to_owned(),
            urls: url.to_owned(),
            username: credentials.map(|credentials| credentials.username.clone()),
            credential: credentials.map(|credentials| credentials.password.expose().clone()),
        }
    }
}

/// With the URLs under the host that the client used.
pub(super) fn grant(api: &ApiState, client: &ClientInfo, credentials: Credentials) -> Grant {
    let host = client.host.as_deref();
    Grant { credentials, stun: api.ice.stun_uris(host), turn: api.ice.uris(host) }
}

/// An answer that holds credentials.
pub(super) fn granted(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// A grant with two URLs of TURN servers.
#[cfg(test)]
pub(super) fn example(stun: &[&str]) -> Grant {
    let credentials = Credentials { username: "1:a".into(), password: Secret::new("pw".into()), ttl: Duration::from_secs(60) };
    let turn = ["turn:h:1?transport=udp", "turn:h:1?transport=tcp"].map(str::to_owned).to_vec();
    Grant { credentials, stun: stun.iter().map(|url| (*url).to_owned()).collect(), turn }
}
