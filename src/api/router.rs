//! The routes of the REST API.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tower_http::timeout::TimeoutLayer;

use super::state::ApiState;
use super::{acme_challenge, docs, health, ice_config, info, metrics, providers, sign_in, turn_credentials, usage};
use crate::apprtc::params;

/// The largest body of a request.
const MAX_BODY_BYTES: usize = 8 * 1024;
/// Longer than the body's own deadline (`limits::unfinished`), so only a bug of the server exceeds it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// `/turn`, `/v1alpha/iceconfig`, `/v1alpha/turn`, `/api/info`, `/api/sign-in`, `/api/usage`, `/api/docs`, `/healthz`, `/readyz`, `/metrics` and
/// `/.well-known/acme-challenge/`; those of other providers where the settings name them.
/// Requests need a [`crate::http::client_info::ClientInfo`] in their extensions.
pub fn router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/turn", get(turn_credentials::get).post(turn_credentials::post))
        .route(params::ICE_CONFIG_PATH, get(ice_config::ice_config).post(ice_config::ice_config))
        .route(params::TURN_PATH, get(ice_config::turn).post(ice_config::turn))
        .route("/api/info", get(info::info))
        .route("/api/usage", get(usage::usage))
        .route("/api/docs", get(docs::index))
        .route("/api/docs/openapi.json", get(docs::openapi))
        .route("/api/docs/asyncapi.json", get(docs::asyncapi))
        .route("/api/sign-in", post(sign_in::sign_in))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/.well-known/acme-challenge/{token}", get(acme_challenge::respond))
        .merge(providers::routes(state.config.providers))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, RESPONSE_TIMEOUT))
        .with_state(state)
}
