//! Writing STUN messages into a buffer that is reused.

use std::net::SocketAddr;

use super::attribute;
use super::error_code::ErrorCode;
use super::fingerprint::fingerprint;
use super::header::{Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId, type_number};
use super::integrity::{IntegrityAlgorithm, LongTermKey};

/// Writes one message into a `Vec`, which it clears first. Once the `Vec` has grown to the largest message, nothing is allocated.
///
/// The length field is correct after every attribute, so that the message may end with any of them.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    bytes: &'b mut Vec<u8>,
}

impl<'b> MessageWriter<'b> {
    pub fn new(bytes: &'b mut Vec<u8>, class: Class, method: Method, transaction: &TransactionId) -> Self {
        bytes.clear();
        bytes.extend_from_slice(&type_number(class, method).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction.0);
        Self { bytes }
    }

    /// Continues a message that another writer began in these bytes.
    pub fn resume(bytes: &'b mut Vec<u8>) -> Self {
        debug_assert!(bytes.len() >= HEADER_LEN, "a header comes first");
        Self { bytes }
    }

    /// Appends an attribute, padded with zeros. An attribute that would overflow the length field is left out.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        if self.bytes.len() - HEADER_LEN + 4 + value.len().next_multiple_of(4) > usize::from(u16::MAX) {
            return self;
        }
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(self.bytes.len());
        self
    }

    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) -> &mut Self {
        let transaction = TransactionId(*self.bytes[8..].first_chunk().expect("new() wrote a whole header"));
        let mut value = [0; 20];
        let len = attribute::put_xor_address(&mut value, address, &transaction);
        self.attribute(kind, &value[..len])
    }

    /// Appends an address that is not XORed, in the format of MAPPED-ADDRESS (RFC 8489 §14.1): ALTERNATE-SERVER (§14.15),
    /// OTHER-ADDRESS and RESPONSE-ORIGIN (RFC 5780 §7.4, §7.3).
    pub fn address(&mut self, kind: u16, address: SocketAddr) -> &mut Self {
        let mut value = [0; 20];
        value[1] = attribute::AddressFamily::of(address.ip()) as u8;
        value[2..4].copy_from_slice(&address.port().to_be_bytes());
        let len = match address {
            SocketAddr::V4(address) => {
                value[4..8].copy_from_slice(&address.ip().octets());
                8
            }
            SocketAddr::V6(address) => {
                value[4..20].copy_from_slice(&address.ip().octets());
                20
            }
        };
        self.attribute(kind, &value[..len])
    }

    /// Appends ERROR-CODE with an empty reason phrase (RFC 8489 §14.8), because each byte of an answer to a stranger amplifies.
    pub fn error(&mut self, code: ErrorCode) -> &mut Self {
        let [class, number] = code.class_and_number();
        self.attribute(attribute::ERROR_CODE, &[0, 0, class, number])
    }

    /// Appends ADDRESS-ERROR-CODE (RFC 8656 §18.12).
    pub fn address_error(&mut self, family: attribute::AddressFamily, code: ErrorCode) -> &mut Self {
        let [class, number] = code.class_and_number();
        self.attribute(attribute::ADDRESS_ERROR_CODE, &[family as u8, 0, class, number])
    }

    pub fn unknown_attributes(&mut self, list: &[u16]) -> &mut Self {
        let mut value = [0; 16];
        let len = 2 * list.len().min(value.len() / 2);
        for (slot, kind) in value.chunks_exact_mut(2).zip(list) {
            slot.copy_from_slice(&kind.to_be_bytes());
        }
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value[..len])
    }

    pub fn integrity(&mut self, integrity: IntegrityAlgorithm, key: &LongTermKey) -> &mut Self {
        let mut value = [0; 32];
        let len = integrity.compute(self.bytes, key, &mut value);
        let kind = match integrity {
            IntegrityAlgorithm::Sha1 => attribute::MESSAGE_INTEGRITY,
            IntegrityAlgorithm::Sha256 => attribute::MESSAGE_INTEGRITY_SHA256,
        };
        self.attribute(kind, &value[..len])
    }

    /// Appends FINGERPRINT, which must be the last attribute.
    pub fn fingerprint(&mut self) {
        self.set_length(self.bytes.len() + 8);
        let value = fingerprint(self.bytes);
        self.number(attribute::FINGERPRINT, value);
    }

    fn set_length(&mut self, total: usize) {
        self.bytes[2..4].copy_from_slice(&((total - HEADER_LEN) as u16).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::codec::message::StunMessage;

    #[test]
    fn what_is_written_is_read() {
        let key = LongTermKey::Md5([7; 16]);
        let transaction = TransactionId([9; 12]);
        let mut bytes = Vec::new();
        let mut writer = MessageWriter::new(&mut bytes, Class::Error, Method::Allocate, &transaction);
        writer
            .error(ErrorCode::UnknownAttribute)
            .unknown_attributes(&[1, 2, 3])
            .integrity(IntegrityAlgorithm::Sha1, &key)
            .fingerprint();
        let message = StunMessage::parse(&bytes).expect("well formed");
        assert_eq!((message.class(), message.method(), message.transaction()), (Class::Error, Method::Allocate, transaction));
        assert_eq!(message.find(attribute::ERROR_CODE), Some(&[0, 0, 4, 20][..]));
        assert_eq!(message.find(attribute::UNKNOWN_ATTRIBUTES), Some(&[0, 1, 0, 2, 0, 3][..]));
        assert!(message.fingerprint());
        assert!(IntegrityAlgorithm::Sha1.verify(&message, &key));
        assert!(!IntegrityAlgorithm::Sha1.verify(&message, &LongTermKey::Md5([8; 16])));
    }

    #[test]
    fn an_attribute_too_long_for_the_length_field_is_left_out() {
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes, Class::Error, Method::Allocate, &TransactionId::default()).attribute(1, &[0; 0x1_0000]);
        assert_eq!(bytes.len(), HEADER_LEN);
    }
}
