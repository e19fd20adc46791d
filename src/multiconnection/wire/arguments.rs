//! The arguments of events and acks, as they go to a client.

use std::sync::Arc;

use serde::ser::{SerializeMap as _, SerializeTuple as _};
use serde::{Serialize, Serializer};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::multiconnection::model::{OpaqueJson, UserId};
use crate::socketio::gateway::packet::{EventArguments, ForwardedJson};

/// JSON that is forwarded as it was received; cheap to copy.
#[derive(Debug, Clone)]
pub struct Json(Arc<ForwardedJson>);

impl Json {
    pub(super) fn of(value: &impl Serialize) -> Self {
        Self::raw(to_raw_value(value).expect("strings, numbers and maps with string keys are JSON"))
    }

    pub(super) fn raw(json: Box<RawValue>) -> Self {
        ForwardedJson::Raw(json).into()
    }
}

impl From<ForwardedJson> for Json {
    fn from(payload: ForwardedJson) -> Self {
        Self(Arc::new(payload))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl OpaqueJson for Json {
    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn empty() -> Self {
        Self::of(&json!({}))
    }
}

/// The arguments of an event or of an ack.
pub struct Arguments(pub(super) Vec<Argument>);

pub(super) enum Argument {
    Json(Json),
    Message { to: UserId, sender: UserId, message: Json, extra: Option<Json> },
}

impl Arguments {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn one(value: &impl Serialize) -> Self {
        Self(vec![Argument::Json(Json::of(value))])
    }
}

impl EventArguments for Arguments {
    fn wire_bytes(&self) -> usize {
        self.0.iter().map(Argument::wire_bytes).sum::<usize>() + self.0.len()
    }
}

impl Argument {
    /// About how many bytes the argument takes on the wire.
    fn wire_bytes(&self) -> usize {
        /// `{"remoteUserId":"","message":,"sender":"","extra":}`
        const KEY_BYTES: usize = 50;
        match self {
            Self::Json(json) => json.bytes(),
            Self::Message { to, sender, message, extra } => {
                KEY_BYTES + to.len() + sender.len() + message.bytes() + extra.as_ref().map_or(0, OpaqueJson::bytes)
            }
        }
    }
}

impl From<Json> for Argument {
    fn from(json: Json) -> Self {
        Self::Json(json)
    }
}

impl From<Json> for Arguments {
    fn from(json: Json) -> Self {
        Self(vec![json.into()])
    }
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(json) => json.serialize(serializer),
            Self::Message { to, sender, message, extra } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("remoteUserId", &**to)?;
                map.serialize_entry("message", message)?;
                map.serialize_entry("sender", &**sender)?;
                extra.iter().try_for_each(|extra| map.serialize_entry("extra", extra))?;
                map.end()
            }
        }
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Each member of a tuple is an argument; an array would be one argument.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

macro_rules! arguments {
    ($($value:expr),*) => { Arguments(vec![$(Json::of(&$value).into()),*]) };
}

pub(super) use arguments;
