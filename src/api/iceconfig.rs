//! `GET` and `POST /v1alpha/iceconfig`: ICE servers as AppRTC's clients ask for them, before they have told anybody who they are.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::turn::fits;
use super::{Api, Error};
use crate::client::Client;
use crate::config::IceAccess;
use crate::secret::Secret;
use crate::users::Credentials;

/// 200, `{"lifetimeDuration","iceServers","blockStatus","iceTransportPolicy"}`. Nothing is read but `key` of the query.
pub(super) async fn issue(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    api.ice_limiter.check(client.address).map_err(Error::TooManyRequests)?;
    let config = &api.credentials.ice;
    let keys = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).filter(|(name, _)| name == "key");
    let keys: Vec<_> = keys.map(|(_, key)| Secret::new(key.into_owned())).collect();
    if config.access == IceAccess::Key && !fits(&keys, &api.credentials.api_keys) {
        return Err(Error::Unauthorized);
    }
    // A name of its own each time: quotas are per user, and one caller must not use up another's.
    let issued = api.directory.issue(&format!("call-{:016x}", rand::random::<u64>()), Some(config.ttl), SystemTime::now());
    let host = client.host.as_deref();
    let reply = reply(&issued, api.ice.stun_uris(host), api.ice.uris(host));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(reply)).into_response())
}

/// `urls` is never empty: browsers throw at that.
fn reply(issued: &Credentials, stun: Vec<String>, turn: Vec<String>) -> Value {
    let mut servers = Vec::new();
    if !stun.is_empty() {
        servers.push(json!({"urls": stun}));
    }
    if !turn.is_empty() {
        servers.push(json!({"urls": turn, "username": issued.username, "credential": issued.password.expose()}));
    }
    if servers.is_empty() {
        return json!({"iceServers": []});
    }
    json!({
        "lifetimeDuration": format!("{}s", issued.ttl.as_secs()),
        "iceServers": servers,
        "blockStatus": "NOT_BLOCKED",
        "iceTransportPolicy": "all",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn urls_are_never_empty_and_turn_has_credentials() {
        let issued = Credentials { username: "1:a".into(), password: Secret::new("pw".into()), ttl: Duration::from_secs(60) };
        let turn = json!({"urls": ["turn:h:1?transport=udp"], "username": "1:a", "credential": "pw"});
        let full = reply(&issued, vec!["stun:h:1".into()], vec!["turn:h:1?transport=udp".into()]);
        assert_eq!(full["iceServers"], json!([{"urls": ["stun:h:1"]}, turn]));
        assert_eq!((&full["lifetimeDuration"], &full["blockStatus"]), (&json!("60s"), &json!("NOT_BLOCKED")));
        assert_eq!(full["iceTransportPolicy"], "all");
        let tcp_alone = reply(&issued, vec![], vec!["turn:h:1?transport=udp".into()]);
        assert_eq!(tcp_alone["iceServers"], json!([turn]));
        assert_eq!(reply(&issued, vec![], vec![]), json!({"iceServers": []}));
    }
}
