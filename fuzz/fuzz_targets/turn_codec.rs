//! The parsers: whatever the bytes, nothing panics, and what parses is within its bytes.
#![no_main]

use castway::turn::codec::attribute;
use castway::turn::codec::framing::{ChannelData, StreamFrame, next_frame};
use castway::turn::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use castway::turn::codec::message::StunMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(data) = ChannelData::parse(bytes) {
        let _ = &bytes[data.payload];
    }
    if let StreamFrame::Complete(len) = next_frame(bytes) {
        assert!((4..=bytes.len()).contains(&len));
    }
    let _ = PasswordAlgorithm::read(bytes);
    // The header is set right, so that the fuzzer spends its time on attributes.
    let mut dressed = bytes.to_vec();
    if dressed.len() >= 20 {
        dressed.truncate(20 + (dressed.len() - 20) / 4 * 4);
        dressed[0] &= 0x3F;
        let len = (dressed.len() - 20) as u16;
        dressed[2..4].copy_from_slice(&len.to_be_bytes());
        dressed[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
    }
    for bytes in [bytes, &dressed] {
        let Ok(message) = StunMessage::parse(bytes) else { continue };
        let _ = message.unknown_attributes(|_| false);
        for (_, value) in message.attributes() {
            let _ = attribute::xor_address(value, &message.transaction());
            let _ = attribute::ChangeRequest::read(value);
        }
        for integrity in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
            assert!(!integrity.verify(&message, &LongTermKey::Sha256([7; 32])));
        }
    }
});
