//! Whether devices can trust the certificate, and for how long.

use std::time::SystemTime;

use super::inputs::Inputs;
use super::line::{Line, Topic};
use crate::config::{CertificateSource, HttpConfig};
use crate::control::facts::CertificateFacts;
use crate::tls::PublicCertificate;
use crate::users::credentials::unix_seconds;

/// Below this many days the certificate should have been renewed.
const FEW_DAYS: u64 = 10;
const SECONDS_PER_DAY: u64 = 86_400;

pub(super) fn look(inputs: &Inputs) -> Vec<Line> {
    let now = unix_seconds(SystemTime::now());
    match (&inputs.facts, &inputs.certificate) {
        (Some(facts), _) => match &facts.certificate {
            Some(certificate) if is_awaited(certificate, inputs) => vec![awaited()],
            Some(certificate) => vec![of(certificate, inputs.public_name().as_deref(), now)],
            None => vec![without_tls(inputs)],
        },
        (None, Some(Ok(certificate))) => vec![of(certificate, inputs.public_name().as_deref(), now)],
        (None, Some(Err(why))) => vec![Line::unknown(Topic::Cert, format!("the certificate can't be read here: {why}"))],
        (None, None) => {
            let Some(config) = &inputs.config else { return Vec::new() };
            let text = match (&config.tls.https, &config.tls.source) {
                (None, _) => return vec![without_tls(inputs)],
                (Some(_), CertificateSource::SelfSigned) => "the server makes its own",
                // Where the folder can't be read, a line about the settings says so.
                (Some(_), CertificateSource::Acme(_)) => {
                    "none was found in the data folder; the server asks for one when it starts"
                }
                (Some(_), CertificateSource::Files { .. }) => "the certificate was not looked at",
            };
            vec![Line::unknown(Topic::Cert, text)]
        }
    }
}

/// Whether the server has asked an authority for a certificate, and has no answer yet.
fn is_awaited(certificate: &CertificateFacts, inputs: &Inputs) -> bool {
    let asks = inputs.config.as_ref().is_some_and(|config| matches!(config.tls.source, CertificateSource::Acme(_)));
    asks && certificate.kind == "self_signed" && certificate.problem.is_none()
}

fn awaited() -> Line {
    let text = "the authority has not answered yet, which takes up to a minute after the start. Run this command again then";
    Line::unknown(Topic::Cert, text)
}

/// A proxy in front may have the certificate.
fn without_tls(inputs: &Inputs) -> Line {
    let http = inputs.config.as_ref().map(|config| &config.http);
    let is_https = |http: &HttpConfig| http.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if http.is_some_and(|http| is_https(http) || !http.trusted_proxies.is_empty()) {
        return Line::ok(Topic::Cert, "TLS is off here; the proxy in front has the certificate");
    }
    let text = "TLS is off (CASTWAY_NO_TLS=true): browsers share screens only from HTTPS pages or from localhost";
    Line::warning(Topic::Cert, text)
}

fn of(certificate: &CertificateFacts, name: Option<&str>, now: u64) -> Line {
    let days = certificate.not_after.saturating_sub(now) / SECONDS_PER_DAY;
    let who = if certificate.issuer.is_empty() { "an unnamed authority" } else { certificate.issuer.as_str() };
    let domain = name.filter(|name| name.parse::<std::net::IpAddr>().is_err());
    if !certificate.trusted {
        return untrusted(certificate, who, domain);
    }
    if certificate.not_before > now {
        return Line::failed(Topic::Cert, format!("{who}: it is not valid yet. Is the clock of this machine right?"));
    }
    if certificate.not_after <= now {
        return Line::failed(Topic::Cert, format!("{who}: it has expired{}", because(certificate)));
    }
    if let Some(name) = domain.filter(|name| !PublicCertificate::covers(&certificate.names, name)) {
        let text = format!("{who}: it is for {}, and not for {name}, so browsers refuse it", certificate.names.join(", "));
        return Line::failed(Topic::Cert, text);
    }
    if days < FEW_DAYS || certificate.problem.is_some() {
        return Line::warning(Topic::Cert, format!("{who}, {days} days left{}", because(certificate)));
    }
    Line::ok(Topic::Cert, format!("{who}, {days} days left"))
}

fn because(certificate: &CertificateFacts) -> String {
    certificate.problem.as_ref().map(|problem| format!("; it could not be renewed: {problem}")).unwrap_or_default()
}

fn untrusted(certificate: &CertificateFacts, who: &str, domain: Option<&str>) -> Line {
    let consequence =
        "TURN over TLS needs a certificate that devices trust. UDP and TCP work; networks where only 443 is open won't";
    match (&certificate.problem, certificate.kind.as_str(), domain) {
        (Some(problem), "self_signed", Some(name)) => {
            Line::warning(Topic::Cert, format!("there is none for {name} yet: {problem}. {consequence}"))
        }
        (_, "self_signed", None) => {
            return Line::ok(Topic::Cert, "made by this server: browsers warn once, and TURN over TLS is not offered");
        }
        (_, "self_signed", Some(name)) => Line::warning(
            Topic::Cert,
            format!("made by this server, so browsers warn at {name}. {consequence}. Set CASTWAY_DOMAIN={name}, or CASTWAY_CERT"),
        ),
        (_, _, _) => Line::warning(Topic::Cert, format!("{who}: devices don't know this authority. {consequence}")),
    }
    .with_verdict("untrusted_certificate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::line::State;
    use crate::config::{Config, Settings};

    const NOW: u64 = 1_800_000_000;

    fn good() -> CertificateFacts {
        CertificateFacts {
            kind: "acme".to_owned(),
            names: vec!["cast.example.org".to_owned()],
            issuer: "Let's Encrypt".to_owned(),
            not_before: NOW - 100,
            not_after: NOW + 61 * SECONDS_PER_DAY + 1,
            trusted: true,
            problem: None,
        }
    }

    fn state(certificate: &CertificateFacts, name: Option<&str>) -> State {
        of(certificate, name, NOW).state
    }

    #[test]
    fn a_certificate_is_judged_by_trust_name_and_time() {
        let name = Some("cast.example.org");
        assert_eq!(of(&good(), name, NOW), Line::ok(Topic::Cert, "Let's Encrypt, 61 days left"));
        assert_eq!(state(&good(), Some("other.example.org")), State::Failed);
        assert_eq!(state(&good(), Some("203.0.113.7")), State::Ok, "an address is no name of the certificate's");
        assert_eq!(state(&CertificateFacts { not_after: NOW, ..good() }, name), State::Failed);
        assert_eq!(state(&CertificateFacts { not_before: NOW + 1, ..good() }, name), State::Failed);
        let soon = CertificateFacts { not_after: NOW + 9 * SECONDS_PER_DAY, ..good() };
        assert_eq!(state(&soon, name), State::Warning);
    }

    #[test]
    fn a_certificate_of_an_unknown_authority_is_a_warning_and_one_of_a_lan_is_none() {
        let files = CertificateFacts { kind: "untrusted_files".to_owned(), trusted: false, ..good() };
        let line = of(&files, Some("cast.example.org"), NOW);
        assert_eq!((line.state, line.verdict.as_deref()), (State::Warning, Some("untrusted_certificate")));
        let own = CertificateFacts { kind: "self_signed".to_owned(), trusted: false, ..good() };
        assert_eq!(state(&own, None), State::Ok);
        assert_eq!(state(&own, Some("192.168.1.5")), State::Ok);
        assert_eq!(state(&own, Some("cast.example.org")), State::Warning);
    }

    #[test]
    fn a_certificate_that_was_asked_for_is_awaited_until_there_is_an_answer() {
        let of_domain = |domain: Option<&str>| {
            let domain = domain.map(str::to_owned);
            Inputs { config: Some(Config::read(&Settings { domain, ..Settings::default() }).unwrap()), ..Inputs::default() }
        };
        let own = CertificateFacts { kind: "self_signed".to_owned(), trusted: false, ..good() };
        assert!(is_awaited(&own, &of_domain(Some("cast.example.org"))));
        assert!(!is_awaited(&own, &of_domain(None)));
        let refused = CertificateFacts { problem: Some("the name leads elsewhere".to_owned()), ..own };
        assert!(!is_awaited(&refused, &of_domain(Some("cast.example.org"))));
        assert!(!is_awaited(&good(), &of_domain(Some("cast.example.org"))));
    }

    #[test]
    fn the_certificate_may_be_that_of_a_proxy_in_front() {
        let state = |trusted_proxies: Option<&str>, public_url: Option<&str>| {
            let [trusted_proxies, public_url] = [trusted_proxies, public_url].map(|value| value.map(str::to_owned));
            let config = Config::read(&Settings { trusted_proxies, public_url, ..Settings::default() }).unwrap();
            without_tls(&Inputs { config: Some(config), ..Inputs::default() }).state
        };
        assert_eq!(state(Some("127.0.0.1"), None), State::Ok);
        assert_eq!(state(None, Some("https://cast.example.org")), State::Ok);
        assert_eq!(state(None, Some("http://cast.example.org")), State::Warning);
        assert_eq!(state(None, None), State::Warning);
    }
}
