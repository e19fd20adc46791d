//! The middleware in front of every route that needs a session: nothing behind it can forget a check.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::answer::Refusal;
use super::csrf;
use super::gate;
use super::handle::Admin;
use super::sessions::SignedIn;
use crate::http::client_info::ClientInfo;

/// Refuses requests without a session, and changes that may come from a page of another origin. Handlers find the [`SignedIn`] in the
/// extensions.
pub(super) async fn require(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admin.session_of(&parts) {
        Ok(signed_in) => {
            parts.extensions.insert(signed_in);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

impl Admin {
    fn session_of(&self, parts: &Parts) -> Result<SignedIn, Refusal> {
        let client = self.open_to(parts)?;
        let signed_in = self.0.signed_in(&parts.headers).ok_or(Refusal::SignedOut)?;
        let public = self.0.parts.public_origin.as_deref();
        let is_own = if matches!(parts.method, Method::GET | Method::HEAD) {
            csrf::may_read(&parts.headers, client, public)
        } else {
            csrf::is_own_page(&parts.headers, client, public)
                && csrf::is_json(&parts.headers)
                && csrf::has_token(&parts.headers, &signed_in.csrf)
        };
        if is_own { Ok(signed_in) } else { Err(Refusal::Csrf) }
    }

    /// The client, if `/admin` is on for it.
    pub(super) fn open_to<'a>(&self, parts: &'a Parts) -> Result<&'a ClientInfo, Refusal> {
        let client = parts.extensions.get::<ClientInfo>().ok_or(Refusal::Off)?;
        let has_operator = self.0.parts.directory.has_operator();
        match gate::why_off(client, &self.0.parts.config, has_operator) {
            Some(_) => Err(Refusal::Off),
            None => Ok(client),
        }
    }
}
