//! [`Sentence`]: what the server says to operators, in the languages of the pages. PURE.
//!
//! The log and the commands are in English; `/admin` shows its page's language. Errors of the system are in both as they come.

use std::fmt;

use serde::Serialize;

/// The same sentence in English and in Chinese.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    pub en: String,
    pub zh: String,
}

impl Sentence {
    #[must_use]
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }
}

/// In English.
impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}
