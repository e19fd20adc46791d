//! What doctor says: one line a finding.

use serde::Serialize;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) name: Topic,
    pub(super) state: State,
    /// Sentences or a list; printed in lines of at most 80 columns.
    pub(super) text: String,
    /// Commands that repair it, one a line, without a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    /// The code of the verdict that the finding stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<String>,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    Settings,
    Ports,
    Name,
    Cert,
    Address,
    Relay,
    Firewall,
    Files,
    Clock,
    Disk,
    Proxy,
    Programs,
    Outside,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It could not be found out.
    Unknown,
    /// It should be changed, and casts work all the same.
    Warning,
    /// Casts can't work, or a path that clients are given doesn't.
    Failed,
}

impl Line {
    pub(super) fn new(name: Topic, state: State, text: impl Into<String>) -> Self {
        Self { name, state, text: text.into(), command: None, verdict: None }
    }

    pub(super) fn ok(name: Topic, text: impl Into<String>) -> Self {
        Self::new(name, State::Ok, text)
    }

    pub(super) fn failed(name: Topic, text: impl Into<String>) -> Self {
        Self::new(name, State::Failed, text)
    }

    pub(super) fn warning(name: Topic, text: impl Into<String>) -> Self {
        Self::new(name, State::Warning, text)
    }

    pub(super) fn unknown(name: Topic, text: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, text)
    }

    pub(super) fn with_command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    pub(super) fn with_verdict(self, code: impl Into<String>) -> Self {
        Self { verdict: Some(code.into()), ..self }
    }
}

impl Topic {
    /// At most eight characters.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Settings => "Settings",
            Self::Ports => "Ports",
            Self::Name => "Name",
            Self::Cert => "Cert",
            Self::Address => "Address",
            Self::Relay => "Relay",
            Self::Firewall => "Firewall",
            Self::Files => "Files",
            Self::Clock => "Clock",
            Self::Disk => "Disk",
            Self::Proxy => "Proxy",
            Self::Programs => "Programs",
            Self::Outside => "Outside",
        }
    }
}

impl State {
    pub(super) const fn mark(self) -> char {
        match self {
            Self::Ok => '✔',
            Self::Unknown => '?',
            Self::Warning => '!',
            Self::Failed => '✘',
        }
    }
}
