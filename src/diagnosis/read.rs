//! Reads reports, and refuses what no page sends.

use serde::de::DeserializeOwned;

use super::report::{
    CandidateCounts, CheckReport, LinkResult, MAX_ICE_CHARS, MAX_LINKS, MAX_PATHS, MAX_REPORT_BYTES, MAX_SERVERS, MAX_TEXT_CHARS,
    MAX_URL_CHARS, PathResult, Report, ServerReport,
};

/// A day in milliseconds: no round trip and no gathering takes longer.
const MAX_MS: f64 = 86_400_000.0;
/// A year: a TV may show one cast for months.
const MAX_SECONDS: f64 = 31_536_000.0;
const MAX_KBPS: f64 = 1e9;
/// JavaScript counts no further without losing precision.
const MAX_COUNT: u64 = (1 << 53) - 1;
/// Candidates of one kind, or of one server.
const MAX_CANDIDATES: u32 = 10_000;
/// The codes of `icecandidateerror`: those of STUN, and 701.
const CODES: std::ops::RangeInclusive<u16> = 300..=799;

type Checked = Result<(), String>;

impl Report {
    /// Reads a report of at most [`MAX_REPORT_BYTES`].
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is expected.
    pub fn read(json: &str) -> Result<Self, String> {
        let report: Self = parse(json)?;
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Checked {
        optional("rttMs", self.rtt_ms, MAX_MS)?;
        optional("loss", self.loss, 1.0)?;
        optional("kbps", self.kbps, MAX_KBPS)?;
        optional("seconds", Some(self.seconds), MAX_SECONDS)?;
        count("bytes", self.bytes.unwrap_or_default())?;
        at_most("servers", self.servers.len(), MAX_SERVERS)?;
        self.servers.iter().try_for_each(check_server)?;
        check_candidates("local", &self.local)?;
        check_candidates("remote", &self.remote)?;
        if let Some(checks) = &self.checks {
            for (name, value) in
                [("checks.sent", checks.sent), ("checks.received", checks.received), ("checks.answered", checks.answered)]
            {
                count(name, value)?;
            }
        }
        text("ice", &self.ice, MAX_ICE_CHARS)
    }
}

impl CheckReport {
    /// Reads the results of a check, of at most [`MAX_REPORT_BYTES`].
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is expected.
    pub fn read(json: &str) -> Result<Self, String> {
        let report: Self = parse(json)?;
        report.check()?;
        Ok(report)
    }

    /// The same for results that were read as a part of something else.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is expected.
    pub fn check(&self) -> Result<(), String> {
        at_most("paths", self.paths.len(), MAX_PATHS)?;
        at_most("links", self.links.len(), MAX_LINKS)?;
        self.paths.iter().try_for_each(check_path)?;
        self.links.iter().try_for_each(check_link)?;
        match self.range {
            Some(range) if range.arrived > range.sent => Err("range.arrived must not be greater than range.sent".to_owned()),
            Some(_) | None => Ok(()),
        }
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    if json.len() > MAX_REPORT_BYTES {
        return Err(format!("the report has {} bytes; at most {MAX_REPORT_BYTES} are accepted", json.len()));
    }
    serde_json::from_str(json).map_err(|error| format!("the report can't be read: {error}"))
}

fn check_server(server: &ServerReport) -> Checked {
    text("servers.url", &server.url, MAX_URL_CHARS)?;
    candidates("servers.candidates", server.candidates)?;
    code("servers.code", server.code)?;
    text("servers.text", server.text.as_deref().unwrap_or_default(), MAX_TEXT_CHARS)?;
    optional("servers.ms", server.ms, MAX_MS)
}

fn check_path(path: &PathResult) -> Checked {
    text("paths.url", &path.url, MAX_URL_CHARS)?;
    code("paths.code", path.code)?;
    text("paths.text", path.text.as_deref().unwrap_or_default(), MAX_TEXT_CHARS)?;
    optional("paths.ms", path.ms, MAX_MS)
}

fn check_link(link: &LinkResult) -> Checked {
    optional("links.rttMs", link.rtt_ms, MAX_MS)?;
    optional("links.loss", link.loss, 1.0)?;
    optional("links.mbits", link.mbits, MAX_KBPS)
}

fn check_candidates(name: &str, counts: &CandidateCounts) -> Checked {
    [counts.host, counts.srflx, counts.prflx, counts.relay].into_iter().try_for_each(|number| candidates(name, number))
}

fn candidates(name: &str, number: u32) -> Checked {
    if number <= MAX_CANDIDATES {
        Ok(())
    } else {
        Err(format!("{name} has {number} candidates; at most {MAX_CANDIDATES} are accepted"))
    }
}

fn optional(name: &str, number: Option<f64>, most: f64) -> Checked {
    match number {
        Some(number) if !(0.0..=most).contains(&number) => {
            Err(format!("{name} is {number}; it must be a number from 0 to {most}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn count(name: &str, number: u64) -> Checked {
    if number <= MAX_COUNT { Ok(()) } else { Err(format!("{name} is {number}; it must be a number from 0 to {MAX_COUNT}")) }
}

fn code(name: &str, code: Option<u16>) -> Checked {
    match code {
        Some(code) if !CODES.contains(&code) => Err(format!("{name} is {code}; it must be a number from 300 to 799")),
        Some(_) | None => Ok(()),
    }
}

fn at_most(name: &str, number: usize, most: usize) -> Checked {
    if number <= most { Ok(()) } else { Err(format!("{name} has {number} members; at most {most} are accepted")) }
}

fn text(name: &str, value: &str, most: usize) -> Checked {
    // A character has at least one byte; the length spares counting those of a text that is far too long.
    if value.len() > most && value.chars().count() > most {
        return Err(format!("{name} is too long; at most {most} characters are accepted"));
    }
    let is_forbidden = |character: char| character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character);
    if value.chars().any(|character| is_forbidden(character) || ('\u{2066}'..='\u{2069}').contains(&character)) {
        return Err(format!("{name} has a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::diagnosis::report::{Outcome, Protocol, Route};

    fn whole() -> Value {
        json!({
            "outcome": "failed", "route": "relay", "protocol": "tls", "rttMs": 41.5, "loss": 0.01, "kbps": 2500, "bytes": 312_000_000,
            "servers": [{"url": "turn:cast.example.org:3478?transport=udp", "candidates": 0, "code": 701, "text": "timed out", "ms": 9000}],
            "local": {"host": 1, "srflx": 1, "prflx": 0, "relay": 2}, "remote": {"relay": 1},
            "checks": {"sent": 10, "received": 9, "answered": 8}, "ice": "disconnected", "seconds": 12.5, "later": {"any": "thing"}
        })
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut report = whole();
        match report.pointer_mut(pointer) {
            Some(there) => *there = value,
            None => panic!("the example has no {pointer}"),
        }
        report.to_string()
    }

    #[test]
    fn a_whole_report_is_read_and_unknown_members_are_ignored() {
        let report = Report::read(&whole().to_string()).unwrap();
        assert_eq!((report.outcome, report.route, report.protocol), (Outcome::Failed, Some(Route::Relay), Some(Protocol::Tls)));
        assert_eq!((report.servers[0].code, report.local.relay, report.remote.host), (Some(701), 2, 0));
        Report::read(r#"{"outcome":"gathered"}"#).expect("only the outcome is needed");
        let nulls = r#"{"outcome":"gathered","route":null,"protocol":null,"rttMs":null,"loss":null,"kbps":null,"bytes":null,"checks":null}"#;
        Report::read(nulls).expect("what is not known may be null");
    }

    #[test]
    fn a_report_out_of_bounds_is_refused_with_the_bound() {
        let server = &whole()["servers"][0];
        let cases = [
            ("/outcome", json!("dropped"), "unknown variant"),
            ("/rttMs", json!(-1), "rttMs is -1; it must be a number from 0 to"),
            ("/rttMs", json!("12"), "invalid type"),
            ("/loss", json!(1.5), "loss is 1.5; it must be a number from 0 to 1"),
            ("/kbps", json!(1e12), "kbps is 1000000000000"),
            ("/bytes", json!(1u64 << 60), "bytes is 1152921504606846976"),
            ("/bytes", json!(-5), "invalid value"),
            ("/seconds", json!(1e9), "seconds is 1000000000"),
            ("/servers", json!(vec![server; 17]), "servers has 17 members; at most 16 are accepted"),
            ("/servers/0/url", json!("x".repeat(201)), "servers.url is too long; at most 200 characters"),
            ("/servers/0/url", json!("turn:a\nb"), "servers.url has a control character"),
            ("/servers/0/text", json!("\u{202e}dead"), "servers.text has a control character"),
            ("/servers/0/text", json!("é".repeat(101)), "servers.text is too long; at most 100 characters"),
            ("/servers/0/code", json!(200), "servers.code is 200; it must be a number from 300 to 799"),
            ("/servers/0/candidates", json!(20_000), "at most 10000 are accepted"),
            ("/local/relay", json!(20_000), "local has 20000 candidates"),
            ("/checks/sent", json!(1u64 << 60), "checks.sent is"),
            ("/ice", json!("a state of 21 letters"), "ice is too long; at most 20 characters"),
            ("/later", json!("x".repeat(MAX_REPORT_BYTES)), "bytes; at most 16384 are accepted"),
        ];
        for (pointer, value, expected) in cases {
            let error = Report::read(&with(pointer, value)).expect_err(pointer);
            assert!(error.contains(expected), "{pointer}: {error}");
        }
        for broken in ["", "[]", "null", "{}", r#"{"outcome":"failed","rttMs":1e999}"#] {
            Report::read(broken).expect_err(broken);
        }
    }

    #[test]
    fn the_greatest_report_is_read() {
        let text = "é".repeat(MAX_TEXT_CHARS);
        let server = json!({"url": "x".repeat(MAX_URL_CHARS), "candidates": 10_000, "code": 799, "text": text, "ms": MAX_MS});
        Report::read(&with("/servers", json!(vec![server; MAX_SERVERS]))).expect("all is within the bounds");
    }

    #[test]
    fn the_results_of_a_check_have_bounds_too() {
        let path = json!({"kind": "udp", "url": "turn:a:3478", "ms": 41, "unsupported": false});
        let link = json!({"route": "relay", "protocol": "udp", "connected": true, "rttMs": 41, "loss": 0, "mbits": 20});
        let fits = json!({"paths": vec![&path; 16], "links": vec![&link; 8], "range": {"sent": 5, "arrived": 5}, "more": 1});
        CheckReport::read(&fits.to_string()).expect("all is within the bounds");
        let cases = [
            (json!({"paths": vec![&path; 17]}), "paths has 17 members"),
            (json!({"paths": [], "links": vec![&link; 9]}), "links has 9 members"),
            (json!({"paths": [], "range": {"sent": 1, "arrived": 2}}), "range.arrived must not be greater"),
            (json!({"paths": [{"kind": "udp", "url": "u", "ms": -1}]}), "paths.ms is -1"),
            (json!({"paths": [{"kind": "udp", "url": "u", "text": "a\u{7}"}]}), "paths.text has a control character"),
            (json!({"paths": [], "links": [{"route": "relay", "connected": true, "loss": 2}]}), "links.loss is 2"),
            (json!({"links": []}), "missing field `paths`"),
        ];
        for (report, expected) in cases {
            let error = CheckReport::read(&report.to_string()).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
