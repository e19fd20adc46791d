//! Times, durations and paths, as both languages write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::diagnosis::observation::Path;

/// The time of the day in UTC.
pub(super) fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60)
}

/// A duration in its largest unit.
pub(super) fn duration(duration: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
    let seconds = duration.as_secs();
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

pub(super) const fn path_name(path: Path) -> &'static str {
    match path {
        Path::Udp => "UDP",
        Path::Tcp => "TCP",
        Path::Tls => "TLS",
    }
}

/// For example `UDP 3478`.
pub(super) fn path(path: Path, port: u16) -> String {
    format!("{} {port}", path_name(path))
}
