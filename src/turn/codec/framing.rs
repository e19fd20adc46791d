//! ChannelData, the header of a Data indication, and frames of streams (RFC 8656 §11.3, §12.4, §12.5; RFC 8489 §6.2.2).
//!
//! The shell receives a peer's datagram behind [`MAX_FRAMING_HEADER_BYTES`] free bytes. [`Framing::write_header`] writes the
//! header into the last of them, directly in front of the payload, so that the payload is never copied:
//!
//! ```text
//!  buffer as received        |<---------- 48 bytes --------->|<-- payload -->|
//!
//!  ChannelData (4 bytes)     |            free      |ch |len |<-- payload -->|     ch, len: two bytes each
//!
//!  Data indication           |  free  |STUN header | XOR-PEER-ADDRESS | DATA |<-- payload -->|padding|
//!  (36 bytes, IPv6 peer 48)           |     20     |     12 or 24     |  4   |               |0 to 3 |
//! ```
//!
//! The datagram to the client begins where the header does. On a stream, ChannelData is padded to four bytes too (§12.5).

use std::net::SocketAddr;
use std::ops::Range;

use super::attribute::{self, AddressFamily};
use super::header::{Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId, type_number};

/// A channel number in 0x4000..=0x7FFF, the range of RFC 5766 §11. The range of RFC 8656 §12 ends at 0x4FFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 0x4000 && number <= 0x7FFF { Some(Self(number)) } else { None }
    }

    pub const fn number(self) -> u16 {
        self.0
    }
}

/// A ChannelData message: its channel, and the range of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelData {
    pub channel: ChannelNumber,
    pub payload: Range<usize>,
}

impl ChannelData {
    /// Reads a datagram or a frame. Bytes behind the payload are padding; `None` where the length exceeds the bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[high, low, len_high, len_low], rest) = bytes.split_first_chunk()?;
        let channel = ChannelNumber::new(u16::from_be_bytes([high, low]))?;
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        (len <= rest.len()).then_some(Self { channel, payload: 4..4 + len })
    }
}

/// The most bytes that [`Framing::write_header`] writes.
pub const MAX_FRAMING_HEADER_BYTES: usize = 48;

/// The header of a payload on its way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A ChannelData header of four bytes.
    Channel(ChannelNumber),
    /// A Data indication: 36 bytes, or 48 for an IPv6 peer.
    Data { peer: SocketAddr, transaction: TransactionId },
}

impl Framing {
    pub const fn header_len(&self) -> usize {
        match self {
            Self::Channel(_) => 4,
            Self::Data { peer: SocketAddr::V4(_), .. } => 36,
            Self::Data { peer: SocketAddr::V6(_), .. } => 48,
        }
    }

    /// The zero bytes behind the payload. A Data indication is always padded to four bytes, ChannelData only on a stream.
    pub const fn padding(&self, payload: usize, stream: bool) -> usize {
        match self {
            Self::Channel(_) if !stream => 0,
            Self::Channel(_) | Self::Data { .. } => payload.next_multiple_of(4) - payload,
        }
    }

    /// The longest payload that the length fields can express.
    pub const fn longest_payload(&self) -> usize {
        match self {
            Self::Channel(_) => u16::MAX as usize,
            Self::Data { .. } => (u16::MAX as usize - (self.header_len() - HEADER_LEN)) & !3,
        }
    }

    /// Writes the header for `payload` bytes into the **last** bytes of `headroom` and returns its length.
    ///
    /// # Panics
    /// Where `headroom` is shorter than [`Self::header_len`].
    pub fn write_header(&self, headroom: &mut [u8], payload: usize) -> usize {
        let len = self.header_len();
        let start =
            headroom.len().checked_sub(len).expect("the shell leaves MAX_FRAMING_HEADER_BYTES in front of what it receives");
        let out = &mut headroom[start..];
        match self {
            Self::Channel(channel) => {
                out[..2].copy_from_slice(&channel.0.to_be_bytes());
                out[2..].copy_from_slice(&(payload as u16).to_be_bytes());
            }
            Self::Data { peer, transaction } => {
                let total = len - HEADER_LEN + payload.next_multiple_of(4);
                out[..2].copy_from_slice(&type_number(Class::Indication, Method::Data).to_be_bytes());
                out[2..4].copy_from_slice(&(total as u16).to_be_bytes());
                out[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
                out[8..20].copy_from_slice(&transaction.0);
                let mut address = [0; 20];
                let address_len = attribute::put_xor_address(&mut address, *peer, transaction);
                out[20..22].copy_from_slice(&attribute::XOR_PEER_ADDRESS.to_be_bytes());
                out[22..24].copy_from_slice(&(address_len as u16).to_be_bytes());
                out[24..24 + address_len].copy_from_slice(&address[..address_len]);
                out[len - 4..len - 2].copy_from_slice(&attribute::DATA.to_be_bytes());
                out[len - 2..].copy_from_slice(&(payload as u16).to_be_bytes());
            }
        }
        len
    }

    /// The family of the peer's address, where the framing names one.
    pub const fn family(&self) -> Option<AddressFamily> {
        match self {
            Self::Channel(_) => None,
            Self::Data { peer, .. } => Some(AddressFamily::of(peer.ip())),
        }
    }
}

/// The beginning of the bytes that a stream has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFrame {
    /// A complete message of this many bytes, padding included.
    Complete(usize),
    /// The message is incomplete: at least this many bytes are needed.
    Incomplete(usize),
    /// Neither STUN nor ChannelData: the frames can no longer be told apart, so the connection must be closed.
    Invalid,
}

/// Finds the next message of a stream in the bytes received so far.
pub fn next_frame(bytes: &[u8]) -> StreamFrame {
    let Some(&[first, second, len_high, len_low]) = bytes.first_chunk() else {
        return match bytes.first() {
            Some(first) if first & 0xC0 != 0 && ChannelNumber::new(u16::from_be_bytes([*first, 0])).is_none() => {
                StreamFrame::Invalid
            }
            _ => StreamFrame::Incomplete(4),
        };
    };
    let len = usize::from(u16::from_be_bytes([len_high, len_low]));
    let total = if first & 0xC0 == 0 {
        let cookie = &bytes[4..bytes.len().min(8)];
        if len % 4 != 0 || !MAGIC_COOKIE.to_be_bytes().starts_with(cookie) {
            return StreamFrame::Invalid;
        }
        HEADER_LEN + len
    } else if ChannelNumber::new(u16::from_be_bytes([first, second])).is_some() {
        4 + len.next_multiple_of(4)
    } else {
        return StreamFrame::Invalid;
    };
    if bytes.len() < total { StreamFrame::Incomplete(total) } else { StreamFrame::Complete(total) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::codec::message::StunMessage;

    #[test]
    fn r09_channel_numbers_are_those_of_rfc_5766() {
        for (number, valid) in [(0x3FFF, false), (0x4000, true), (0x4FFF, true), (0x5000, true), (0x7FFF, true), (0x8000, false)]
        {
            assert_eq!(ChannelNumber::new(number).is_some(), valid, "{number:#06x}");
        }
        assert!(ChannelData::parse(&[0x7F, 0xFF, 0, 0]).is_some());
        assert_eq!(ChannelData::parse(&[0x80, 0, 0, 0]), None);
    }

    #[test]
    fn r12_a_length_beyond_the_packet_is_no_channel_data() {
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 3, 1, 2]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 2, 1, 2]).map(|data| data.payload), Some(4..6));
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 1, 1, 0, 0, 0]).map(|data| data.payload), Some(4..5));
        assert_eq!(ChannelData::parse(&[0x40, 0, 0]), None);
    }

    #[test]
    fn r11_frames_are_cut_at_any_split() {
        let mut stream = vec![0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0x7F, 0xFF, 0, 1, 9, 0, 0, 0];
        stream.extend([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut frames = Vec::new();
        let mut buffer = Vec::new();
        for byte in stream {
            buffer.push(byte);
            match next_frame(&buffer) {
                StreamFrame::Complete(len) => frames.extend([buffer.drain(..len).count()]),
                StreamFrame::Incomplete(len) => assert!(len > buffer.len()),
                StreamFrame::Invalid => panic!("{buffer:?}"),
            }
        }
        assert_eq!((frames, buffer.len()), (vec![12, 8, 20], 0));
        // "GET " looks like channel 0x4745: the dispatcher of the port tells other protocols apart.
        assert_eq!(next_frame(b"\x80OST / HTTP/1.1"), StreamFrame::Invalid);
        assert_eq!(next_frame(&[0x80]), StreamFrame::Invalid);
        assert_eq!(next_frame(&[0, 1, 0, 0, 0x21, 0x13]), StreamFrame::Invalid);
    }

    #[test]
    fn a_data_indication_is_written_in_front_of_its_payload() {
        for peer in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
            let peer: SocketAddr = peer.parse().expect("an address");
            let framing = Framing::Data { peer, transaction: TransactionId([3; 12]) };
            let mut packet = [0; MAX_FRAMING_HEADER_BYTES + 8];
            packet[MAX_FRAMING_HEADER_BYTES..MAX_FRAMING_HEADER_BYTES + 5].copy_from_slice(b"hello");
            let header = framing.write_header(&mut packet[..MAX_FRAMING_HEADER_BYTES], 5);
            let bytes = &packet[MAX_FRAMING_HEADER_BYTES - header..MAX_FRAMING_HEADER_BYTES + 5 + framing.padding(5, false)];
            let message = StunMessage::parse(bytes).expect("well formed");
            assert_eq!((message.class(), message.method()), (Class::Indication, Method::Data));
            assert_eq!(message.find(attribute::DATA), Some(&b"hello"[..]));
            let address = message.find(attribute::XOR_PEER_ADDRESS).expect("an address");
            assert_eq!(attribute::xor_address(address, &message.transaction()), Some(peer));
        }
    }
}
