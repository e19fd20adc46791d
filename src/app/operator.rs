//! Hands all parts to the operator.

use super::server::App;
use crate::operator::{Operator, OperatorParts};

impl App {
    /// What an operator sees and does.
    #[expect(dead_code, reason = "the questions come next")]
    pub(super) fn operator(&self) -> Operator {
        Operator::new(OperatorParts {
            cast: self.cast.clone(),
            apprtc: self.apprtc.clone(),
            multiconnection: self.multiconnection.clone(),
            directory: self.directory.clone(),
            store: self.store.clone(),
        })
    }
}
