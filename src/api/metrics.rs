//! `GET /metrics`: what the server counts, as Prometheus reads it (OpenMetrics 1.0). Names and labels are fixed, so that nobody
//! outside can make there be more of them.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Api;
use super::insider::Insider;

/// One metric with all of its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// With its unit, and for a counter without `_total`.
    pub name: &'static str,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the program runs.
    Counter,
    Gauge,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Family {
    /// A metric without labels.
    #[must_use]
    pub fn single(name: &'static str, help: &'static str, kind: Kind, value: f64) -> Self {
        Self { name, help, kind, samples: vec![Sample { labels: Vec::new(), value }] }
    }
}

/// Reads all metrics now. It is asked for each request, so it must not wait.
pub struct Numbers(pub Box<dyn Fn() -> Vec<Family> + Send + Sync>);

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// 200 with the text, or 403 for those whom the settings don't name.
pub(super) async fn metrics(State(api): State<Arc<Api>>, Insider(may_see): Insider) -> Response {
    if !may_see {
        let refusal = "/metrics is for the addresses of CASTWAY_METRICS_ALLOW.\n";
        return (StatusCode::FORBIDDEN, [(header::CACHE_CONTROL, "no-store")], refusal).into_response();
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families((api.numbers.0)())));
    let mut text = String::new();
    match text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS), (header::CACHE_CONTROL, "no-store")], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for Sample { labels, value } in &family.samples {
                if labels.is_empty() {
                    match family.kind {
                        Kind::Counter => metric.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                        Kind::Gauge => metric.encode_gauge(value)?,
                    }
                    continue;
                }
                let mut sample = metric.encode_family(labels)?;
                match family.kind {
                    Kind::Counter => sample.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                    Kind::Gauge => sample.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}
