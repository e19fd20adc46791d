//! Reading STUN messages without copying (RFC 8489 §5, §6.3).
//!
//! A [`StunMessage`] borrows the datagram. [`StunMessage::parse`] walks the attributes once and checks their bounds, so that
//! later readers need not. It checks FINGERPRINT, and records the offsets of the integrity attributes, because attributes behind
//! those do not count (RFC 8489 §9).

use super::attribute::{self, COMPREHENSION_OPTIONAL};
use super::fingerprint;
use super::header::{Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId, class_and_method};

/// Attributes of one message. Clients send far fewer; the limit bounds the cost of one message.
const MAX_ATTRIBUTES: usize = 256;
/// Unknown attributes that one 420 lists.
const MAX_UNKNOWN_LISTED: usize = 8;

/// Why bytes are no STUN message; nothing of this kind is ever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// The bytes are shorter than a header, or lack its leading zero bits or the magic cookie.
    NotStun,
    /// The length field disagrees with the datagram.
    Length,
    /// An attribute extends beyond the message, or an integrity attribute has a wrong size.
    Attribute,
    TooManyAttributes,
    /// FINGERPRINT does not match, or is not the last attribute.
    Fingerprint,
}

/// A STUN message whose attributes are within bounds. Values are checked where they are used.
#[derive(Debug, Clone, Copy)]
pub struct StunMessage<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// Where the attributes that count end: at the first integrity attribute, at FINGERPRINT, or with the message.
    end: usize,
    integrity: Option<usize>,
    integrity_sha256: Option<usize>,
    fingerprint: bool,
}

impl<'a> StunMessage<'a> {
    /// Reads one whole message: a datagram, or a frame as [`super::framing::next_frame`] cuts it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(ParseError::NotStun)?;
        let [kind_high, kind_low, len_high, len_low, cookie @ ..] = header;
        if kind_high & 0xC0 != 0 || !cookie.starts_with(&MAGIC_COOKIE.to_be_bytes()) {
            return Err(ParseError::NotStun);
        }
        let length = usize::from(u16::from_be_bytes([*len_high, *len_low]));
        if length % 4 != 0 || length + HEADER_LEN != bytes.len() {
            return Err(ParseError::Length);
        }
        let (class, method) = class_and_method(u16::from_be_bytes([*kind_high, *kind_low]));
        let mut message =
            Self { bytes, class, method, end: bytes.len(), integrity: None, integrity_sha256: None, fingerprint: false };
        message.walk()?;
        Ok(message)
    }

    fn walk(&mut self) -> Result<(), ParseError> {
        let mut rest = Attributes { bytes: self.bytes, offset: HEADER_LEN };
        for _ in 0..MAX_ATTRIBUTES {
            let offset = rest.offset;
            if offset == self.bytes.len() {
                return Ok(());
            }
            let (kind, value) = rest.next().ok_or(ParseError::Attribute)?;
            match kind {
                attribute::FINGERPRINT => {
                    if rest.offset != self.bytes.len() || !fingerprint::matches(&self.bytes[..offset], value) {
                        return Err(ParseError::Fingerprint);
                    }
                    self.fingerprint = true;
                    self.end = self.end.min(offset);
                }
                attribute::MESSAGE_INTEGRITY if self.integrity.is_none() && self.integrity_sha256.is_none() => {
                    if value.len() != 20 {
                        return Err(ParseError::Attribute);
                    }
                    self.integrity = Some(offset);
                    self.end = self.end.min(offset);
                }
                // RFC 8489 §14.6 lets a usage truncate the 32 bytes. TURN does not allow that.
                attribute::MESSAGE_INTEGRITY_SHA256 if self.integrity_sha256.is_none() => {
                    if value.len() != 32 {
                        return Err(ParseError::Attribute);
                    }
                    self.integrity_sha256 = Some(offset);
                    self.end = self.end.min(offset);
                }
                _ => {}
            }
        }
        if rest.offset == self.bytes.len() { Ok(()) } else { Err(ParseError::TooManyAttributes) }
    }

    pub const fn class(&self) -> Class {
        self.class
    }

    pub const fn method(&self) -> Method {
        self.method
    }

    pub fn transaction(&self) -> TransactionId {
        TransactionId(*self.bytes[8..].first_chunk().expect("parse() saw a whole header"))
    }

    /// The whole message as it arrived.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes that count: those before the integrity attributes and FINGERPRINT.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: &self.bytes[..self.end], offset: HEADER_LEN }
    }

    /// The value of the first attribute of this kind; later ones are ignored (RFC 8489 §14).
    pub fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub fn has(&self, kind: u16) -> bool {
        self.find(kind).is_some()
    }

    /// Where MESSAGE-INTEGRITY begins.
    pub const fn integrity(&self) -> Option<usize> {
        self.integrity
    }

    /// Where MESSAGE-INTEGRITY-SHA256 begins.
    pub const fn integrity_sha256(&self) -> Option<usize> {
        self.integrity_sha256
    }

    /// Whether the message has a FINGERPRINT, which [`Self::parse`] has verified.
    pub const fn fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// The comprehension-required attributes that `known` does not know.
    pub fn unknown_attributes(&self, known: impl Fn(u16) -> bool) -> UnknownAttributes {
        let mut unknown = UnknownAttributes::default();
        for (kind, _) in self.attributes().filter(|(kind, _)| *kind < COMPREHENSION_OPTIONAL && !known(*kind)) {
            unknown.push(kind);
        }
        unknown
    }
}

/// Attributes in the order they appear: number and value.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..)?;
        let (&[kind_high, kind_low, len_high, len_low], rest) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let padded = len.next_multiple_of(4);
        if rest.len() < padded {
            return None;
        }
        self.offset += 4 + padded;
        Some((u16::from_be_bytes([kind_high, kind_low]), &rest[..len]))
    }
}

/// The list for UNKNOWN-ATTRIBUTES (RFC 8489 §14.13), without duplicates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownAttributes {
    list: [u16; MAX_UNKNOWN_LISTED],
    len: usize,
}

impl UnknownAttributes {
    pub fn push(&mut self, kind: u16) {
        if self.len < MAX_UNKNOWN_LISTED && !self.as_slice().contains(&kind) {
            self.list[self.len] = kind;
            self.len += 1;
        }
    }

    pub fn as_slice(&self) -> &[u16] {
        &self.list[..self.len]
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<u16> for UnknownAttributes {
    fn from(kind: u16) -> Self {
        let mut unknown = Self::default();
        unknown.push(kind);
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_disagree_are_refused() {
        let mut bytes = [0; 28];
        bytes[1] = 1;
        bytes[3] = 8;
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes[20..24].copy_from_slice(&[0x80, 0x22, 0, 4]);
        assert!(StunMessage::parse(&bytes).is_ok());
        assert_eq!(StunMessage::parse(&bytes[..24]).err(), Some(ParseError::Length));
        assert_eq!(StunMessage::parse(&bytes[..19]).err(), Some(ParseError::NotStun));
        bytes[23] = 5;
        assert_eq!(StunMessage::parse(&bytes).err(), Some(ParseError::Attribute));
        bytes[0] = 0x40;
        assert_eq!(StunMessage::parse(&bytes).err(), Some(ParseError::NotStun));
    }

    #[test]
    fn the_list_of_unknown_attributes_is_bounded() {
        let mut unknown = UnknownAttributes::default();
        for kind in (0..40).chain(0..40) {
            unknown.push(kind);
        }
        assert_eq!(unknown.as_slice(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
