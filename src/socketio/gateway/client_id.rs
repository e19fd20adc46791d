//! The name of a Socket.IO client. PURE.

use std::fmt;

/// Names one client of a gateway for as long as the client's connection lives; [`Connections`](super::connections::Connections) gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl ClientId {
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::LowerHex for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// Transcripts name clients by numbers.
#[cfg(test)]
mod numbers {
    use super::ClientId;

    impl From<i32> for ClientId {
        fn from(number: i32) -> Self {
            Self(number.try_into().expect("clients are numbered from 0"))
        }
    }

    impl From<u64> for ClientId {
        fn from(number: u64) -> Self {
            Self(number)
        }
    }
}
