//! The metric families of requests to the operator's own servers.

use crate::api::metric_families::{MetricFamily, MetricKind, Sample};
use crate::app::hooks::Hooks;

pub(super) fn families(hooks: &Hooks) -> Vec<MetricFamily> {
    let webhooks = family(
        "castway_webhooks",
        "Requests to CASTWAY_WEBHOOK_URL by result: delivered or failed; and events that were lost",
        &hooks.webhooks.counts(),
    );
    let authorized = hooks.authorizer.counts().map(|counts| {
        let help = "Questions to CASTWAY_AUTHORIZE_URL by result: allowed, remembered (allowed without asking again), refused, down (not \
                    answered as it should) or busy (not asked, because too many waited)";
        family("castway_authorizations", help, &counts)
    });
    [webhooks].into_iter().chain(authorized).collect()
}

fn family(name: &'static str, help: &'static str, counts: &[(&'static str, u64)]) -> MetricFamily {
    let sample = |(result, count): &(&str, u64)| Sample { labels: vec![("result", (*result).to_owned())], value: *count as f64 };
    MetricFamily { name, help, kind: MetricKind::Counter, samples: counts.iter().map(sample).collect() }
}
