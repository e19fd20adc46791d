//! The first bytes of a message of Engine.IO: which packet of Socket.IO it is, and how many attachments follow. PURE.

/// Bytes at the beginning of a packet of Socket.IO that hold the number of its attachments (`4599-[`), if it has any.
pub const MAX_START_BYTES: usize = 8;
/// How a packet begins that asks for a namespace.
pub const CONNECT_PREFIX: &[u8] = b"40";

/// Complete packets that ask for a namespace. socketioxide answers each of them without the gateways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectPackets {
    pub packets: u32,
    /// Of all these packets together.
    pub bytes: u32,
}

impl ConnectPackets {
    pub fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}

/// The beginning of the present or the last message; empty for a binary one.
#[derive(Debug, Clone, Copy)]
pub struct MessageStart {
    pub is_text: bool,
    len: u8,
    bytes: [u8; MAX_START_BYTES],
}

impl MessageStart {
    pub const fn new(is_text: bool) -> Self {
        Self { is_text, len: 0, bytes: [0; MAX_START_BYTES] }
    }

    pub fn extend(&mut self, more: impl Iterator<Item = u8>) {
        let free = self.bytes.iter_mut().skip(usize::from(self.len));
        for (place, byte) in free.zip(more) {
            *place = byte;
            self.len += 1;
        }
    }

    pub fn is_connect(&self) -> bool {
        self.is_text && self.bytes().starts_with(CONNECT_PREFIX)
    }

    /// See [`announced_attachments`].
    pub fn attachments(&self) -> Option<u32> {
        announced_attachments(self.bytes(), self.is_text)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// How many messages with attachments follow the message that begins with `start`. `None`: the message is an attachment itself, binary
/// or (from old clients, and by polling) base64.
pub fn announced_attachments(start: &[u8], is_text: bool) -> Option<u32> {
    if !is_text || start.starts_with(b"b") {
        return None;
    }
    // A message of Engine.IO with a binary event or a binary acknowledgement of Socket.IO.
    let [b'4', b'5' | b'6', rest @ ..] = start else { return Some(0) };
    let digits = rest.split(|byte| *byte == b'-').next().filter(|digits| digits.len() < rest.len());
    let count = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Some(count.unwrap_or(0))
}
