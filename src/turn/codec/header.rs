//! The header of a STUN message (RFC 8489 §5): class, method, magic cookie and transaction ID.

use rand::Rng;

/// RFC 8489 §5.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
pub const HEADER_LEN: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Request,
    Indication,
    Success,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Binding,
    Allocate,
    Refresh,
    Send,
    Data,
    CreatePermission,
    ChannelBind,
    Connect,
    ConnectionBind,
    ConnectionAttempt,
    Unknown(u16),
}

impl Method {
    const fn from_number(number: u16) -> Self {
        match number {
            0x001 => Self::Binding,
            0x003 => Self::Allocate,
            0x004 => Self::Refresh,
            0x006 => Self::Send,
            0x007 => Self::Data,
            0x008 => Self::CreatePermission,
            0x009 => Self::ChannelBind,
            0x00A => Self::Connect,
            0x00B => Self::ConnectionBind,
            0x00C => Self::ConnectionAttempt,
            other => Self::Unknown(other),
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Connect => 0x00A,
            Self::ConnectionBind => 0x00B,
            Self::ConnectionAttempt => 0x00C,
            Self::Unknown(number) => number,
        }
    }
}

/// The first two bytes of a message: class and method interleaved (RFC 8489 §5, figure 3).
pub const fn type_number(class: Class, method: Method) -> u16 {
    let method = method.number();
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2 | class
}

pub(super) const fn class_and_method(number: u16) -> (Class, Method) {
    let class = match number & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    (class, Method::from_number(number & 0x00F | (number & 0x0E0) >> 1 | (number & 0x3E00) >> 2))
}

/// Whether a packet begins as a STUN message does, which may be anything else (RFC 8489 §5).
pub fn is_stun(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| *first < 0x40) && packet.get(4..8) == Some(&MAGIC_COOKIE.to_be_bytes())
}

/// Whether a packet that [`is_stun`] is a request.
pub fn is_request(packet: &[u8]) -> bool {
    is_stun(packet) && u16::from_be_bytes([packet[0], packet[1]]) & 0x110 == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut id = Self::default();
        rng.fill_bytes(&mut id.0);
        id
    }

    /// The mask of an IPv6 address in an XOR-…-ADDRESS attribute: magic cookie and transaction ID.
    pub(super) fn mask(&self) -> u128 {
        let mut mask = [0; 16];
        mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        mask[4..].copy_from_slice(&self.0);
        u128::from_be_bytes(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_method_interleave() {
        assert_eq!(type_number(Class::Request, Method::Binding), 0x0001);
        assert_eq!(type_number(Class::Success, Method::Binding), 0x0101);
        assert_eq!(type_number(Class::Error, Method::Allocate), 0x0113);
        assert_eq!(type_number(Class::Indication, Method::Send), 0x0016);
        for number in 0..0x4000 {
            let (class, method) = class_and_method(number);
            assert_eq!(type_number(class, method), number);
        }
    }
}
