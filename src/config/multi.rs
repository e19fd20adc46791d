//! How the rooms of RTCMultiConnection run.

use std::time::Duration;

use super::{Reader, Settings};

#[derive(Debug, Clone)]
pub struct MultiConfig {
    /// How long a dropped user keeps its place.
    pub grace: Duration,
    pub max_users: usize,
    pub max_users_per_address: usize,
}

impl MultiConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let mut count = |name, setting, default| {
            let count = reader.number(name, setting, default, 1..=1_000_000);
            usize::try_from(count).expect("the range fits")
        };
        Self {
            max_users: count("CASTWAY_MULTI_MAX_USERS", &settings.multi_max_users, 10_000),
            max_users_per_address: count("CASTWAY_MULTI_MAX_PER_ADDRESS", &settings.multi_max_per_address, 1000),
            grace: reader.seconds("CASTWAY_MULTI_GRACE", &settings.multi_grace, 20, 0..=3600),
        }
    }
}
