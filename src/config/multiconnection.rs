//! Limits and grace period of RTCMultiConnection's rooms.

use std::time::Duration;

use super::reader::{MAX_COUNT, Reader};

#[derive(Debug, Clone)]
pub struct MultiConnectionConfig {
    /// How long a user whose connection dropped keeps its seat.
    pub grace: Duration,
    pub max_users: usize,
    pub max_users_per_client: usize,
}

impl MultiConnectionConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            grace: reader.seconds("CASTWAY_MULTI_GRACE", 0..=3600),
            max_users: reader.number("CASTWAY_MULTI_MAX_USERS", 1..=MAX_COUNT as usize, ""),
            max_users_per_client: reader.number("CASTWAY_MULTI_MAX_PER_ADDRESS", 1..=MAX_COUNT as usize, ""),
        }
    }
}
