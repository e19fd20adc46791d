//! One line of the log about a cast or call that has ended, or about a report that a page has sent.

use std::net::IpAddr;
use std::time::Duration;

use super::output::{CastResult, Ended, Kind, SentReport};
use crate::diagnosis::report::{Protocol, Route};

/// A line that waits for being written.
#[derive(Debug)]
pub(super) enum Line {
    Ended(Kind, Ended),
    Sent(Kind, SentReport),
}

impl Line {
    pub(super) fn write(&self) {
        match self {
            Self::Ended(kind, ended) => write_ended(*kind, ended),
            Self::Sent(kind, SentReport { name, address, verdict, .. }) => {
                let (kind, verdict) = (kind.label(), *verdict);
                tracing::info!(kind, %name, %address, verdict, "a page has sent a report");
            }
        }
    }
}

fn write_ended(kind: Kind, ended: &Ended) {
    let Ended { name, bytes, reason, .. } = ended;
    let [first, second] = [ended.caster, ended.tv].map(|address| address.as_ref().map(IpAddr::to_string));
    let (first, second) = (first.as_deref().map(tracing::field::display), second.as_deref().map(tracing::field::display));
    let (duration, bytes) = (tracing::field::display(spoken_time(ended.duration)), bytes.map(spoken_bytes));
    let bytes = bytes.as_deref().map(tracing::field::display);
    let route = tracing::field::display(spoken_route(ended.route, ended.protocol));
    let result = Some(ended.result).filter(|result| *result != CastResult::Unknown).map(CastResult::label);
    let result = result.map(tracing::field::display);
    let verdict = ended.verdict.map(tracing::field::display);
    match kind {
        Kind::Cast => tracing::info!(
            tv = %name, tv_ip = second, caster_ip = first, duration, route, bytes, result, verdict, reason = %reason, "cast ended"
        ),
        Kind::Call => tracing::info!(
            room = %name, caller_ip = first, callee_ip = second, duration, route, bytes, result, verdict, reason = %reason,
            "call ended"
        ),
    }
}

/// `relay/udp`, `direct`, `unknown`.
pub(super) fn spoken_route(route: Option<Route>, protocol: Option<Protocol>) -> String {
    let Some(route) = route else { return "unknown".to_owned() };
    let route = match route {
        Route::Direct => "direct",
        Route::Relay => "relay",
    };
    match protocol {
        None => route.to_owned(),
        Some(Protocol::Udp) => format!("{route}/udp"),
        Some(Protocol::Tcp) => format!("{route}/tcp"),
        Some(Protocol::Tls) => format!("{route}/tls"),
    }
}

/// A duration in its one or two largest units: `45s`, `14m`, `2h5m`.
fn spoken_time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

fn spoken_bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes}B"),
        1000..1_000_000 => format!("{}kB", bytes / 1000),
        1_000_000..10_000_000_000 => format!("{}MB", bytes / 1_000_000),
        _ => format!("{}GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_bytes_and_routes_are_short() {
        let times = [0, 59, 60, 14 * 60 + 59, 3600, 7500].map(|seconds| spoken_time(Duration::from_secs(seconds)));
        assert_eq!(times, ["0s", "59s", "1m", "14m", "1h0m", "2h5m"]);
        assert_eq!([999, 1000, 312_400_000, 20_000_000_000].map(spoken_bytes), ["999B", "1kB", "312MB", "20GB"]);
        assert_eq!(spoken_route(Some(Route::Relay), Some(Protocol::Tls)), "relay/tls");
        assert_eq!(spoken_route(Some(Route::Direct), None), "direct");
        assert_eq!(spoken_route(None, None), "unknown");
    }
}
