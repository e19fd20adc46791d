//! One frame of a WebSocket: its header, and the output that frames are written to. PURE.

/// RFC 6455 §5.2: the bit of the first byte that marks the last fragment of a message.
pub const FIN: u8 = 0x80;
/// Opcodes (RFC 6455 §5.2).
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
/// The first opcode of control frames.
pub const CONTROL: u8 = 8;

/// The header of a frame (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy)]
pub struct FrameHeader {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub key: Option<[u8; 4]>,
    /// Bytes of the header itself.
    pub size: usize,
    /// Bytes of the payload.
    pub len: u64,
}

impl FrameHeader {
    /// `None`: the header is not complete.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
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

    pub const fn fin(&self) -> bool {
        self.first & FIN != 0
    }

    pub const fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    /// Whether a reserved bit is set, as in compressed messages.
    pub const fn has_reserved_bits(&self) -> bool {
        self.first & 0x70 != 0
    }
}

/// The output of a filter. As long as no byte is held back or replaced, bytes stay in the input and are only counted in `passed`.
pub struct FrameOutput<'a> {
    pub input: &'a [u8],
    /// How many first bytes of the input pass unchanged.
    pub passed: usize,
    pub output: &'a mut Vec<u8>,
    /// The filter only counts: all bytes pass unchanged.
    pub only_counts: bool,
}

impl FrameOutput<'_> {
    /// Passes on a part of the input.
    pub fn pass(&mut self, at: usize, len: usize) {
        if self.only_counts {
            return;
        }
        if self.passed == at && self.output.is_empty() {
            self.passed += len;
        } else {
            self.output.extend_from_slice(&self.input[at..at + len]);
        }
    }

    /// Passes on bytes that are not in the input.
    pub fn add(&mut self, bytes: &[u8]) {
        if !self.only_counts {
            self.output.extend_from_slice(bytes);
        }
    }

    /// Adds a header for a payload of `len` bytes.
    pub fn add_header(&mut self, first: u8, key: Option<[u8; 4]>, len: u64) {
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

    /// Adds a frame; `payload` is not masked.
    pub fn add_frame(&mut self, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
        self.add_header(first, key, payload.len() as u64);
        let key = key.unwrap_or_default();
        self.output.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}
