//! A Socket.IO event as it comes and goes: arguments stay the JSON text they are, binary attachments keep their places.

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

/// Values of the JSON around binary attachments at most: each takes a multiple of what it is as text.
const MAX_VALUES: usize = 4096;
/// Bytes that one of them takes, about.
const VALUE_BYTES: usize = 160;

/// An event as it came: the JSON array with the event's name first, and the binary attachments.
pub struct Message {
    pub json: Str,
    pub attachments: VecDeque<Bytes>,
    /// The client asked for an ack.
    pub acked: bool,
}

impl Message {
    /// Bytes, attachments included.
    pub fn size(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl<A: Adapter> FromMessageParts<A> for Message {
    type Error = Infallible;

    fn from_message_parts(_: &Arc<Socket<A>>, packet: &mut Packet, ack: &Option<i64>) -> Result<Self, Infallible> {
        let (json, attachments) = match packet {
            Packet::Str(json, attachments) => (json.clone(), attachments.take().unwrap_or_default()),
            // Only other parsers than the one we use make these.
            Packet::Bytes(_) => (Str::from(""), VecDeque::new()),
        };
        Ok(Self { json, attachments, acked: ack.is_some() })
    }
}

/// The arguments of an event or of an ack, which know how much they are. They may be kept while they wait.
pub trait Weighed: Serialize + Send + 'static {
    /// Bytes on the wire, about.
    fn weight(&self) -> usize;
}

impl Weighed for Value {
    fn weight(&self) -> usize {
        let mut counter = Counter(0);
        // Writing to it can't fail, and values have strings for keys.
        serde_json::to_writer(&mut counter, self).ok();
        counter.0
    }
}

impl Weighed for String {
    fn weight(&self) -> usize {
        self.len() + "\"\"".len()
    }
}

impl Weighed for Payload {
    fn weight(&self) -> usize {
        self.bytes()
    }
}

/// An event without arguments: the parser takes an array for the list of them.
impl Weighed for [(); 0] {
    fn weight(&self) -> usize {
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

/// What one client sends another; opaque.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The JSON text as it came, copied and never parsed.
    Raw(Box<RawValue>),
    /// With binary attachments, whose places the text names.
    Binary { tree: Value, attachments: VecDeque<Bytes>, bytes: usize },
}

impl Payload {
    /// `None` where an attachment is missing or named twice, since each place would get a copy of it, or where there is more JSON
    /// around them than anybody needs.
    pub fn new(json: Box<RawValue>, attachments: VecDeque<Bytes>) -> Option<Self> {
        if attachments.is_empty() {
            return Some(Self::Raw(json));
        }
        let tree: Value = serde_json::from_str(json.get()).ok()?;
        let (mut free, mut values) = (vec![true; attachments.len()], 0);
        let fits = take_places(&tree, &mut free, &mut values);
        let bytes = json.get().len() + values * VALUE_BYTES + attachments.iter().map(Bytes::len).sum::<usize>();
        fits.then_some(Self::Binary { tree, attachments, bytes })
    }

    /// Bytes that it holds, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Raw(json) => json.get().len(),
            Self::Binary { bytes, .. } => *bytes,
        }
    }
}

/// Takes the places that `tree` names and counts its values; `false`: a place that there is not, or one for the second time, or too
/// many values.
fn take_places(tree: &Value, free: &mut [bool], values: &mut usize) -> bool {
    *values += 1;
    if *values > MAX_VALUES {
        return false;
    }
    match (placeholder(tree), tree) {
        (Some(place), _) => free.get_mut(place).is_some_and(std::mem::take),
        (None, Value::Object(map)) => map.values().all(|value| take_places(value, free, values)),
        (None, Value::Array(items)) => items.iter().all(|item| take_places(item, free, values)),
        (None, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => true,
    }
}

/// The attachment that `{_placeholder: true, num}` stands for; out of any range where `num` is none.
fn placeholder(value: &Value) -> Option<usize> {
    let map = value.as_object().filter(|map| map.get("_placeholder") == Some(&Value::Bool(true)))?;
    Some(map.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX))
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(json) => json.serialize(serializer),
            Self::Binary { tree, attachments, .. } => WithAttachments { tree, attachments }.serialize(serializer),
        }
    }
}

/// JSON whose `{_placeholder, num}` objects are turned back into the bytes they stand for.
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
