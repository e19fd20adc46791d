//! Hands all parts to the operator.

use super::server::App;
use crate::operator::{Operator, OperatorParts};

impl App {
    /// What an operator sees and does.
    pub(super) fn operator(&self) -> Operator {
        Operator::new(OperatorParts {
            cast: self.cast.clone(),
            apprtc: self.apprtc.clone(),
            multiconnection: self.multiconnection.clone(),
            allocations: self.relay.live_allocations(),
            directory: self.directory.clone(),
            store: self.store.clone(),
            reports: self.relay.reports().clone(),
            trusted_proxies: self.config.http.trusted_proxies.clone(),
            external: self.external.clone(),
        })
    }
}
