//! The name of a Socket.IO client. PURE.

/// Names one client for as long as its connection lives. The gateway that serves the client gives it.
pub type ClientId = u64;
