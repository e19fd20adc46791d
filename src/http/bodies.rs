//! Bodies of requests on their way: they have a deadline, and what has come of them counts for their client.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use serde_json::json;

use crate::http::client_info::ClientInfo;
use crate::limits::message_size;
use crate::limits::unfinished::{Arriving, Ended, Unfinished};

/// Bytes that a request takes besides its head and its body while it is being answered, as measured: mostly what it passes through.
const REQUEST_BYTES: u64 = 32 * 1024;

/// Middleware behind [`crate::http::client_info::identify`] and ahead of whatever reads a body. What is not waited for any longer is answered 408,
/// or 503 where too much is unfinished, whatever its reader says. WebSockets find the [`Unfinished`] in the request's extensions.
pub async fn limit(State(unfinished): State<Unfinished>, mut request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<ClientInfo>().map(|client| client.address) else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(unfinished.clone());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // Nobody reads it, and a poll would hold it for as long as it lasts.
        return next.run(request.map(|_| Body::empty())).await;
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let ended = Arc::new(OnceLock::new());
    let arriving = unfinished.arriving(client).with(REQUEST_BYTES + message_size::of_head(&request) as u64);
    let request = request.map(|body| Body::new(Arrival { body, arriving, come: 0, ended: Arc::clone(&ended) }));
    let response = next.run(request).await;
    match ended.get() {
        None => response,
        Some(Ended::Late) => refused(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "The body did not come in time. It has 10 seconds, and another one for each 16 KiB.",
        ),
        Some(Ended::TooMuch) => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "TooMuchUnfinished",
            "Too many requests are unfinished, and most of their bytes came from this address. Try again.",
        ),
    }
}

fn refused(status: StatusCode, name: &str, message: &str) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, "1")];
    (status, headers, Json(json!({"error": name, "message": message}))).into_response()
}

struct Arrival {
    body: Body,
    arriving: Arriving,
    /// Bytes.
    come: u64,
    /// For whoever has the answer.
    ended: Arc<OnceLock<Ended>>,
}

impl Arrival {
    fn fail(&self, ended: Ended) -> axum::Error {
        self.ended.get_or_init(|| ended);
        axum::Error::new(ended)
    }
}

impl HttpBody for Arrival {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Err(ended) = ready!(this.arriving.poll_ready(cx)) {
            return Poll::Ready(Some(Err(this.fail(ended))));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.arriving.poll_late(cx, Some(this.come)).map(|ended| Some(Err(this.fail(ended))));
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        this.come += data.map_or(0, |data| data.len() as u64);
        this.arriving.note(frame.is_some().then_some(this.come));
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
    async fn a_body_is_counted_until_it_is_whole_and_a_refusal_takes_the_place_of_what_the_reader_says() {
        let unfinished = Unfinished::default();
        let (counted, seen) = (unfinished.clone(), Arc::new(OnceLock::new()));
        let kept = Arc::clone(&seen);
        let read = move |request: Request| async move {
            let mut body = request.into_body();
            std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
            kept.set(counted.census().bytes).unwrap();
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
        assert_eq!(seen.get(), Some(&(40_000 + REQUEST_BYTES + 1)), "the body, the path and what the request takes");
        assert_eq!(unfinished.census().bytes, 0);
    }
}
