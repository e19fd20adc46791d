//! The arguments of a client's event, each as the JSON text it came as.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::failure::Failure;

/// Characters of a user name or a token.
const MAX_TEXT_CHARACTERS: usize = 512;

pub(super) struct Arguments<'a>(pub(super) &'a [&'a RawValue]);

impl<'a> Arguments<'a> {
    /// The first argument, if it is not null.
    pub(super) fn first(&self) -> Option<&'a RawValue> {
        self.0.first().copied().filter(|first| first.get() != "null")
    }

    /// An argument as a value; null where it is missing.
    pub(super) fn value(&self, index: usize) -> Value {
        self.0.get(index).and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
    }
}

/// The members of an object; `None`: it is no object.
pub(super) fn members(json: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json.get()).ok()
}

/// A string that the client may leave out, or give as null.
pub(super) fn optional_text(text: Option<String>, expected: &str) -> Result<Option<String>, Failure> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.chars().count() > MAX_TEXT_CHARACTERS => Err(Failure::malformed(expected)),
        text => Ok(text),
    }
}
