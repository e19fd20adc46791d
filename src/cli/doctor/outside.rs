//! The check from outside: what a phone on another network has seen.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};
use url::{Host, Url};

use super::line::{Line, State, Topic};
use crate::addresses::interfaces;
use crate::cli::data_folder::{DataFolder, NoAnswer};
use crate::cli::escape::printable_part;
use crate::control::client::ANSWER_TIMEOUT;

/// How long somebody may take to find a phone.
const PATIENCE: Duration = Duration::from_secs(900);
/// How much longer than the server the command waits for it.
const MARGIN: Duration = Duration::from_secs(5);

/// A key for one check, and where it opens.
pub(super) struct Invitation {
    key: String,
    url: String,
}

/// The newest kept check.
pub(super) fn last(folder: &mut DataFolder) -> Result<Option<Value>, Line> {
    match folder.ask(json!({ "ask": "checks" }), ANSWER_TIMEOUT) {
        Ok(answer) => Ok(answer["checks"].as_array().and_then(|checks| checks.iter().find(|check| is_device(check)).cloned())),
        Err(NoAnswer::NotRunning) => Err(Line::unknown(Topic::Outside, "can't be checked while no server runs")),
        Err(NoAnswer::Because(why)) => Err(Line::unknown(Topic::Outside, format!("the checks are not known: {why}"))),
    }
}

/// Failed casts are kept too, and say nothing about the outside.
fn is_device(check: &Value) -> bool {
    check["kind"].as_str().is_none_or(|kind| kind == "check")
}

/// Whether somebody is there to scan a code and to press Ctrl-C.
pub(super) fn can_wait() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// A key for a new check.
pub(super) fn invite(folder: &mut DataFolder) -> Result<Invitation, Line> {
    let answer = folder.ask(json!({ "ask": "check_key" }), ANSWER_TIMEOUT);
    let text = |answer: &Value, name: &str| answer[name].as_str().map(str::to_owned);
    match answer {
        Ok(answer) => text(&answer, "key")
            .zip(text(&answer, "url"))
            .map(|(key, url)| Invitation { key, url })
            .ok_or_else(|| Line::unknown(Topic::Outside, "the server gave no key for a check")),
        Err(NoAnswer::NotRunning) => Err(Line::unknown(Topic::Outside, "can't be checked while no server runs")),
        Err(NoAnswer::Because(why)) => Err(Line::unknown(Topic::Outside, format!("it can't be checked: {why}"))),
    }
}

impl Invitation {
    /// What somebody has to do, with the address as text and as a QR code.
    pub(super) fn shown(&self, last: Option<&Value>, now: u64, colored: bool) -> String {
        let before = last.map_or_else(|| "never checked".to_owned(), |check| format!("last checked {}", ago(check, now)));
        // No other device could follow the code.
        let code = QrCode::new(&self.url).ok().filter(|_| !self.is_here());
        let code = code.map(|code| painted(&code, colored)).unwrap_or_default();
        format!(
            "? Outside  {before}. On {} open\n           {}\n{code}           waiting … (Ctrl-C: skip)",
            self.device(),
            printable_part(&self.url)
        )
    }

    /// The device that opens the address: one outside, where the address leads there.
    fn device(&self) -> &'static str {
        if self.is_here() {
            return "this machine, which alone reaches it,";
        }
        let is_private = match self.host() {
            Some(Host::Ipv4(ip)) => interfaces::is_private(ip.into()),
            Some(Host::Ipv6(ip)) => interfaces::is_private(ip.into()),
            Some(Host::Domain(_)) | None => false,
        };
        if is_private { "another device of this network" } else { "a phone with Wi-Fi off" }
    }

    fn host(&self) -> Option<Host> {
        Url::parse(&self.url).ok().and_then(|url| url.host().map(|host| host.to_owned()))
    }

    /// Whether the address leads to this machine for whoever opens it.
    fn is_here(&self) -> bool {
        self.host().is_some_and(|host| interfaces::is_loopback_host(&host))
    }

    /// Waits for the result. Blocks, so it has a thread.
    pub(super) fn wait(&self, folder: &mut DataFolder) -> Option<Value> {
        let question = json!({ "ask": "check_wait", "key": self.key, "seconds": PATIENCE.as_secs() });
        let answer = folder.ask(question, PATIENCE + MARGIN).ok()?;
        Some(answer["result"].clone()).filter(|result| !result.is_null())
    }
}

/// Black on white, where the terminal has colors. Elsewhere light is drawn, as for a dark terminal; most phones read the negative as well.
fn painted(code: &QrCode, colored: bool) -> String {
    let mut image = code.render::<Dense1x2>();
    if !colored {
        image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    let (start, end) = if colored { ("\x1b[38;5;16;48;5;231m", "\x1b[0m") } else { ("", "") };
    image.build().lines().map(|line| format!("           {start}{line}{end}\n")).collect()
}

/// The line where somebody was asked to check, and nobody has.
pub(super) fn unanswered(last: Option<&Value>, now: u64, skipped: bool) -> Line {
    match last {
        Some(_) => line(last, now),
        None if skipped => Line::unknown(Topic::Outside, "skipped"),
        None => {
            Line::unknown(Topic::Outside, format!("no device has opened the address within {} minutes", PATIENCE.as_secs() / 60))
        }
    }
}

/// The line for a check. Its `verdict` is a verdict as the pages get it.
pub(super) fn line(check: Option<&Value>, now: u64) -> Line {
    let Some(check) = check else {
        return Line::unknown(Topic::Outside, "never checked. In a terminal, castway doctor waits for a phone that does it");
    };
    let result = if check["result"].is_object() { &check["result"] } else { check };
    let (verdict, from) = (&result["verdict"], check["address"].as_str().unwrap_or("a device"));
    let text = |name: &str| verdict["en"][name].as_str().unwrap_or_default().to_owned();
    let paths: Vec<_> = path_times(result).into_iter().flatten().collect();
    let when = ago(check, now);
    match verdict["code"].as_str() {
        Some("fine") => Line::ok(Topic::Outside, format!("{from}, {when}: {}", paths.join(", "))),
        None | Some("unknown" | "not_tested") => {
            Line::unknown(Topic::Outside, format!("{from}, {when}: {}", sentences(&[text("text"), paths.join(", ")])))
        }
        Some(code) => {
            // What one visitor's network does is not for this server to repair.
            let state = if verdict["side"] == "server" { State::Failed } else { State::Warning };
            let said = sentences(&[text("text"), text("fix")]);
            let line = Line::new(Topic::Outside, state, format!("{from}, {when}: {said}")).with_verdict(code);
            match verdict["command"].as_str().filter(|command| is_setting(command)) {
                Some(command) => line.with_command(command),
                None => line,
            }
        }
    }
}

/// A line of the settings. The server's word is its user's, who must not give root a command.
fn is_setting(command: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=_.:/,[]-".contains(&byte);
    command.starts_with("CASTWAY_") && command.contains('=') && command.bytes().all(plain)
}

fn sentences(parts: &[String]) -> String {
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// `UDP 41 ms`, for each path that was tested.
fn path_times(result: &Value) -> Option<Vec<String>> {
    let report = if result["paths"].is_array() { result } else { &result["report"] };
    let shown = |path: &Value| {
        let kind = path["kind"].as_str()?.to_uppercase();
        Some(path["ms"].as_f64().map_or_else(|| format!("{kind} ✘"), |ms| format!("{kind} {ms:.0} ms")))
    };
    let tested = report["paths"].as_array()?.iter().filter(|path| path["unsupported"] != true);
    Some(tested.filter_map(shown).collect())
}

fn ago(check: &Value, now: u64) -> String {
    let Some(at) = check["at"].as_u64() else { return "now".to_owned() };
    match now.saturating_sub(at) {
        0..60 => "now".to_owned(),
        seconds @ 60..7200 => format!("{} minutes ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, side: &str) -> Value {
        json!({
            "at": 1000, "kind": "check", "address": "198.51.100.9",
            "result": {
                "verdict": { "code": code, "side": side, "en": { "title": "T", "text": "It is so.", "fix": "Do it." } },
                "report": { "paths": [{ "kind": "udp", "ms": 41.2 }, { "kind": "tls", "ms": null }] },
            },
        })
    }

    #[test]
    fn a_check_is_judged_by_its_verdict() {
        let fine = line(Some(&check("fine", "unknown")), 1000);
        assert_eq!(fine, Line::ok(Topic::Outside, "198.51.100.9, now: UDP 41 ms, TLS ✘"));
        let closed = line(Some(&check("udp_closed", "server")), 1000 + 600);
        assert_eq!((closed.state, closed.verdict.as_deref()), (State::Failed, Some("udp_closed")));
        assert_eq!(closed.text, "198.51.100.9, 10 minutes ago: It is so. Do it.");
        assert_eq!(line(Some(&check("visitor_blocks_udp", "caster")), 1000).state, State::Warning);
        assert_eq!(line(Some(&check("not_tested", "unknown")), 1000).state, State::Unknown);
        assert_eq!(line(None, 1000).state, State::Unknown);
    }

    #[test]
    fn a_server_gives_root_no_command_but_a_line_of_the_settings() {
        let of = |command: &str| {
            let mut check = check("wrong_external_address", "server");
            check["result"]["verdict"]["command"] = command.into();
            line(Some(&check), 1000).command
        };
        assert_eq!(of("CASTWAY_EXTERNAL_IP=203.0.113.7").as_deref(), Some("CASTWAY_EXTERNAL_IP=203.0.113.7"));
        for command in ["sudo rm -rf /", "CASTWAY_X=1; reboot", "CASTWAY_X=$(reboot)", "CASTWAY_X=1\nreboot", "CASTWAY_X"] {
            assert_eq!(of(command), None, "{command}");
        }
    }

    #[test]
    fn who_presses_ctrl_c_reads_that_the_check_was_skipped() {
        assert_eq!(unanswered(None, 1000, true), Line::unknown(Topic::Outside, "skipped"));
        assert!(unanswered(None, 1000, false).text.contains("within 15 minutes"));
        let last = check("fine", "unknown");
        assert_eq!(unanswered(Some(&last), 1000, true), line(Some(&last), 1000));
    }

    #[test]
    fn an_invitation_has_the_address_and_a_code() {
        let invitation = Invitation { key: "7F3K".to_owned(), url: "https://cast.example.org/check?k=7F3K".to_owned() };
        let shown = invitation.shown(None, 0, false);
        assert!(
            shown.starts_with("? Outside  never checked.")
                && shown.contains("\n           https://cast.example.org/check?k=7F3K\n")
        );
        assert!(shown.contains("On a phone with Wi-Fi off open"), "{shown}");
        let in_a_lan = Invitation { url: "http://192.168.1.5:8080/check?k=7F3K".to_owned(), ..invitation };
        assert!(in_a_lan.shown(None, 0, false).contains("On another device of this network open"));
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("http://{host}:8080/check?k=7F3K"));
        for url in loopback {
            let here = Invitation { url, key: "7F3K".to_owned() }.shown(None, 0, false);
            assert!(here.contains("On this machine, which alone reaches it, open"), "{here}");
            assert!(!here.contains(['█', '▀', '▄']), "{here}");
        }
        assert!(shown.contains(['█', '▀', '▄']) && shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}
