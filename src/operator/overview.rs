//! What an operator sees first: how much goes on, the certificate, the last check, and what still needs a hand.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::error::ActError;
use super::handle::Operator;
use super::overview_parts::LastCheck;
use crate::tls::Certificates;

/// How long the last check is remembered before the database is asked again.
const LAST_CHECK_AGE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

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

impl Operator {
    /// How much goes on now.
    pub async fn overview(&self) -> Overview {
        let parts = &self.0.overview;
        let (kbps_relayed, history) = parts.rate.read();
        let cast = self.0.cast.counts();
        Overview {
            tvs: cast.tvs,
            casts: cast.casts,
            calls: self.0.apprtc.counts().calls,
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
    pub async fn checks(&self) -> Result<Vec<Value>, ActError> {
        let failed = |error| ActError::Failed(format!("the checks can't be read: {error}"));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
