//! Frames of a WebSocket (RFC 6455 §5) as a client sends and receives them, without fragments and extensions.

/// Any key does; a server applies it to each byte.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// Adds a masked text frame to `out`.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(TEXT);
    match text.len() {
        short @ 0..126 => out.push(MASKED | short as u8),
        long => {
            out.push(MASKED | 126);
            out.extend_from_slice(&u16::try_from(long).expect("a message of 64 KiB at most").to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The payload of the first frame in `bytes`, and the length of the whole frame; `None` where it has not come completely.
pub(crate) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (head, len) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => {
            let len = bytes.get(2..10)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            (10, len)
        }
        short => (2, usize::from(short)),
    };
    Some((bytes.get(head..head + len)?, head + len))
}
