//! Keeps the reports that pages send to the operator among the results of checks.

use std::net::IpAddr;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::outcomes::reporter::{Kind, ReportSink};
use crate::users::{CheckKind, Store};

/// Reports that wait for being written, of at most 16 KiB each.
const MAX_WAITING: usize = 16;

/// A report that waits.
struct SentReport {
    kind: CheckKind,
    address: IpAddr,
    json: String,
}

pub(super) struct KeptReports(mpsc::Sender<SentReport>);

impl KeptReports {
    /// Writes in a task of its own, which ends with the last sender.
    pub(super) fn new(store: &Store) -> Self {
        let (sender, mut waiting) = mpsc::channel::<SentReport>(MAX_WAITING);
        let store = store.clone();
        tokio::spawn(async move {
            while let Some(SentReport { kind, address, json }) = waiting.recv().await {
                if let Err(error) = store.keep_check(kind, address, &json, SystemTime::now()).await {
                    tracing::warn!(%error, "a report that a page has sent could not be kept");
                }
            }
        });
        Self(sender)
    }
}

impl ReportSink for KeptReports {
    fn keep(&self, kind: Kind, address: IpAddr, json: String) {
        let kind = match kind {
            Kind::Cast => CheckKind::Cast,
            Kind::Call => CheckKind::Call,
        };
        if self.0.try_send(SentReport { kind, address, json }).is_err() {
            tracing::debug!("a report that a page has sent was dropped, because too many wait");
        }
    }
}
