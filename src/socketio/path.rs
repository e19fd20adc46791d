//! The path of Socket.IO's requests. PURE.

/// Whether Socket.IO serves requests for `path`.
pub fn serves(path: &str) -> bool {
    path.strip_prefix("/socket.io").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
