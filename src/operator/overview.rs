//! What an operator sees first: how much goes on, the certificate, the last check, and what still needs a hand.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::error::ActError;
use super::handle::Operator;
use super::overview_parts::LastCheck;
use crate::sentence::Sentence;
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
    pub warnings: Vec<Sentence>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRow {
    pub names: Vec<String>,
    /// Negative: it has expired.
    pub days_left: i64,
    pub trusted: bool,
    pub problem: Option<Sentence>,
}

impl Overview {
    /// As the commands read it: with the English of each sentence alone.
    ///
    /// # Panics
    /// Never: an overview is JSON.
    #[must_use]
    pub fn in_english(&self) -> Value {
        let mut shown = serde_json::to_value(self).expect("an overview is JSON");
        shown["warnings"] = self.warnings.iter().map(|warning| warning.en.as_str()).collect();
        if let Some(problem) = self.certificate.as_ref().and_then(|certificate| certificate.problem.as_ref()) {
            shown["certificate"]["problem"] = problem.en.as_str().into();
        }
        if let Some(check) = &self.last_check {
            shown["lastCheck"]["verdict"] = check.verdict.en.as_str().into();
        }
        shown
    }
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
        verdict: {
            let title = |language: &str| verdict[language]["title"].as_str().unwrap_or_default();
            Sentence::new(title("en"), title("zh"))
        },
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
                   "result": {"verdict": {"code": "fine", "en": {"title": "All is well"}, "zh": {"title": "一切正常"}}}})
        };
        assert_eq!(last_check(&kept("cast")), None);
        let verdict = Sentence::new("All is well", "一切正常");
        let expected = LastCheck { at: 5, address: "192.0.2.9".to_owned(), verdict, ok: true };
        assert_eq!(last_check(&kept("check")), Some(expected));
        assert_eq!(last_check(&json!({"kind": "check"})), None);
    }

    #[test]
    fn commands_read_the_english_of_each_sentence() {
        let sentence = |en: &str| Sentence::new(en, "中文");
        let mut overview = Overview {
            tvs: 1,
            casts: 0,
            calls: 0,
            rooms: 0,
            allocations: 0,
            kbps_relayed: 0.0,
            history: Vec::new(),
            certificate: Some(CertificateRow {
                names: Vec::new(),
                days_left: 3,
                trusted: true,
                problem: Some(sentence("No answer")),
            }),
            last_check: Some(LastCheck { at: 5, address: String::new(), verdict: sentence("All is well"), ok: true }),
            uptime: 7,
            version: "1",
            warnings: vec![sentence("Raise it"), sentence("Set it")],
        };
        let shown = overview.in_english();
        assert_eq!(shown["warnings"], json!(["Raise it", "Set it"]));
        assert_eq!(
            (&shown["certificate"]["problem"], &shown["lastCheck"]["verdict"]),
            (&json!("No answer"), &json!("All is well"))
        );
        assert_eq!((&shown["tvs"], &shown["certificate"]["daysLeft"]), (&json!(1), &json!(3)));
        assert!(!shown.to_string().contains("中文"));
        (overview.certificate, overview.last_check) = (None, None);
        let shown = overview.in_english();
        assert!(shown["certificate"].is_null() && shown["lastCheck"].is_null(), "{shown}");
    }
}
