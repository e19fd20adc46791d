//! What an operator sees first: how much goes on, the certificate, the last check, and what still needs a hand.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::handle::Operator;
use crate::check::Checks;
use crate::relay::stats::labels::TrafficDirection;
use crate::relay::{RelayStats, StatsReader};
use crate::tls::Certificates;
use crate::turn::Transport;

/// How often the relayed bytes are read.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// Minutes of the history.
const MAX_MINUTES: usize = 60;
/// How long the last check is remembered before the database is asked again.
const LAST_CHECK_AGE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

/// What the overview is made from, besides the gateways.
pub struct OverviewParts {
    pub relay: StatsReader,
    pub certificates: Option<Certificates>,
    pub checks: Checks,
    pub rate: RelayedRate,
    pub start: Instant,
    /// What still needs configuration, in sentences.
    pub warnings: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    pub last_check: LastCheckCache,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// TVs with a code.
    pub tvs: usize,
    pub casts: usize,
    pub calls: usize,
    pub rooms: usize,
    pub allocations: usize,
    pub kbps_relayed: f64,
    /// kbit/s in each minute of the last hour, the oldest first.
    pub history: Vec<f64>,
    /// `None`: TLS is off.
    pub certificate: Option<CertificateRow>,
    pub last_check: Option<LastCheck>,
    /// In seconds.
    pub uptime: u64,
    pub version: &'static str,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRow {
    pub names: Vec<String>,
    /// Negative: it has expired.
    pub days_left: i64,
    pub trusted: bool,
    pub problem: Option<String>,
}

/// The last check of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastCheck {
    /// In seconds since 1970.
    pub at: i64,
    pub address: String,
    /// The title of its verdict.
    pub verdict: String,
    pub ok: bool,
}

/// The last check, and when it was read.
pub type LastCheckCache = tokio::sync::Mutex<Option<(Instant, Option<LastCheck>)>>;

impl Operator {
    /// How much goes on now.
    pub async fn overview(&self) -> Overview {
        let parts = &self.0.overview;
        let (kbps_relayed, history) = parts.rate.read();
        Overview {
            tvs: self.0.cast.counts().tvs,
            casts: self.casts().iter().filter(|row| row.caster.is_some()).count(),
            calls: self.0.apprtc.counts().now.rooms,
            rooms: self.0.multiconnection.counts().rooms.rooms,
            allocations: usize::try_from(parts.relay.stats().allocations).unwrap_or(usize::MAX),
            kbps_relayed,
            history,
            certificate: parts.certificates.as_ref().map(|certificates| certificate_row(certificates, SystemTime::now())),
            last_check: self.last_check().await,
            uptime: parts.start.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION"),
            warnings: (parts.warnings)(),
        }
    }

    /// The results of checks and the reports that are kept, the newest first.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn checks(&self) -> Result<Vec<Value>, super::ActError> {
        let failed = |error| super::ActError::Failed(format!("the checks can't be read: {error}"));
        self.0.overview.checks.last().await.map_err(failed)
    }

    async fn last_check(&self) -> Option<LastCheck> {
        let mut cached = self.0.overview.last_check.lock().await;
        if let Some((at, last)) = &*cached
            && at.elapsed() < LAST_CHECK_AGE
        {
            return last.clone();
        }
        let last = self.0.overview.checks.last().await.ok().and_then(|kept| kept.iter().find_map(last_check));
        *cached = Some((Instant::now(), last.clone()));
        last
    }
}

fn last_check(kept: &Value) -> Option<LastCheck> {
    let address = kept["address"].as_str()?;
    let verdict = &kept["result"]["verdict"];
    (kept["kind"] == "check").then(|| LastCheck {
        at: kept["at"].as_i64().unwrap_or_default(),
        address: address.parse::<IpAddr>().map_or_else(|_| address.to_owned(), |ip| ip.to_canonical().to_string()),
        verdict: verdict["en"]["title"].as_str().unwrap_or_default().to_owned(),
        ok: verdict["code"] == "fine",
    })
}

fn certificate_row(certificates: &Certificates, now: SystemTime) -> CertificateRow {
    let current = certificates.current();
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
    CertificateRow {
        names: current.names.clone(),
        days_left: current.not_after.duration_since(now).map_or_else(|error| -1 - days(error.duration()), days),
        trusted: current.is_trusted(),
        problem: certificates.problem(),
    }
}

/// How much the relay forwards, now and in the last hour; clones share it.
#[derive(Debug, Clone, Default)]
pub struct RelayedRate(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    last: Option<(Instant, u64)>,
    kbps: f64,
    /// When this minute began, and the bytes until then.
    minute: Option<(Instant, u64)>,
    minutes: VecDeque<f64>,
}

impl RelayedRate {
    /// Reads the counters of the relay at intervals; never returns.
    pub async fn keep_sampling(self, relay: StatsReader) {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        loop {
            interval.tick().await;
            self.samples().note(relayed_bytes(&relay.stats()), Instant::now());
        }
    }

    /// kbit/s now, and in each of the last minutes.
    fn read(&self) -> (f64, Vec<f64>) {
        let samples = self.samples();
        (samples.kbps, samples.minutes.iter().copied().collect())
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples {
    /// `bytes`: all that were relayed until now.
    fn note(&mut self, bytes: u64, now: Instant) {
        if let Some(last) = self.last {
            self.kbps = kbps(last, bytes, now);
        }
        self.last = Some((now, bytes));
        let minute = *self.minute.get_or_insert((now, bytes));
        if now.saturating_duration_since(minute.0) >= MINUTE {
            self.minutes.push_back(kbps(minute, bytes, now));
            self.minute = Some((now, bytes));
        }
        if self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_front();
        }
    }
}

fn kbps((since, before): (Instant, u64), bytes: u64, now: Instant) -> f64 {
    let seconds = now.saturating_duration_since(since).as_secs_f64();
    if seconds <= 0.0 {
        return 0.0;
    }
    (bytes.saturating_sub(before) as f64 * 8.0 / 1000.0 / seconds * 10.0).round() / 10.0
}

fn relayed_bytes(stats: &RelayStats) -> u64 {
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let of = |direction| transports.iter().map(|transport| stats.bytes(direction, *transport)).sum::<u64>();
    TrafficDirection::ALL.iter().map(|direction| of(*direction)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_of_the_last_interval_and_of_each_minute_of_an_hour() {
        let (mut samples, start) = (Samples::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        // 1000 bytes a second are 8 kbit/s.
        (0..=60).step_by(2).for_each(|second| samples.note(second * 1000, at(second)));
        assert_eq!((samples.kbps, samples.minutes.as_slices().0), (8.0, &[8.0][..]));
        samples.note(60_000, at(62));
        assert_eq!(samples.kbps, 0.0, "nothing more was relayed");
        for minute in 2..200_u64 {
            samples.note(60_000 + minute * 1000, at(minute * 60));
        }
        assert_eq!(samples.minutes.len(), MAX_MINUTES);
        assert_eq!(kbps((start, 0), 5, start), 0.0);
    }

    #[test]
    fn the_last_check_is_a_check_and_no_report_of_a_page() {
        let kept = |kind: &str| {
            json!({"at": 5, "kind": kind, "address": "::ffff:192.0.2.9",
                   "result": {"verdict": {"code": "fine", "en": {"title": "All is well"}}}})
        };
        assert_eq!(last_check(&kept("cast")), None);
        let expected = LastCheck { at: 5, address: "192.0.2.9".to_owned(), verdict: "All is well".to_owned(), ok: true };
        assert_eq!(last_check(&kept("check")), Some(expected));
        assert_eq!(last_check(&json!({"kind": "check"})), None);
    }
}
