//! The ids in the paths of the room server.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa::{IntoParams, ToSchema};

use super::wire;

/// The id of a room or of a client.
#[derive(ToSchema)]
#[schema(as = AppRtcId, pattern = "^[A-Za-z0-9_-]+$", min_length = 1, max_length = 256)]
#[expect(dead_code, reason = "it describes an id")]
pub(super) struct Id(String);

/// The id of a room from the path; 404 for an invalid one.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("room"))]
pub(super) struct RoomPath(
    /// The room.
    #[param(value_type = Id, example = "room-1")]
    pub(super) String,
);

impl<S: Send + Sync> FromRequestParts<S> for RoomPath {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let Path(room) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| StatusCode::NOT_FOUND)?;
        if wire::is_id(&room) { Ok(Self(room)) } else { Err(StatusCode::NOT_FOUND) }
    }
}

/// The ids of a room and of a client from the path; 404 for invalid ones.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MemberPath {
    /// The room.
    #[param(value_type = Id, example = "room-1")]
    pub(super) room: String,
    /// The `client_id` of the join's answer.
    #[param(value_type = Id, example = "12345678")]
    pub(super) client: String,
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let ids = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((room, client)) = ids.map_err(|_| StatusCode::NOT_FOUND)?;
        if wire::is_id(&room) && wire::is_id(&client) { Ok(Self { room, client }) } else { Err(StatusCode::NOT_FOUND) }
    }
}
