//! Bounds the bodies of requests: each one has a deadline, and the bytes that have arrived count for the client until the body is
//! complete.
//!
//! Input: a request that [`crate::http::client_info::identify`] has seen. Output: the same request with a bounded body, or 408 or
//! 503 in place of the handler's response. [`UnfinishedMessages`] has the bounds.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use crate::http::client_info::ClientInfo;
use crate::http::problem::Problem;
use crate::limits::message_size;
use crate::limits::unfinished::{IncomingMessages, UnfinishedError, UnfinishedMessages};

/// Memory that a request takes besides its head and its body, most of it in the layers that it passes. The value was measured.
const REQUEST_OVERHEAD_BYTES: u64 = 32 * 1024;

/// Middleware behind [`crate::http::client_info::identify`] and in front of all handlers. It answers 408 when a body is late, and 503
/// when too many bytes are unfinished, whatever the handler responds. WebSockets find the [`UnfinishedMessages`] in the request's extensions.
pub async fn limit(State(unfinished): State<UnfinishedMessages>, mut request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<ClientInfo>().map(|client| client.address) else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(unfinished.clone());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // No handler reads this body, and a long poll would keep it in memory.
        return next.run(request.map(|_| Body::empty())).await;
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let ended = Arc::new(OnceLock::new());
    let arriving = unfinished.incoming(client).with(REQUEST_OVERHEAD_BYTES + message_size::of_head(&request) as u64);
    let request = request.map(|body| Body::new(BoundedBody { body, arriving, received_bytes: 0, ended: Arc::clone(&ended) }));
    let response = next.run(request).await;
    match ended.get() {
        None => response,
        Some(UnfinishedError::Late) => refusal(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "The body did not come in time. It has 10 seconds, and another one for each 16 KiB.",
        ),
        Some(UnfinishedError::TooMuch) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "TooMuchUnfinished",
            "Too many requests are unfinished, and most of their bytes came from this address. Try again.",
        ),
    }
}

fn refusal(status: StatusCode, name: &'static str, message: &str) -> Response {
    Problem::new(status, name, message).retry_after(1).into_response()
}

/// A body that ends with an error when its deadline or its bound is exceeded.
struct BoundedBody {
    body: Body,
    arriving: IncomingMessages,
    received_bytes: u64,
    /// Why the body ended early; [`limit`] reads it.
    ended: Arc<OnceLock<UnfinishedError>>,
}

impl BoundedBody {
    fn fail(&self, ended: UnfinishedError) -> axum::Error {
        self.ended.get_or_init(|| ended);
        axum::Error::new(ended)
    }
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Err(ended) = ready!(this.arriving.poll_ready(cx)) {
            return Poll::Ready(Some(Err(this.fail(ended))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.arriving.poll_late(cx, Some(this.received_bytes)).map(|ended| Some(Err(this.fail(ended))));
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        this.received_bytes += data.map_or(0, |data| data.len() as u64);
        this.arriving.note(frame.is_some().then_some(this.received_bytes));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::Router;
    use axum::body::to_bytes;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::client_info::Scheme;

    #[tokio::test]
    async fn a_body_is_counted_until_it_is_complete_and_a_refusal_replaces_the_handlers_response() {
        let unfinished = UnfinishedMessages::default();
        let (counted, seen) = (unfinished.clone(), Arc::new(OnceLock::new()));
        let kept = Arc::clone(&seen);
        let read = move |request: Request| async move {
            let mut body = request.into_body();
            std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
            kept.set(counted.counts().bytes).unwrap();
            match to_bytes(body, usize::MAX).await {
                Ok(rest) => rest.len().to_string(),
                Err(_) => "unread".to_owned(),
            }
        };
        let router = Router::new().route("/", post(read)).layer(from_fn_with_state(unfinished.clone(), limit));
        let frames = [Ok::<_, std::io::Error>(Bytes::from(vec![0; 40_000])), Ok(Bytes::from_static(b"end"))];
        let mut request = Request::post("/").body(Body::from_stream(futures_util::stream::iter(frames))).unwrap();
        let address: IpAddr = [192, 0, 2, 1].into();
        request.extensions_mut().insert(ClientInfo { address, scheme: Scheme::Http, host: None });
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "3");
        assert_eq!(seen.get(), Some(&(40_000 + REQUEST_OVERHEAD_BYTES + 1)), "the body, the path and the request's overhead");
        assert_eq!(unfinished.counts().bytes, 0);
    }
}
