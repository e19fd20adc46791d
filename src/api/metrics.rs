//! `GET /metrics`: the metrics of the server in the text format of OpenMetrics 1.0, which Prometheus reads.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::metric_families::{MetricFamily, MetricKind, Sample};
use super::operator::Operator;
use super::state::ApiState;

const OPEN_METRICS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of the server, in the text format of `OpenMetrics` 1.0
///
/// The addresses of `CASTWAY_METRICS_ALLOW` may read them.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "server",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = OPEN_METRICS_TEXT),
        (status = 403, description = "The address may not read them.", body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn metrics(State(api): State<Arc<ApiState>>, Operator(is_operator): Operator) -> Response {
    if !is_operator {
        let refusal = "/metrics is for the addresses of CASTWAY_METRICS_ALLOW.\n";
        return (StatusCode::FORBIDDEN, [(header::CACHE_CONTROL, "no-store")], refusal).into_response();
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FamilyCollector((api.metrics.0)())));
    let mut text = String::new();
    match text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS_TEXT), (header::CACHE_CONTROL, "no-store")], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Debug)]
struct FamilyCollector(Vec<MetricFamily>);

impl Collector for FamilyCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let kind = match family.kind {
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for Sample { labels, value } in &family.samples {
                if labels.is_empty() {
                    match family.kind {
                        MetricKind::Counter => metric.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                        MetricKind::Gauge => metric.encode_gauge(value)?,
                    }
                    continue;
                }
                let mut sample = metric.encode_family(labels)?;
                match family.kind {
                    MetricKind::Counter => sample.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                    MetricKind::Gauge => sample.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}
