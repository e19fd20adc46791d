//! Puts layers in front of a service so that a request costs as much for the tenth layer as for the first.
//!
//! A layer clones what is behind it for each request. With `Router::layer` that is every layer behind it, and so is what each of those clones.
//! To clone a [`Layered`] copies a pointer.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower::util::{BoxCloneSyncService, Oneshot};
use tower::{Layer, Service, ServiceExt as _};

type Boxed = BoxCloneSyncService<Request, Response, Infallible>;

/// A service and the layers in front of it.
#[derive(Debug, Clone)]
pub struct Layered(Arc<Boxed>);

impl Layered {
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request, Error = Infallible, Response: IntoResponse, Future: Send> + Clone + Send + Sync + 'static,
    {
        Self(Arc::new(BoxCloneSyncService::new(service.map_response(IntoResponse::into_response))))
    }

    /// All requests pass through the layer first.
    #[must_use]
    pub fn behind<L>(self, layer: L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request, Error = Infallible, Response: IntoResponse, Future: Send> + Clone + Send + Sync + 'static,
    {
        Self::new(layer.layer(self))
    }

    /// A router that has no routes of its own.
    pub fn into_router(self) -> Router {
        Router::new().fallback_service(self)
    }
}

impl Service<Request> for Layered {
    type Response = Response;
    type Error = Infallible;
    type Future = Oneshot<Boxed, Request>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Boxed::clone(&self.0).oneshot(request)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::{Body, to_bytes};
    use axum::middleware::{Next, from_fn};
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    /// A service that counts how often it is cloned.
    #[derive(Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Clone for Counting {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(&self.0))
        }
    }

    async fn answer(router: &Router, path: &str) -> String {
        let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        String::from_utf8(to_bytes(answer.into_body(), 100).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_request_passes_the_layers_from_the_last_one_to_the_first() {
        let layer = |name: &'static str| {
            from_fn(move |request: Request, next: Next| async move {
                let body = to_bytes(next.run(request).await.into_body(), 100).await.unwrap();
                format!("{name} {}", String::from_utf8_lossy(&body))
            })
        };
        let router = Router::new().route("/known", get(|| async { "known" })).fallback(|| async { "other" });
        let router = Layered::new(router).behind(layer("first")).behind(layer("last")).into_router();
        assert_eq!(answer(&router, "/known").await, "last first known");
        assert_eq!(answer(&router, "/unknown").await, "last first other");
    }

    #[tokio::test]
    async fn a_request_clones_no_layer_more_often_because_more_are_in_front() {
        let clones = |layers: usize| async move {
            let counting = Counting::default();
            let count = Arc::clone(&counting.0);
            let innermost = from_fn(move |_: Request, _: Next| {
                let _counting = &counting;
                async { "answered" }
            });
            let pass = || from_fn(|request: Request, next: Next| next.run(request));
            let router =
                (0..layers).fold(Layered::new(Router::new()).behind(innermost), |router, _| router.behind(pass())).into_router();
            count.store(0, Ordering::Relaxed);
            assert_eq!(answer(&router, "/").await, "answered");
            count.load(Ordering::Relaxed)
        };
        assert_eq!(clones(20).await, clones(1).await);
    }
}
