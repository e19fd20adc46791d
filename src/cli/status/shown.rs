//! The status in words. A server of another version may not say all of it.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::escape::printable_part;
use crate::cli::figures;
use crate::cli::output::bold;
use crate::cli::table::wrapped;

/// Where texts begin.
const INDENT: usize = 13;

/// The answer to `status`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    version: String,
    uptime: u64,
    tvs: u64,
    casts: u64,
    calls: u64,
    rooms: u64,
    allocations: u64,
    kbps_relayed: f64,
    certificate: Option<Certificate>,
    last_check: Option<LastCheck>,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Certificate {
    names: Vec<String>,
    days_left: i64,
    trusted: bool,
    problem: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LastCheck {
    at: u64,
    address: String,
    verdict: String,
}

impl Status {
    pub(super) fn read(status: &Value) -> Self {
        Self::deserialize(status).unwrap_or_default()
    }

    /// Topics with their texts, in lines of at most `width` columns.
    pub(super) fn on_screen(&self, width: usize, colored: bool, now: u64) -> String {
        let version = printable_part(&self.version);
        let mut lines = vec![bold(&format!("Castway {version}, up {}", figures::time(self.uptime)), colored)];
        let mut topics = vec![("Now", self.counts()), ("Certificate", self.certificate()), ("Last check", self.last_check(now))];
        topics.extend(self.warnings.iter().map(|warning| ("Warning", warning.clone())));
        for (topic, text) in topics {
            for (at, line) in wrapped(&printable_part(&text), width.saturating_sub(INDENT)).into_iter().enumerate() {
                lines.push(format!("{:INDENT$}{line}", if at == 0 { topic } else { "" }));
            }
        }
        lines.join("\n")
    }

    pub(super) fn in_one_line(&self) -> String {
        format!("up {}: {}", figures::time(self.uptime), self.counts())
    }

    fn counts(&self) -> String {
        let count = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        format!(
            "{}, {}, {}, {}, {}, {:.1} Mbit/s relayed",
            count(self.tvs, "TV"),
            count(self.casts, "cast"),
            count(self.calls, "call"),
            count(self.rooms, "room"),
            count(self.allocations, "allocation"),
            self.kbps_relayed / 1000.0
        )
    }

    fn certificate(&self) -> String {
        let Some(certificate) = &self.certificate else { return "none: TLS is off".to_owned() };
        let names = certificate.names.join(", ");
        let left = match certificate.days_left {
            i64::MIN..=-1 => "expired".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        let trust = if certificate.trusted { "" } else { ", which devices don't trust" };
        let problem = certificate.problem.as_ref().map(|problem| format!(". {problem}")).unwrap_or_default();
        format!("{names}, {left}{trust}{problem}")
    }

    fn last_check(&self, now: u64) -> String {
        let Some(check) = &self.last_check else { return "never checked from outside: castway doctor".to_owned() };
        format!("{} ago from {}: {}", figures::time(now.saturating_sub(check.at)), check.address, check.verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn a_status_fits_eighty_columns_and_steers_nothing() {
        let status = json!({
            "version": "0.2.0", "uptime": 273_600, "tvs": 12, "casts": 1, "calls": 0, "rooms": 2, "allocations": 8,
            "kbpsRelayed": 12_432.0, "history": [],
            "certificate": { "names": ["cast.example.org"], "daysLeft": 61, "trusted": true, "problem": null },
            "lastCheck": { "at": 1000, "address": "198.51.100.9\u{1b}[2J", "verdict": "All is well\u{202e}", "ok": true },
            "warnings": ["CASTWAY_DOMAIN is not set. ".repeat(6)],
        });
        let shown = Status::read(&status).on_screen(80, false, 1000 + 7500);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "Castway 0.2.0, up 3d4h",
                "Now          12 TVs, 1 cast, 0 calls, 2 rooms, 8 allocations, 12.4 Mbit/s",
                "             relayed",
                "Certificate  cast.example.org, 61 days left",
            ]
        );
        assert_eq!(lines[4], "Last check   2h5m ago from 198.51.100.9\\u{1b}[2J: All is well\\u{202e}");
        assert!(lines[5].starts_with("Warning      CASTWAY_DOMAIN") && lines.iter().all(|line| line.width() <= 80), "{shown}");
    }

    #[test]
    fn what_a_server_does_not_say_is_left_open() {
        let shown = Status::read(&json!({})).on_screen(80, false, 0);
        assert!(shown.contains("TLS is off") && shown.contains("never checked"), "{shown}");
        assert_eq!(Status::read(&json!({ "uptime": 5 })).in_one_line().split(':').next(), Some("up 5s"));
    }
}
