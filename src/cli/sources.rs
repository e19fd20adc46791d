//! [`Source`]: a place that settings come from, and [`Origin`]: the place of one setting, with its line.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::env_file::Variable;
use crate::config::{Settings, variable_of};

/// The flags, the environment, or a file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    place: Place,
    settings: Settings,
    /// The variables of the file; the first one of a name counts.
    variables: Vec<Variable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Flags,
    Environment,
    File(PathBuf),
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "place", rename_all = "lowercase")]
pub(super) enum Origin {
    Flag { flag: String },
    Environment,
    File { file: PathBuf, line: usize },
}

impl Source {
    pub(super) fn flags(settings: Settings) -> Self {
        Self { place: Place::Flags, settings, variables: Vec::new() }
    }

    pub(super) fn environment(settings: Settings) -> Self {
        Self { place: Place::Environment, settings, variables: Vec::new() }
    }

    /// The file at `path`, whose `variables` become `settings`.
    pub(super) fn file(path: PathBuf, settings: Settings, variables: &[Variable]) -> Self {
        Self { place: Place::File(path), settings, variables: variables.to_vec() }
    }

    /// Where it sets the field; `None`: it does not.
    pub(super) fn origin(&self, field: &str) -> Option<Origin> {
        self.settings.set_fields().any(|(set, _)| set == field).then(|| match &self.place {
            Place::Flags => Origin::Flag { flag: format!("--{}", field.replace('_', "-")) },
            Place::Environment => Origin::Environment,
            Place::File(file) => {
                let name = variable_of(field);
                let found = self.variables.iter().find(|variable| variable.name == name);
                Origin::File { file: file.clone(), line: found.map_or(0, |variable| variable.line) }
            }
        })
    }

    /// Its file.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Flags | Place::Environment => None,
        }
    }

    /// The variables of its file; the first one of a name counts.
    pub(super) fn variables(&self) -> &[Variable] {
        &self.variables
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { flag } => f.write_str(flag),
            Self::Environment => f.write_str("environment"),
            Self::File { file, line } => write!(f, "{}, line {line}", file.display()),
        }
    }
}
