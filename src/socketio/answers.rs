//! Engine.IO's answers as the original server gives them, where its port to Rust differs.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

use super::serves;

/// An error of Engine.IO in bytes; it has a code and a few words.
const MAX_ERROR: usize = 1024;

/// Middleware around Socket.IO; answers to other requests stay as they are. Codes of errors are numbers, and nothing is for caches.
pub(super) async fn correct(request: Request, next: Next) -> Response {
    let is_ours = serves(request.uri().path());
    let mut response = next.run(request).await;
    if !is_ours {
        return response;
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if response.status() == StatusCode::BAD_REQUEST && is_json {
        return with_number(response).await;
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn with_number(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ERROR).await.unwrap_or_default();
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut error) => {
            let code = error["code"].as_str().and_then(|code| code.parse::<u8>().ok());
            if let Some(code) = code {
                error["code"] = Value::from(code);
            }
            Body::from(error.to_string())
        }
        Err(_) => Body::from(body),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body)
}
