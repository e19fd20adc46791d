//! Refuses the requests of banned clients that come through a trusted proxy; the ingress closes their own connections. A request needs a
//! [`ClientInfo`] in its extensions.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::client_info::ClientInfo;
use super::page_request::is_page;
use super::problem::Problem;
use crate::limits::bans::BannedAddresses;

const MESSAGE: &str = "The operator of this server has blocked your address.";

/// Middleware behind [`client_info::identify`](super::client_info::identify).
pub async fn refuse(State(banned): State<BannedAddresses>, request: Request, next: Next) -> Response {
    let is_banned = |client: &ClientInfo| banned.contain(client.address);
    if !request.extensions().get::<ClientInfo>().is_some_and(is_banned) {
        return next.run(request).await;
    }
    if is_page(request.method(), request.uri().path(), request.headers()) {
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        return (StatusCode::FORBIDDEN, no_store, format!("{MESSAGE}\n")).into_response();
    }
    Problem::new(StatusCode::FORBIDDEN, "Forbidden", MESSAGE).into_response()
}
