//! Outcomes in words.

use std::time::Duration;

use super::connect::{Fault, Transport, Way};
use super::outcome::Outcome;
use super::ways::Unresolved;
use crate::cli::doctor::line::{Line, State, Topic};
use crate::cli::doctor::tls::Doubt;

/// `unresolved`: URLs whose host has no address.
pub(super) fn lines(outcomes: &[Outcome], unresolved: &[Unresolved]) -> Vec<Line> {
    let both = |v6: bool| outcomes.iter().any(|outcome| outcome.tested.advertised.address.is_ipv6() == v6);
    let names_family = both(false) && both(true);
    let (mut passed, mut lines) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let name = label(&outcome.tested.advertised, names_family);
        match (&outcome.advertised, &outcome.local) {
            (Ok((time, doubt)), _) => {
                passed.push(format!("{name} {}", milliseconds(*time)));
                lines.extend(doubt.as_ref().map(|doubt| certificate(doubt, &outcome.tested.url)));
            }
            (Err(fault), Some(Ok((time, doubt)))) if !outcome.tested.is_own && is_silence(fault) => {
                passed.push(format!("{name} {}", milliseconds(*time)));
                lines.push(from_inside(outcome));
                lines.extend(doubt.as_ref().map(|doubt| certificate(doubt, &outcome.tested.url)));
            }
            (Err(fault), local) => lines.push(failed(&name, outcome, fault, local.as_ref())),
        }
    }
    lines.extend(unresolved.iter().map(|Unresolved { url, reason, is_certain }| {
        let state = if *is_certain { State::Failed } else { State::Unknown };
        Line::new(Topic::Relay, state, format!("{url}: {reason}"))
    }));
    if !passed.is_empty() {
        lines.insert(0, Line::ok(Topic::Relay, format!("{} (allocated, permitted, echoed)", passed.join(" · "))));
    }
    lines
}

fn is_silence(fault: &Fault) -> bool {
    match fault {
        // A router may lead its own outer address to pages of its own.
        Fault::Unreachable(_) | Fault::NoAnswer | Fault::Handshake(_) | Fault::Other(_) => true,
        Fault::Refused { .. } | Fault::NoEcho => false,
    }
}

/// `UDP`, `TLS 443`; the port of UDP and TCP is named where it isn't 3478.
fn label(way: &Way, names_family: bool) -> String {
    let port = way.address.port();
    let name = match way.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    };
    let port = if port == 3478 { String::new() } else { format!(" {port}") };
    let family = match (names_family, way.address.is_ipv6()) {
        (false, _) => "",
        (true, false) => " IPv4",
        (true, true) => " IPv6",
    };
    format!("{name}{port}{family}")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn certificate(doubt: &Doubt, url: &str) -> Line {
    match doubt {
        Doubt::UnknownIssuer => {
            let text = format!(
                "{url}: this machine doesn't know the authority of the certificate. Devices that don't know it either can't use TURN \
                 over TLS."
            );
            Line::warning(Topic::Relay, text).with_verdict("untrusted_certificate")
        }
        Doubt::Invalid(reason) => {
            let text = format!(
                "{url}: no device accepts the certificate, since {reason}. UDP and TCP work; networks where only 443 is open won't."
            );
            Line::failed(Topic::Relay, text).with_verdict("untrusted_certificate")
        }
    }
}

fn from_inside(outcome: &Outcome) -> Line {
    let (url, address) = (&outcome.tested.url, outcome.tested.advertised.address);
    let text = format!(
        "{url} can't be reached from inside: {address} is not an address of this machine, and its router may carry no packets back in. \
         Where the relay listens, it works; the check from outside tells the rest."
    );
    Line::unknown(Topic::Relay, text)
}

fn failed(name: &str, outcome: &Outcome, fault: &Fault, local: Option<&super::outcome::Result>) -> Line {
    let (url, address) = (&outcome.tested.url, outcome.tested.advertised.address);
    let elsewhere = match (local, &outcome.tested.local) {
        (Some(Ok(_)), Some(way)) => format!(" At {} it works.", way.address),
        _ => String::new(),
    };
    let tls = outcome.tested.advertised.transport == Transport::Tls;
    let closed = if outcome.tested.advertised.transport == Transport::Udp { "udp_closed" } else { "tcp_closed" };
    let (text, verdict) = match fault {
        Fault::Unreachable(reason) => (format!("{name}: {address} can't be reached ({reason})."), Some(closed)),
        Fault::Handshake(reason) => (format!("{name}: the TLS handshake with {address} fails ({reason})."), None),
        Fault::NoAnswer => (format!("{name}: nothing answers at {address} ({url})."), Some(closed)),
        Fault::Refused { code: 401, .. } => {
            let text = format!(
                "{name}: the relay at {address} refuses credentials that this server has just signed (401): another server answers \
                 there, or one with other secrets."
            );
            (text, Some("credentials_refused"))
        }
        Fault::Refused { code: 403, .. } => {
            (format!("{name}: the relay at {address} permits no peer at all (403)."), Some("relay_refused"))
        }
        Fault::Refused { code, .. } if matches!(code, 486 | 508) => {
            let text =
                format!("{name}: not tested, since the relay has no place left ({code}): a quota or its capacity is used up.");
            return Line::unknown(Topic::Relay, text).with_verdict("relay_refused");
        }
        Fault::Refused { code, words } => {
            (format!("{name}: the relay at {address} refuses a request ({code}: {words})."), Some("relay_refused"))
        }
        Fault::NoEcho => (format!("{name}: {address} gives an allocation, and no payload comes through it."), None),
        Fault::Other(reason) => {
            let what = if tls { "what answers there may be no TURN server" } else { "no TURN server seems to answer there" };
            (format!("{name}: {address}: {what} ({reason})."), None)
        }
    };
    let line = Line::failed(Topic::Relay, format!("{text}{elsewhere}"));
    match verdict {
        Some(code) => line.with_verdict(code),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ways::Tested;
    use super::*;

    const PASSED: super::super::outcome::Result = Ok((Duration::from_micros(1200), None));

    fn outcome(
        transport: Transport,
        is_own: bool,
        advertised: super::super::outcome::Result,
        local: Option<super::super::outcome::Result>,
    ) -> Outcome {
        let way = |address: &str| Way { transport, host: "cast.example.org".to_owned(), address: address.parse().unwrap() };
        let port = if transport == Transport::Tls { 443 } else { 3478 };
        let url = format!("turn:cast.example.org:{port}");
        let (there, here) = (way(&format!("203.0.113.7:{port}")), way(&format!("10.0.0.5:{port}")));
        let tested = Tested { url, advertised: there, local: Some(here), is_own };
        Outcome { tested, advertised, local }
    }

    fn shown(outcome: Outcome) -> Vec<(State, Option<String>, String)> {
        lines(&[outcome], &[]).into_iter().map(|line| (line.state, line.verdict, line.text)).collect()
    }

    #[test]
    fn what_works_is_one_line() {
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls].map(|transport| outcome(transport, true, PASSED, None));
        let lines = lines(&all, &[]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, "UDP 1.2 ms · TCP 1.2 ms · TLS 443 1.2 ms (allocated, permitted, echoed)");
    }

    #[test]
    fn a_router_that_carries_nothing_back_in_is_no_fault() {
        let found = shown(outcome(Transport::Udp, false, Err(Fault::NoAnswer), Some(PASSED)));
        assert_eq!(found.iter().map(|line| line.0).collect::<Vec<_>>(), [State::Ok, State::Unknown]);
        assert!(found[1].2.contains("can't be reached from inside"), "{found:?}");
        // At an address of this machine there is no router.
        let found = shown(outcome(Transport::Udp, true, Err(Fault::NoAnswer), Some(PASSED)));
        assert_eq!((found[0].0, found[0].1.as_deref()), (State::Failed, Some("udp_closed")));
        let found = shown(outcome(Transport::Udp, false, Err(Fault::NoAnswer), Some(Err(Fault::NoAnswer))));
        assert_eq!(found[0].0, State::Failed);
    }

    #[test]
    fn a_resolver_that_gives_no_answer_is_no_fault_of_the_url() {
        let unresolved = |is_certain| Unresolved { url: "turn:a".to_owned(), reason: String::new(), is_certain };
        let states: Vec<_> = lines(&[], &[unresolved(true), unresolved(false)]).into_iter().map(|line| line.state).collect();
        assert_eq!(states, [State::Failed, State::Unknown]);
    }

    #[test]
    fn a_refusal_is_named_by_its_step() {
        for (code, state, verdict) in [
            (401, State::Failed, "credentials_refused"),
            (403, State::Failed, "relay_refused"),
            (486, State::Unknown, "relay_refused"),
        ] {
            let fault = Fault::Refused { code, words: String::new() };
            let found = shown(outcome(Transport::Tcp, true, Err(fault), None));
            assert_eq!((found[0].0, found[0].1.as_deref()), (state, Some(verdict)), "{code}");
        }
        let found = shown(outcome(Transport::Tcp, true, Err(Fault::NoEcho), None));
        assert!(found[0].0 == State::Failed && found[0].2.contains("no payload comes through"), "{found:?}");
    }

    #[test]
    fn a_certificate_of_an_unknown_authority_is_a_warning_and_an_invalid_one_a_fault() {
        for (doubt, state) in
            [(Doubt::UnknownIssuer, State::Warning), (Doubt::Invalid("it has expired".to_owned()), State::Failed)]
        {
            let passed = Ok((Duration::from_millis(4), Some(doubt)));
            let found = shown(outcome(Transport::Tls, true, passed, None));
            assert_eq!((found[0].0, found[1].0), (State::Ok, state));
            assert_eq!(found[1].1.as_deref(), Some("untrusted_certificate"));
        }
    }
}
