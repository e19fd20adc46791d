//! An event that the server sends.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireEvent {
    pub name: &'static str,
    /// The event's one argument; `None`: the event has no arguments.
    pub argument: Option<Value>,
}

impl WireEvent {
    pub(super) const fn new(name: &'static str, argument: Value) -> Self {
        Self { name, argument: Some(argument) }
    }

    pub(super) const fn bare(name: &'static str) -> Self {
        Self { name, argument: None }
    }
}
