//! Socket.IO events as they are received and sent: arguments stay the JSON text that they are, binary attachments keep their places.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use socketioxide::adapter::Adapter;
use socketioxide::handler::FromMessageParts;
use socketioxide::socket::Socket;
use socketioxide_core::{Str, Value as Packet};

/// Values of the JSON around binary attachments: each takes several times its text in memory.
const MAX_VALUES: usize = 4096;
/// About how many bytes one of those values takes.
const VALUE_BYTES: usize = 160;

/// A received event: the JSON array with the event's name first, and the binary attachments.
pub struct EventPacket {
    pub json: Str,
    pub attachments: VecDeque<Bytes>,
    /// The client asked for an acknowledgement.
    pub wants_ack: bool,
}

impl EventPacket {
    /// The event's size, attachments included.
    pub fn bytes(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl<A: Adapter> FromMessageParts<A> for EventPacket {
    type Error = Infallible;

    fn from_message_parts(_: &Arc<Socket<A>>, packet: &mut Packet, ack: &Option<i64>) -> Result<Self, Infallible> {
        let (json, attachments) = match packet {
            Packet::Str(json, attachments) => (json.clone(), attachments.take().unwrap_or_default()),
            // Only parsers other than ours make these.
            Packet::Bytes(_) => (Str::from(""), VecDeque::new()),
        };
        Ok(Self { json, attachments, wants_ack: ack.is_some() })
    }
}

/// The arguments of an event or of an acknowledgement. They may be kept while the event waits.
pub trait EventArguments: Serialize + Send + 'static {
    /// About how many bytes the arguments take on the wire.
    fn wire_bytes(&self) -> usize;
}

impl EventArguments for Value {
    fn wire_bytes(&self) -> usize {
        let mut counter = Counter(0);
        // Neither can fail: the counter accepts everything, and a value's keys are strings.
        serde_json::to_writer(&mut counter, self).ok();
        counter.0
    }
}

impl EventArguments for String {
    fn wire_bytes(&self) -> usize {
        self.len() + "\"\"".len()
    }
}

impl EventArguments for ForwardedJson {
    fn wire_bytes(&self) -> usize {
        self.bytes()
    }
}

/// An event without arguments: the parser takes an array for the list of them.
impl EventArguments for [(); 0] {
    fn wire_bytes(&self) -> usize {
        "[]".len()
    }
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON that one client sends another; opaque.
#[derive(Debug, Clone)]
pub enum ForwardedJson {
    /// The JSON text as it was received, copied and never parsed.
    Raw(Box<RawValue>),
    /// JSON with binary attachments, whose placeholders the text contains.
    Binary { tree: Value, attachments: VecDeque<Bytes>, bytes: usize },
}

impl ForwardedJson {
    /// `None` where an attachment is missing or named twice, since each placeholder would get a copy, or where the JSON around the
    /// attachments has too many values.
    pub fn new(json: Box<RawValue>, attachments: VecDeque<Bytes>) -> Option<Self> {
        if attachments.is_empty() {
            return Some(Self::Raw(json));
        }
        let tree: Value = serde_json::from_str(json.get()).ok()?;
        let (mut free, mut values) = (vec![true; attachments.len()], 0);
        let fits = take_placeholders(&tree, &mut free, &mut values);
        let bytes = json.get().len() + values * VALUE_BYTES + attachments.iter().map(Bytes::len).sum::<usize>();
        fits.then_some(Self::Binary { tree, attachments, bytes })
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Raw(json) => json.get().len(),
            Self::Binary { bytes, .. } => *bytes,
        }
    }
}

/// Takes the attachments that `tree` names and counts its values; `false`: an attachment does not exist or is named a second time, or
/// `tree` has too many values.
fn take_placeholders(tree: &Value, free: &mut [bool], values: &mut usize) -> bool {
    *values += 1;
    if *values > MAX_VALUES {
        return false;
    }
    match (placeholder(tree), tree) {
        (Some(place), _) => free.get_mut(place).is_some_and(std::mem::take),
        (None, Value::Object(map)) => map.values().all(|value| take_placeholders(value, free, values)),
        (None, Value::Array(items)) => items.iter().all(|item| take_placeholders(item, free, values)),
        (None, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => true,
    }
}

/// The index of the attachment that `{_placeholder: true, num}` stands for; out of any range where `num` is not a number.
fn placeholder(value: &Value) -> Option<usize> {
    let map = value.as_object().filter(|map| map.get("_placeholder") == Some(&Value::Bool(true)))?;
    Some(map.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX))
}

impl Serialize for ForwardedJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(json) => json.serialize(serializer),
            Self::Binary { tree, attachments, .. } => WithAttachments { tree, attachments }.serialize(serializer),
        }
    }
}

/// JSON whose `{_placeholder, num}` objects are turned back into the bytes that they stand for.
struct WithAttachments<'a> {
    tree: &'a Value,
    attachments: &'a VecDeque<Bytes>,
}

impl Serialize for WithAttachments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inside = |tree| WithAttachments { tree, attachments: self.attachments };
        if let Some(bytes) = placeholder(self.tree).and_then(|place| self.attachments.get(place)) {
            return serializer.serialize_bytes(bytes);
        }
        match self.tree {
            Value::Object(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                map.iter().try_for_each(|(key, value)| out.serialize_entry(key, &inside(value)))?;
                out.end()
            }
            Value::Array(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| out.serialize_element(&inside(item)))?;
                out.end()
            }
            leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => leaf.serialize(serializer),
        }
    }
}
