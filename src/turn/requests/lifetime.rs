//! The LIFETIME of allocations (RFC 8656 §7.2, §8.2).

use std::time::{Duration, Instant};

use super::request::{BAD_REQUEST, Refusal, Request};
use crate::turn::codec::attribute;
use crate::turn::settings::EngineSettings;

/// The LIFETIME that a request asks for, in seconds.
pub(super) fn requested_lifetime(request: &Request<'_>) -> Result<Option<u32>, Refusal> {
    let lifetime = request.message.find(attribute::LIFETIME);
    lifetime.map(|value| attribute::number(value).ok_or(BAD_REQUEST)).transpose()
}

/// The lifetime that an Allocate or Refresh gets: the requested one, within the limits of the settings.
pub(super) fn granted_lifetime(settings: &EngineSettings, requested: Option<u32>) -> Duration {
    let requested = requested.map_or(settings.default_lifetime, |seconds| Duration::from_secs(seconds.into()));
    requested.min(settings.max_lifetime.max(settings.default_lifetime)).max(settings.default_lifetime)
}

pub(super) fn seconds_until(end: Instant, now: Instant) -> u32 {
    u32::try_from(end.saturating_duration_since(now).as_secs()).unwrap_or(u32::MAX)
}
