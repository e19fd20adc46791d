//! [`CliError`]: why a command ends early, which decides the exit status.
//!
//! Inside a command everything that fails is an `anyhow::Error`; `?` turns it into [`CliError::Failed`], or into [`CliError::Usage`] where
//! it is about settings ([`Problems`]).

use crate::config::Problems;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum CliError {
    /// Clap has something to print: help, the version or a usage error.
    Clap(clap::Error),
    /// A setting or an argument can't be used.
    Usage(String),
    Failed(anyhow::Error),
    /// What failed has been printed.
    Reported,
    /// What can't be used has been printed.
    ReportedUsage,
}

impl<E: Into<anyhow::Error>> From<E> for CliError {
    fn from(error: E) -> Self {
        match error.into().downcast::<Problems>() {
            Ok(problems) => Self::Usage(problems.to_string()),
            Err(error) => Self::Failed(error),
        }
    }
}
