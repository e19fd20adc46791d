//! `/api/docs`: the descriptions of the APIs, where `CASTWAY_API_DOCS` turns them on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::{ApiState, Descriptions};
use crate::http::problem::Problem;

/// Seconds; a new version of the server may have other descriptions.
const MAX_AGE: &str = "max-age=300";

#[derive(Serialize, ToSchema)]
pub(super) struct DocsReply<'a> {
    /// The URL of this description.
    #[schema(example = "/api/docs/openapi.json")]
    openapi: &'a str,
    /// The URL of the description of events: Socket.IO, AppRTC's WebSocket.
    #[schema(example = "/api/docs/asyncapi.json")]
    asyncapi: &'a str,
}

/// Where the descriptions of the APIs are
///
/// Only where `CASTWAY_API_DOCS` is on.
#[utoipa::path(
    get,
    path = "/api/docs",
    operation_id = "docs",
    tag = "server",
    responses(
        (status = 200, description = "The paths of the descriptions.", body = DocsReply),
        (status = 404, description = "`NotFound`: they are off.", body = Problem),
    ),
)]
pub(super) async fn index(State(api): State<Arc<ApiState>>) -> Response {
    served(&api, |docs| Json(DocsReply { openapi: &docs.openapi_path, asyncapi: &docs.asyncapi_path }).into_response())
}

/// This description
#[utoipa::path(
    get,
    path = "/api/docs/openapi.json",
    operation_id = "openapi",
    tag = "server",
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = Object),
        (status = 404, description = "`NotFound`: the descriptions are off.", body = Problem),
    ),
)]
pub(super) async fn openapi(State(api): State<Arc<ApiState>>) -> Response {
    served(&api, |docs| ([(header::CONTENT_TYPE, "application/json")], docs.openapi.clone()).into_response())
}

/// The description of the events of Socket.IO and of the WebSockets
#[utoipa::path(
    get,
    path = "/api/docs/asyncapi.json",
    operation_id = "asyncapi",
    tag = "server",
    responses(
        (status = 200, description = "AsyncAPI 3.0.", body = Object),
        (status = 404, description = "`NotFound`: the descriptions are off.", body = Problem),
    ),
)]
pub(super) async fn asyncapi(State(api): State<Arc<ApiState>>) -> Response {
    served(&api, |docs| ([(header::CONTENT_TYPE, "application/json")], docs.asyncapi).into_response())
}

fn served(api: &ApiState, answer: impl FnOnce(&Descriptions) -> Response) -> Response {
    match &api.descriptions {
        Some(docs) => ([(header::CACHE_CONTROL, MAX_AGE)], answer(docs)).into_response(),
        None => Problem::no_such_path().into_response(),
    }
}
