//! A rule that replaces text messages of one direction of a WebSocket, or packets of a polled payload. PURE.

use super::frame::FrameHeader;

/// Which text messages are replaced, and by what.
#[derive(Debug)]
pub struct RewriteRule {
    /// How such a message begins.
    pub prefix: &'static [u8],
    /// Whether the frames of this direction are masked (RFC 6455 §5.3). Other frames pass unchanged.
    pub masked: bool,
    /// The replacement; `None`: the message stays.
    pub change: fn(&[u8]) -> Option<Vec<u8>>,
}

impl RewriteRule {
    pub fn applies_to(&self, header: FrameHeader) -> bool {
        !header.has_reserved_bits() && header.key.is_some() == self.masked
    }
}
