//! FINGERPRINT (RFC 8489 §14.7).

/// Makes the checksum differ from one of an application that uses CRC-32 itself.
const XOR_MASK: u32 = 0x5354_554E;

/// The value of FINGERPRINT for a message whose earlier bytes are `covered`; their length field must already count FINGERPRINT.
pub fn fingerprint(covered: &[u8]) -> u32 {
    crc32fast::hash(covered) ^ XOR_MASK
}

pub(super) fn matches(covered: &[u8], value: &[u8]) -> bool {
    value == fingerprint(covered).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(fingerprint(b"123456789") ^ 0x5354_554E, 0xCBF4_3926);
    }
}
