//! Corrects the answers of engineioxide where they differ from those of the original engine.io.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

use super::path::serves;

/// Bytes of an error of engineioxide: a code and a few words.
const MAX_ERROR_BYTES: usize = 1024;

/// Middleware around Socket.IO; answers to other requests stay unchanged. The code of an error becomes a number, and no answer may be
/// cached.
pub(super) async fn correct(request: Request, next: Next) -> Response {
    let is_socket_io = serves(request.uri().path());
    let mut response = next.run(request).await;
    if !is_socket_io {
        return response;
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if response.status() == StatusCode::BAD_REQUEST && is_json {
        return with_numeric_code(response).await;
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn with_numeric_code(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ERROR_BYTES).await.unwrap_or_default();
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
