//! Builds what sends requests to the operator's own servers, and tells them of certificates that fail.

use std::time::{Duration, Instant, SystemTime};

use crate::config::HooksConfig;
use crate::hooks::authorize::{ANSWER_TIMEOUT, Authorizer};
use crate::hooks::client::Client;
use crate::hooks::event::{Event, Events};
use crate::hooks::resolve::Resolver;
use crate::hooks::webhooks::{FIRST_PAUSE, Webhooks};
use crate::tls::{Certificate, CertificateKind, Certificates};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long before its end a certificate in files that nobody has replaced is a failure. One that lives shortly has a tenth of its lifetime.
const MAX_LATENESS: Duration = Duration::from_secs(7 * 24 * 3600);

/// Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Hooks {
    pub(super) webhooks: Webhooks,
    pub(super) authorizer: Authorizer,
}

impl Hooks {
    pub(super) fn new(config: &HooksConfig) -> Self {
        let is_used = !config.webhooks.is_empty() || config.authorize.is_some();
        let secret = config.secret.clone().filter(|_| is_used);
        let client = secret.map(|secret| Client::new(secret, config.private, Resolver::of_machine()));
        Self {
            webhooks: Webhooks::new(&config.webhooks, client.as_ref(), FIRST_PAUSE),
            authorizer: Authorizer::new(config.authorize.as_ref(), client.as_ref(), ANSWER_TIMEOUT),
        }
    }
}

/// Tells once a day that the certificate can't be renewed.
#[derive(Debug)]
pub(super) struct CertificateAlarm {
    events: Events,
    told: Option<Instant>,
}

impl CertificateAlarm {
    pub(super) const fn new(events: Events) -> Self {
        Self { events, told: None }
    }

    pub(super) fn check(&mut self, certificates: &Certificates, now: Instant, wall: SystemTime) {
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < DAY) {
            return;
        }
        let certificate = certificates.current();
        let Some(problem) = certificates.problem().map(|problem| problem.en).or_else(|| lateness(&certificate, wall)) else {
            return;
        };
        self.told = Some(now);
        let (names, days_left) = (certificate.names.clone(), days(wall, certificate.not_after));
        self.events.tell(Event::CertificateFailing { names, problem, days_left });
    }
}

/// What is wrong with a certificate that ends soon and whose renewal is not this server's work.
fn lateness(certificate: &Certificate, now: SystemTime) -> Option<String> {
    match certificate.kind {
        CertificateKind::SelfSigned | CertificateKind::Acme => return None,
        CertificateKind::Files | CertificateKind::UntrustedFiles => {}
    }
    is_late(certificate.not_before, certificate.not_after, now)
        .then(|| "the certificate in the files of CASTWAY_CERT and CASTWAY_PKEY ends, and nobody has replaced it".to_owned())
}

fn is_late(not_before: SystemTime, not_after: SystemTime, now: SystemTime) -> bool {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    not_after.duration_since(now).unwrap_or_default() < MAX_LATENESS.min(lifetime / 10)
}

/// Whole days until `end`; negative ones are over.
fn days(now: SystemTime, end: SystemTime) -> i64 {
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
    end.duration_since(now).map_or_else(|past| -days(past.duration()) - 1, days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_nobody_replaces_fails_a_week_before_its_end() {
        let begin = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let late = |lifetime: Duration, before: Duration| is_late(begin, begin + lifetime, begin + lifetime - before);
        assert_eq!([8, 7, 6, 0].map(|left| late(90 * DAY, left * DAY)), [false, false, true, true]);
        assert_eq!([DAY, DAY / 10, DAY / 11].map(|left| late(DAY, left)), [false, false, true], "of a day");
        assert!(is_late(begin, begin + DAY, begin + 9 * DAY));
    }

    #[test]
    fn days_are_counted_down_past_the_end() {
        let end = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        assert_eq!(
            [end - 3 * DAY / 2, end - DAY / 2, end + DAY / 2, end + 3 * DAY / 2].map(|now| days(now, end)),
            [1, 0, -1, -2]
        );
    }
}
