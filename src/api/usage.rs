//! `GET /api/usage`: what users have relayed, for callers with an API key.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::error::ApiError;
use super::state::ApiState;
use crate::config::secret::Secret;
use crate::http::authorization::bearer;
use crate::http::client_info::ClientInfo;
use crate::http::problem::Problem;
use crate::users::usage::{UsageRecord, day_name, month_name};

#[derive(Serialize, ToSchema)]
pub(super) struct UsageReply<'a> {
    /// The newest first.
    rows: Vec<UsageRow<'a>>,
}

#[derive(Serialize, ToSchema)]
struct UsageRow<'a> {
    /// A day, or a month, in UTC.
    #[schema(example = "2026-11-30")]
    period: String,
    /// `anyone` or `clients`; empty for all who have no row of their own.
    #[schema(example = "anyone")]
    scope: &'static str,
    #[schema(example = "alice")]
    name: &'a str,
    /// Bytes of payload that the relay carried for this name.
    #[schema(example = 1_073_741_824_u64)]
    bytes: u64,
}

/// What users have relayed
///
/// The key comes as a bearer token alone: a query string ends up in logs.
#[utoipa::path(
    get,
    path = "/api/usage",
    operation_id = "usage",
    tag = "users",
    params(
        ("user" = Option<String>, Query, description = "Only the rows of this name.", example = "alice"),
        ("months" = Option<String>, Query, description = "`1` or `true`: by month instead of by day, which `0` or `false` means.", pattern = "^(1|true|0|false)?$", example = "1"),
    ),
    responses(
        (status = 200, description = "The rows.", body = UsageReply),
        (status = 400, description = "`BadRequest`: `months` is none of these.", body = Problem),
        (status = 401, description = "`Unauthorized`: an API key is needed.", body = Problem),
        (status = 500, description = "`Internal`: the database failed.", body = Problem),
    ),
    security(("bearer" = [])),
)]
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
    let months = match field("months").as_deref() {
        None | Some("" | "0" | "false") => false,
        Some("1" | "true") => true,
        Some(_) => {
            let expected = "The parameter months must be 1 or true (by month), or 0 or false (by day).";
            return Err(ApiError::BadRequest(expected.to_owned()));
        }
    };
    let user = field("user").filter(|user| !user.is_empty());
    let rows = api.directory.usage_rows(&api.store, user.as_deref(), months).await;
    let rows = rows.map_err(|error| ApiError::Internal(error.into()))?;
    let rows = rows.iter().map(|UsageRecord { period, owner, bytes }| UsageRow {
        period: if months { month_name(*period) } else { day_name(*period) },
        scope: owner.scope_name(),
        name: owner.name(),
        bytes: *bytes,
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(UsageReply { rows: rows.collect() })).into_response())
}
