//! The metrics of the server, as values: what `app::metrics` collects and [`super::router`] serves at `/metrics`.

use std::fmt;

/// One metric with all of its samples. Names and labels are fixed, so that no client can add time series.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily {
    /// With its unit, and for a counter without `_total`.
    pub name: &'static str,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub kind: MetricKind,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows while the program runs.
    Counter,
    Gauge,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl MetricFamily {
    /// A metric without labels.
    #[must_use]
    pub fn single(name: &'static str, help: &'static str, kind: MetricKind, value: f64) -> Self {
        Self { name, help, kind, samples: vec![Sample { labels: Vec::new(), value }] }
    }
}

/// Collects all metrics. Called for each request, so it must not block.
pub struct MetricsSource(pub Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>);

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsSource")
    }
}
