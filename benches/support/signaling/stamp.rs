//! The times in measured messages: nanoseconds in 16 digits, after a mark near the end.

use anyhow::Context;

const MARK: &[u8] = b" stamp ";
const DIGITS: usize = 16;
/// Servers may add fields after the text with the stamp.
const MAX_BYTES_AFTER_STAMP: usize = 256;

/// Pads a message to about `len` bytes, and puts the place of a stamp between `head` and `tail`.
pub(crate) fn padded(head: &str, tail: &str, len: usize) -> Vec<u8> {
    let padding = "x".repeat(len.saturating_sub(head.len() + MARK.len() + DIGITS + tail.len()));
    let zeros = [b'0'; DIGITS];
    [head.as_bytes(), padding.as_bytes(), MARK, &zeros, tail.as_bytes()].concat()
}

/// Writes a stamp into a message.
///
/// # Errors
/// The message has no place for it.
pub(crate) fn write(message: &mut [u8], nanos: u64) -> anyhow::Result<()> {
    let at = place(message).context("a message has no place for a stamp")?;
    message[at..at + DIGITS].copy_from_slice(format!("{nanos:0DIGITS$}").as_bytes());
    Ok(())
}

/// The stamp of a received message.
pub(crate) fn read(message: &[u8]) -> Option<u64> {
    let at = place(message)?;
    std::str::from_utf8(message.get(at..at + DIGITS)?).ok()?.parse().ok()
}

fn place(message: &[u8]) -> Option<usize> {
    let from = message.len().saturating_sub(MAX_BYTES_AFTER_STAMP + DIGITS);
    Some(from + find(&message[from..], MARK)? + MARK.len())
}

/// Where `pattern` begins.
pub(crate) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == first) {
        at += next;
        if bytes[at..].starts_with(pattern) {
            return Some(at);
        }
        at += 1;
    }
    None
}
