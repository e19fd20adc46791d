//! Mobility tickets (RFC 8016 §3.3): the allocation and how often it has moved. A ticket holds no secret, so it is signed and not
//! encrypted. Any engine can tell which engine a ticket belongs to. A ticket is text, because the client of coturn treats it as a
//! C string and sends it back only up to the first zero.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::ids::AllocationId;

/// Bytes that the MAC covers.
const CONTENT_LEN: usize = 13;
/// Bytes of content and MAC.
const SIGNED_LEN: usize = 24;
/// Characters of base64, which needs no padding for [`SIGNED_LEN`] bytes.
pub(super) const TICKET_LEN: usize = SIGNED_LEN / 3 * 4;

/// The content of a genuine ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MobilityTicket {
    pub(super) shard: u8,
    pub(super) allocation: AllocationId,
    /// Counts the moves; a ticket with an earlier number is no longer valid.
    pub(super) serial: u32,
}

pub(super) struct MobilityTickets {
    mac: Hmac<Sha256>,
}

impl MobilityTickets {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    pub(super) fn issue(&self, ticket: MobilityTicket) -> [u8; TICKET_LEN] {
        let mut out = [0; SIGNED_LEN];
        out[0] = ticket.shard;
        out[1..5].copy_from_slice(&ticket.allocation.index.to_be_bytes());
        out[5..9].copy_from_slice(&ticket.allocation.generation.to_be_bytes());
        out[9..CONTENT_LEN].copy_from_slice(&ticket.serial.to_be_bytes());
        let mac = self.mac.clone().chain_update(&out[..CONTENT_LEN]).finalize().into_bytes();
        out[CONTENT_LEN..].copy_from_slice(&mac[..SIGNED_LEN - CONTENT_LEN]);
        let mut text = [0; TICKET_LEN];
        URL_SAFE_NO_PAD.encode_slice(out, &mut text).expect("the text has its exact length");
        text
    }

    pub(super) fn read(&self, value: &[u8]) -> Option<MobilityTicket> {
        let value: &[u8; TICKET_LEN] = value.try_into().ok()?;
        let mut bytes = [0; SIGNED_LEN];
        URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let allocation = AllocationId { index: word(1), generation: word(5) };
        let ticket = MobilityTicket { shard: bytes[0], allocation, serial: word(9) };
        let genuine: bool = self.issue(ticket).ct_eq(value).into();
        genuine.then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_cannot_be_changed() {
        let tickets = MobilityTickets::new(&[5; 32]);
        let ticket = MobilityTicket { shard: 3, allocation: AllocationId { index: 70_000, generation: 9 }, serial: 1 };
        let bytes = tickets.issue(ticket);
        assert_eq!(tickets.read(&bytes), Some(ticket));
        for at in 0..TICKET_LEN {
            let mut forged = bytes;
            forged[at] ^= 1;
            assert_eq!(tickets.read(&forged), None);
        }
        assert_eq!(tickets.read(&bytes[1..]), None);
    }

    #[test]
    fn a_ticket_holds_no_zero() {
        let tickets = MobilityTickets::new(&[5; 32]);
        let ticket = MobilityTicket { shard: 0, allocation: AllocationId { index: 0, generation: 0 }, serial: 0 };
        assert!(!tickets.issue(ticket).contains(&0));
    }
}
