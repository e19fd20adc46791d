//! Whether something keeps the clock right. Credentials and certificates depend on it.

use std::fs;
use std::path::Path;

use super::inputs::Inputs;
use super::line::{Line, Topic};

/// systemd-timesyncd makes this file once the clock has been set by a server of time.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// Programs that set the clock, by their names in `/proc`, which have 15 characters at most.
const CLOCK_PROGRAMS: [&str; 9] =
    ["chronyd", "ntpd", "ntpd-rs", "ntp-daemon", "openntpd", "systemd-timesyn", "ptp4l", "phc2sys", "VBoxService"];

pub(super) fn look(inputs: &Inputs) -> Vec<Line> {
    // A certificate that was made later than now is proof.
    let now = inputs.now;
    let certificate = inputs.facts.as_ref().and_then(|facts| facts.certificate.as_ref());
    if let Some(early) = certificate.map(|found| found.not_before.saturating_sub(now)).filter(|early| *early > 0) {
        let text = format!("it is {} before the time at which the certificate was made: set the clock", in_words(early));
        return vec![Line::failed(Topic::Clock, text)];
    }
    if Path::new(SYNCHRONIZED).exists() {
        return vec![Line::ok(Topic::Clock, "set by a time server (systemd-timesyncd)")];
    }
    match running_program() {
        Some(program) => vec![Line::ok(Topic::Clock, format!("kept by {program}"))],
        None => vec![Line::unknown(
            Topic::Clock,
            "found no time service; in a container the host keeps the clock. Logins fail if it is wrong",
        )],
    }
}

fn running_program() -> Option<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).find(|name| CLOCK_PROGRAMS.contains(&name.as_str()))
}

fn in_words(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (days, ..) => format!("{days} days"),
    }
}
