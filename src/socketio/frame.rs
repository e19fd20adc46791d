//! PURE. One frame of a WebSocket: its head, and where its bytes go.

/// The bit of a head's first byte that says that the message ends.
pub(super) const FIN: u8 = 0x80;
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
/// From here on opcodes are those of control frames.
pub(super) const CONTROL: u8 = 8;

/// A frame's head (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// FIN, the reserved bits, and the opcode.
    pub(super) first: u8,
    pub(super) key: Option<[u8; 4]>,
    /// Bytes of the head itself.
    pub(super) size: usize,
    /// Bytes of the payload.
    pub(super) len: u64,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (len, after) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let (key, size) = match second & 0x80 {
            0 => (None, after),
            _ => (Some(bytes.get(after..after + 4)?.try_into().ok()?), after + 4),
        };
        Some(Self { first, key, size, len })
    }

    pub(super) const fn fin(&self) -> bool {
        self.first & FIN != 0
    }

    pub(super) const fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    /// Whether it has a reserved bit, as compressed messages have.
    pub(super) const fn is_reserved(&self) -> bool {
        self.first & 0x70 != 0
    }
}

/// Where bytes go: as long as nothing is held back, they stay in their place.
pub(super) struct Sink<'a> {
    pub(super) input: &'a [u8],
    /// Bytes that stay.
    pub(super) passed: usize,
    pub(super) output: &'a mut Vec<u8>,
    /// Nothing is held back, so nothing comes here.
    pub(super) closed: bool,
}

impl Sink<'_> {
    pub(super) fn pass(&mut self, at: usize, len: usize) {
        if self.closed {
            return;
        }
        if self.passed == at && self.output.is_empty() {
            self.passed += len;
        } else {
            self.output.extend_from_slice(&self.input[at..at + len]);
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.output.extend_from_slice(bytes);
        }
    }

    /// Adds a head for a payload of so many bytes.
    pub(super) fn add_head(&mut self, first: u8, key: Option<[u8; 4]>, len: u64) {
        let mask = if key.is_some() { 0x80 } else { 0 };
        self.output.push(first);
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ ..=125), _) => self.output.push(mask | len),
            (_, Ok(len)) => {
                self.output.push(mask | 126);
                self.output.extend(len.to_be_bytes());
            }
            (_, Err(_)) => {
                self.output.push(mask | 127);
                self.output.extend(len.to_be_bytes());
            }
        }
        self.output.extend(key.iter().flatten());
    }

    /// Adds a frame; `payload` is not masked yet.
    pub(super) fn add_frame(&mut self, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
        self.add_head(first, key, payload.len() as u64);
        let key = key.unwrap_or_default();
        self.output.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}
