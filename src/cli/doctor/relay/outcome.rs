//! What came of a test.

use std::time::Duration;

use super::connect::Fault;
use super::ways::Tested;
use crate::cli::doctor::tls::Doubt;

/// How long it took, and what is wrong with the certificate.
pub(super) type Result = std::result::Result<(Duration, Option<Doubt>), Fault>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) tested: Tested,
    pub(super) advertised: Result,
    /// Where the relay listens on this machine, if the advertised way failed.
    pub(super) local: Option<Result>,
}
