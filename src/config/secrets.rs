//! [`Secrets`]: the secrets of a setting, and where they come from.

use super::secret::Secret;
use crate::sentence::Sentence;

/// The secrets of a setting, or of the file that it names.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) values: Vec<Secret<String>>,
    /// The variable that has them, or that names their file.
    pub(super) variable: String,
    /// What is odd about them, in sentences.
    pub(super) warnings: Vec<Sentence>,
}
