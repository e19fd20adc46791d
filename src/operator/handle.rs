//! [`Operator`]: the handles to all parts.

use std::fmt;
use std::sync::Arc;

use super::overview_parts::OverviewParts;
use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::multiconnection::gateway::MultiConnectionGateway;
use crate::users::{Directory, Store};

/// What an operator sees and does. Clones share it.
#[derive(Clone)]
pub struct Operator(pub(super) Arc<OperatorParts>);

/// The parts of the server that an operator looks at and acts on.
pub struct OperatorParts {
    pub cast: CastGateway,
    pub apprtc: AppRtcGateway,
    pub multiconnection: MultiConnectionGateway,
    pub directory: Directory,
    pub store: Store,
    pub overview: OverviewParts,
}

impl Operator {
    #[must_use]
    pub fn new(parts: OperatorParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}
