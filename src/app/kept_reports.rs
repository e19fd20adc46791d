//! Keeps the reports that pages send to the operator among the results of checks.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::outcomes::output::Kind;
use crate::outcomes::reporter::ReportSink;
use crate::users::{CheckKind, KeptChecks, Store};

/// It has a queue of its own, so that reports do not take the place of a check that waits for the disk.
pub(super) struct KeptReports(KeptChecks);

impl KeptReports {
    pub(super) fn new(store: &Store) -> Self {
        Self(KeptChecks::start(store.clone()))
    }
}

impl ReportSink for KeptReports {
    fn keep(&self, kind: Kind, address: IpAddr, json: String) {
        let kind = match kind {
            Kind::Cast => CheckKind::Cast,
            Kind::Call => CheckKind::Call,
        };
        self.0.keep(kind, address, json, SystemTime::now());
    }
}
