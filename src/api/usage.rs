//! `GET /api/usage`: what users have relayed, for callers with an API key.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::error::ApiError;
use super::keys::bearer;
use super::state::ApiState;
use crate::config::secret::Secret;
use crate::http::client_info::ClientInfo;
use crate::users::usage::{UsageRecord, day_name, month_name};

/// With `user=NAME` only the rows of this name, with `months=1` by month instead of by day. Responds 200 with `{"rows":[{"period","scope","name","bytes"}]}`, the newest first. The key comes as a bearer token alone: a query string
/// ends up in logs.
pub(super) async fn usage(
    State(api): State<Arc<ApiState>>,
    Extension(client): Extension<ClientInfo>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    api.limiter.check(client.address).map_err(ApiError::TooManyRequests)?;
    let keys: Vec<_> = bearer(&headers).map(|token| Secret::new(token.to_owned())).into_iter().collect();
    api.keys.check(&keys, client.address, Instant::now()).map_err(|refusal| match refusal {
        ApiError::Unauthorized => ApiError::NoBearer,
        refusal @ (ApiError::NoUsername
        | ApiError::BadRequest(_)
        | ApiError::TooLarge
        | ApiError::NoBearer
        | ApiError::NotSignedIn
        | ApiError::Forbidden
        | ApiError::QuotaReached { .. }
        | ApiError::TooManyRequests(_)
        | ApiError::Internal(_)) => refusal,
    })?;
    let query = query.unwrap_or_default();
    let field = |wanted: &str| form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value);
    let months = field("months").is_some_and(|value| matches!(&*value, "1" | "true"));
    let user = field("user").filter(|user| !user.is_empty());
    let rows = api.directory.usage_rows(&api.store, user.as_deref(), months).await;
    let rows = rows.map_err(|error| ApiError::Internal(error.into()))?;
    let row = |UsageRecord { period, owner, bytes }: &UsageRecord| -> Value {
        let period = if months { month_name(*period) } else { day_name(*period) };
        json!({ "period": period, "scope": owner.scope_name(), "name": owner.name(), "bytes": bytes })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({ "rows": rows }))).into_response())
}
