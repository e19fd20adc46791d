//! How much one direction of a WebSocket has carried.

/// What one direction of a WebSocket has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// All bytes, frame headers included.
    pub bytes: u64,
    /// Complete text and binary messages.
    pub messages: u64,
    /// Payload of the message that is not complete yet, or some of whose attachments have not come.
    pub incomplete: u64,
}
