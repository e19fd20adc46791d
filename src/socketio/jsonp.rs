//! Polling by scripts and forms (JSONP), for pages that ask for it.
//!
//! The answer to a GET is a script that calls `___eio[N]` with the payload, N being the query parameter `j`. A POST carries the payload in
//! the field `d` of a form.

use std::borrow::Cow;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use url::form_urlencoded;

use super::path::serves;
use crate::limits::message_size::MAX_WIRE_BYTES;

/// Bytes of a form: each byte of a payload that is no letter and no digit takes three.
const MAX_FORM_BYTES: usize = 2 * MAX_WIRE_BYTES;
const NOT_A_FORM: &str = "JSONP polling posts a form (application/x-www-form-urlencoded) whose field d is the payload.\n";

/// Whether a request asks for JSONP. The request of a script has no Origin, so these requests are not checked against the allowed origins.
pub fn is_asked(uri: &Uri) -> bool {
    callback(uri).is_some()
}

/// Middleware ahead of `prepare`; other requests pass through.
pub(super) async fn translate(request: Request, next: Next) -> Response {
    let Some(callback) = callback(request.uri()) else { return next.run(request).await };
    if request.method() == Method::POST {
        return match with_payload(request).await {
            Ok(request) => posted(next.run(request).await),
            Err(refusal) => refusal,
        };
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::OK { script(&callback, response).await } else { response }
}

/// The digits that name the callback.
fn callback(uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|_| serves(uri.path()))?;
    let value = |wanted| form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value);
    let callback = value("j").filter(|_| value("transport").is_some_and(|transport| transport == "polling"))?;
    Some(callback.chars().filter(char::is_ascii_digit).collect())
}

async fn script(callback: &str, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already.
    let Ok(payload) = to_bytes(body, usize::MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let text = serde_json::Value::from(String::from_utf8_lossy(&payload)).to_string();
    // Old JavaScript engines end a line at these two characters, even in a string.
    let text = text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let script = format!("___eio[{callback}]({text});");
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(script.len()));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=UTF-8"));
    Response::from_parts(parts, Body::from(script))
}

/// The request as the client would have posted it without a form.
async fn with_payload(request: Request) -> Result<Request, Response> {
    let (mut parts, body) = request.into_parts();
    let form = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
        (StatusCode::PAYLOAD_TOO_LARGE, format!("A form of JSONP polling has {MAX_FORM_BYTES} bytes at most.\n")).into_response()
    })?;
    let field = form_urlencoded::parse(&form).find(|(name, _)| name == "d").map(|(_, value)| value);
    let field = field.ok_or_else(|| (StatusCode::BAD_REQUEST, NOT_A_FORM).into_response())?;
    let payload = unescaped(&field).into_owned();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(payload.len()));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    Ok(Request::from_parts(parts, Body::from(payload)))
}

/// The form's target is an iframe, in which old browsers would offer plain text as a download.
fn posted(mut response: Response) -> Response {
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    }
    response
}

/// Forms change line ends, so clients write `\n` for a line end, and `\\n` for the two characters `\n`.
fn unescaped(field: &str) -> Cow<'_, str> {
    if !field.contains("\\n") {
        return Cow::Borrowed(field);
    }
    let mut parts = field.split("\\n");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut before = text.len();
    for part in parts {
        // This backslash does not belong to an earlier pair.
        if before > 0 && text.ends_with('\\') {
            text.push('n');
        } else {
            text.push('\n');
        }
        text.push_str(part);
        before = part.len();
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_forms_are_those_of_payloads() {
        for (field, payload) in [
            ("a", "a"),
            ("a\\nb", "a\nb"),
            ("a\\\\nb", "a\\nb"),
            ("\\n\\n", "\n\n"),
            ("\\\\n\\n", "\\n\n"),
            ("\\n\\\\n", "\n\\n"),
            ("\\\\\\n", "\\\\n"),
            ("\\\\nn\\n", "\\nn\n"),
            ("a\\b\\r\\\"", "a\\b\\r\\\""),
        ] {
            assert_eq!(unescaped(field), payload, "{field}");
        }
    }

    #[test]
    fn jsonp_is_asked_for_by_polling_with_a_callback() {
        let callback = |uri: &str| callback(&uri.parse().unwrap());
        assert_eq!(callback("/socket.io/?EIO=3&transport=polling&j=0").as_deref(), Some("0"));
        assert_eq!(callback("/socket.io?EIO=3&transport=polling&%6A=1x2").as_deref(), Some("12"));
        assert_eq!(callback("/socket.io/?EIO=3&transport=polling&j=);alert(1").as_deref(), Some("1"));
        for other in [
            "/socket.io/?EIO=3&transport=polling",
            "/socket.io/?EIO=3&transport=websocket&j=0",
            "/socket.io/?EIO=3&transport=polling&js=0",
            "/join/1?transport=polling&j=0",
            "/socket.iox?transport=polling&j=0",
        ] {
            assert_eq!(callback(other), None, "{other}");
        }
    }
}
