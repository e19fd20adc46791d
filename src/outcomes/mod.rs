//! What becomes of each cast and call: the reports of its pages, the verdict where it fails, its line in the log, and the counts.
//!
//! - **Owner**: each gateway owns the [`table::Outcomes`] of its casts or calls, behind the lock of its rooms; `app` owns one
//!   [`reporter::Reporter`], whose clones share it.
//! - **Inputs**: the begin and the end of a cast, clients that come back, offers, reports of pages, time-outs.
//! - **Outputs**: answers to reports, verdicts for TVs, and what the reporter logs, counts and keeps.
//!
//! A cast has one or more *attempts*: each offer after a result begins a new one. An attempt has one verdict, which both ends are told,
//! whoever asks first. Both clients are watched (see [`crate::diagnosis::watch`]) while an attempt goes on.
//!
//! Nothing that a page says is trusted for more than display. Invariants: the reports that are kept are bounded in bytes; a report is
//! answered within [`record::MAX_WAIT`]; what is logged is bounded by `limits::line_limit`.
//!
//! **The files.** `party` is one end of a cast, `record` is one cast, `table` has all of them with their timers, `output` is what comes out.
//! `reporter` performs it, with `counts` for the metrics and `line` for the log.

pub mod counts;
mod line;
pub mod output;
pub mod party;
pub mod record;
pub mod reporter;
pub mod table;

/// For tests of the gateways: nothing is known of the server, and nothing is kept.
#[cfg(test)]
pub(crate) mod unknown {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::output::Kind;
    use super::reporter::{ReportSink, Reporter};
    use super::table::Sources;
    use crate::diagnosis::observation::{Facts, FactsSource};
    use crate::diagnosis::watch::Watch;

    struct Unknown;

    impl FactsSource for Unknown {
        fn facts(&self, _host: Option<&str>, _client: IpAddr, _reached: Option<IpAddr>) -> Facts {
            Facts::default()
        }
    }

    impl ReportSink for Unknown {
        fn keep(&self, _kind: Kind, _address: IpAddr, _json: String) {}
    }

    pub(crate) fn sources() -> Sources {
        Sources { watch: Watch::default(), facts: Arc::new(Unknown) }
    }

    pub(crate) fn reporter() -> Reporter {
        Reporter::new(Unknown, crate::hooks::event::Events::default())
    }
}
