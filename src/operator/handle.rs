//! [`Operator`]: the handles to all parts.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::overview_parts::OverviewParts;
use crate::addresses::external::ExternalAddresses;
use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::limits::guesses::GuessReports;
use crate::multiconnection::gateway::MultiConnectionGateway;
use crate::relay::LiveAllocations;
use crate::users::{Directory, Store};

/// What an operator sees and does. Clones share it.
#[derive(Clone)]
pub struct Operator(pub(super) Arc<OperatorParts>);

/// The parts of the server that an operator looks at and acts on.
pub struct OperatorParts {
    pub cast: CastGateway,
    pub apprtc: AppRtcGateway,
    pub multiconnection: MultiConnectionGateway,
    pub allocations: LiveAllocations,
    pub directory: Directory,
    pub store: Store,
    pub overview: OverviewParts,
    /// The realm that passwords are set for.
    pub realm: String,
    /// Wrong guesses, and who is throttled because of them.
    pub reports: GuessReports,
    pub trusted_proxies: Vec<IpNet>,
    pub external: ExternalAddresses,
}

impl Operator {
    #[must_use]
    pub fn new(parts: OperatorParts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}
