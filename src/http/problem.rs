//! Errors as `application/problem+json` (RFC 9457), where no contract fixes another form.
//!
//! Beside the members of the RFC each one has those that clients of this server read: [`Problem`] has `error`, a name, and `message`;
//! [`CodedProblem`] has `error`, an object with `code` and `message`. `detail` is the same sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub const PROBLEM_JSON: &str = "application/problem+json";

const METHOD_NOT_ALLOWED: &str = "This path does not take this method; the Allow header names those that it takes.";

/// An error that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A tag URI that ends in the error's name; programs decide by it, or by `error`.
    #[serde(rename = "type")]
    #[schema(example = "tag:castway.example,2026:TooManyRequests")]
    kind: String,
    /// The reason phrase of the status.
    #[schema(example = "Too Many Requests")]
    title: &'static str,
    #[schema(minimum = 300, maximum = 599, example = 429)]
    status: u16,
    /// A sentence for people.
    #[schema(example = "Too many requests. Try again later.")]
    detail: String,
    /// The error's name.
    #[schema(example = "TooManyRequests")]
    error: &'static str,
    /// The same as `detail`.
    #[schema(example = "Too many requests. Try again later.")]
    message: String,
    /// Seconds, as in the Retry-After header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
    /// Where the request has to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<String>,
}

/// An error that has a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CodedProblem {
    /// A tag URI that ends in the error's code; programs decide by it, or by `error.code`.
    #[serde(rename = "type")]
    #[schema(example = "tag:castway.example,2026:wrong_password")]
    kind: String,
    /// The reason phrase of the status.
    #[schema(example = "Unauthorized")]
    title: &'static str,
    #[schema(minimum = 400, maximum = 599, example = 401)]
    status: u16,
    /// A sentence for people.
    #[schema(example = "The name or the password is wrong.")]
    detail: String,
    error: CodedError,
    /// `false`, in answers to reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ok: Option<bool>,
}

/// What front ends read of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodedError {
    #[schema(example = "wrong_password")]
    code: &'static str,
    /// The same as `detail`.
    #[schema(example = "The name or the password is wrong.")]
    message: String,
    /// The sentence in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    zh: Option<String>,
    /// Seconds, as in the Retry-After header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
}

/// What the events of Socket.IO say as part of a sentence, as a whole one.
#[must_use]
pub fn as_sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    let sentence: String = first.chain(rest).collect();
    if sentence.ends_with(['.', '!', '?', '。']) { sentence } else { sentence + "." }
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind: kind(name),
            title: title(status),
            status: status.as_u16(),
            detail: message.clone(),
            error: name,
            message,
            retry_after: None,
            url: None,
        }
    }

    /// The API has no such path.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "The API has no such path.")
    }

    /// The caller adds the `Allow` header.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", METHOD_NOT_ALLOWED)
    }

    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    #[must_use]
    pub fn url(self, url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..self }
    }
}

impl CodedProblem {
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind: kind(code),
            title: title(status),
            status: status.as_u16(),
            detail: message.clone(),
            error: CodedError { code, message, zh: None, retry_after: None },
            ok: None,
        }
    }

    #[must_use]
    pub fn zh(mut self, sentence: &str) -> Self {
        self.error.zh = Some(sentence.to_owned());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.error.retry_after = seconds;
        self
    }

    /// The caller adds the `Allow` header.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", METHOD_NOT_ALLOWED)
    }

    /// Has `ok: false`, as answers to reports do.
    #[must_use]
    pub fn not_ok(self) -> Self {
        Self { ok: Some(false), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        answer(self.status, self.retry_after, &self)
    }
}

impl IntoResponse for CodedProblem {
    fn into_response(self) -> Response {
        answer(self.status, self.error.retry_after, &self)
    }
}

fn answer(status: u16, retry_after: Option<u64>, body: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What paths of the REST API begin with; the last three are those of other providers' APIs.
const API_PREFIXES: [&str; 6] = ["/api/", "/check/", "/v1alpha/", "/v1/turn/", "/2010-04-01/", "/_turn/"];

/// Whether a path is one of the REST API, where an error that no handler makes is a problem.
#[must_use]
pub fn is_api(path: &str) -> bool {
    matches!(path, "/api" | "/turn") || API_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// RFC 9457 §3.1.1: a type that leads nowhere is a tag URI (RFC 4151) rather than a URL.
fn kind(name: &str) -> String {
    format!("tag:castway.example,2026:{name}")
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_part_of_a_sentence_becomes_a_whole_one() {
        assert_eq!(as_sentence("too many tries; wait"), "Too many tries; wait.");
        assert_eq!(as_sentence("It is whole."), "It is whole.");
    }

    async fn read(response: Response) -> Value {
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_the_rfc_and_those_of_our_clients() {
        let response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "TooMany", "Wait.").retry_after(7).into_response();
        assert_eq!(
            (response.status(), &response.headers()[header::RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
        );
        let expected = json!({
            "type": "tag:castway.example,2026:TooMany", "title": "Too Many Requests", "status": 429, "detail": "Wait.",
            "error": "TooMany", "message": "Wait.", "retryAfter": 7,
        });
        assert_eq!(read(response).await, expected);
    }

    #[tokio::test]
    async fn a_coded_problem_keeps_the_object_of_our_pages() {
        let problem = CodedProblem::new(StatusCode::CONFLICT, "refused", "No.").zh("不。").retry_after(Some(1)).not_ok();
        let expected = json!({
            "type": "tag:castway.example,2026:refused", "title": "Conflict", "status": 409, "detail": "No.",
            "error": {"code": "refused", "message": "No.", "zh": "不。", "retryAfter": 1}, "ok": false,
        });
        assert_eq!(read(problem.into_response()).await, expected);
    }
}
