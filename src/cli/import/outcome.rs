//! What becomes of one option that is set.

use super::config_file::Place;

/// A variable with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) variable: &'static str,
    pub(super) value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Settings, and perhaps a sentence on what is different.
    Set(Vec<Assignment>, Option<String>),
    /// A setting with its default.
    Default(Assignment, Option<String>),
    /// A setting that the operator writes, as the sentence says.
    ByHand(&'static str, String),
    /// Users or a secret, in words.
    Users(String),
    /// Nothing, because of what the sentence says.
    Nothing(String),
    /// Another place sets the same option, and the last one counts.
    Replaced(Place),
    /// turnserver has no such option; perhaps it is this one.
    Unknown(Option<&'static str>),
    /// The value can't be used, because of what the text says.
    Unusable(String),
}

impl Outcome {
    pub(super) fn set(variable: &'static str, value: impl Into<String>) -> Self {
        Self::Set(vec![Assignment { variable, value: value.into() }], None)
    }

    pub(super) fn noted(mut self, sentence: impl Into<String>) -> Self {
        if let Self::Set(_, note) = &mut self {
            *note = Some(sentence.into());
        }
        self
    }

    /// The settings with their values, also those with the default.
    pub(super) fn assignments(&self) -> &[Assignment] {
        if let Self::Set(assignments, _) = self {
            assignments
        } else if let Self::Default(assignment, _) = self {
            std::slice::from_ref(assignment)
        } else {
            &[]
        }
    }
}
