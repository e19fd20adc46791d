//! [`Checks`]: keys, sessions and results under one lock.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::key_table::{KEY_LIFETIME, KeyTable};
use super::refusal::Refusal;
use super::sessions::{Device, Polled, SESSION_LIFETIME, SessionTable, WATCH_TIME};
use super::tests_of_device::{self, PathTest, RangeOffer, RangeTest};
use crate::addresses::ice_servers::IceServers;
use crate::diagnosis::decide;
use crate::diagnosis::observation::{FactsSource, PathWitness};
use crate::diagnosis::report::{CheckReport, RangeResult};
use crate::diagnosis::verdict::Verdict;
use crate::diagnosis::watch::Watch;
use crate::diagnosis::words::{Reader, Subject, VerdictReply};
use crate::hooks::event::{Event, Events};
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::limits::rate::ClientLimiter;
use crate::turn::RefusalReason;
use crate::users::kept_checks::MAX_RESULT_BYTES;
use crate::users::{CheckKind, Directory, KeptCheck, KeptChecks, Store, StoreError};

/// Starts and joins of one address in a minute, and wrong keys and digits of one client.
const MAX_STARTS_PER_MINUTE: u32 = 10;
/// Other requests of one address in a minute: a check with a second device sends about 50.
const MAX_REQUESTS_PER_MINUTE: u32 = 600;
/// How long a poll waits for a change.
const POLL_TIME: Duration = Duration::from_secs(20);

/// The checks of this server; clones share them.
#[derive(Clone)]
pub struct Checks(Arc<Inner>);

struct Inner {
    parts: CheckParts,
    guesses: Guesses,
    starts: ClientLimiter,
    requests: ClientLimiter,
    state: Mutex<State>,
    /// Notified when a check has its first result.
    finished: Notify,
}

#[derive(Default)]
struct State {
    keys: KeyTable,
    sessions: SessionTable,
}

/// What [`Checks`] works with.
pub struct CheckParts {
    pub directory: Directory,
    pub ice: IceServers,
    pub watch: Watch,
    pub facts: Arc<dyn FactsSource>,
    pub range: RangeTest,
    pub kept: KeptChecks,
    /// Told of checks that fail.
    pub events: Events,
    pub store: Store,
    pub reports: GuessReports,
    /// The origin at which devices outside find the pages.
    pub origin: Box<dyn Fn() -> String + Send + Sync>,
}

/// A key for one check.
#[derive(Debug, Clone)]
pub struct CheckKey {
    pub key: String,
    /// The page, with the key.
    pub url: String,
    pub lifetime: Duration,
}

/// A client, as a request to `/check` shows it.
#[derive(Debug, Clone)]
pub(super) struct CheckClient {
    pub(super) address: IpAddr,
    pub(super) host: Option<String>,
    /// The address of this machine that its connection came to; `None` behind a proxy.
    pub(super) reached: Option<IpAddr>,
}

/// What a device gets at its start.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) session: String,
    /// For the second device; `None`: this is the second one.
    pub(super) digits: Option<String>,
    pub(super) paths: Vec<PathTest>,
    pub(super) range: Option<RangeOffer>,
}

impl Checks {
    #[must_use]
    pub fn new(parts: CheckParts) -> Self {
        let rate = |per_minute| ClientLimiter::per_minute(std::num::NonZeroU32::new(per_minute).expect("it is not 0"));
        Self(Arc::new(Inner {
            guesses: Guesses::new(GuessKind::CheckKey, MAX_STARTS_PER_MINUTE, &parts.reports),
            starts: rate(MAX_STARTS_PER_MINUTE),
            requests: rate(MAX_REQUESTS_PER_MINUTE),
            state: Mutex::default(),
            finished: Notify::new(),
            parts,
        }))
    }

    /// A new key; the ninth one ends the oldest.
    #[must_use]
    pub fn new_key(&self) -> CheckKey {
        let key = self.state().keys.issue(Instant::now());
        let url = format!("{}/check?k={key}", (self.0.parts.origin)());
        CheckKey { key, url, lifetime: KEY_LIFETIME }
    }

    /// Waits until the check of this key has its first result. `None`: it has none after this time, or there is no such key.
    pub async fn wait(&self, key: &str, time: Duration) -> Option<Value> {
        let deadline = tokio::time::Instant::now() + time;
        loop {
            let finished = self.0.finished.notified();
            tokio::pin!(finished);
            finished.as_mut().enable();
            if let Some(result) = self.state().keys.result(key, Instant::now())? {
                return Some(result);
            }
            tokio::time::timeout_at(deadline, finished).await.ok()?;
        }
    }

    /// The results that are kept, the newest first: at most 50 of each kind.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn last(&self) -> Result<Vec<Value>, StoreError> {
        let kept = self.0.parts.store.checks().await?;
        let value = |check: KeptCheck| {
            let result: Value = serde_json::from_str(&check.result).unwrap_or_default();
            json!({"at": check.at, "kind": check.kind, "address": check.address, "result": result})
        };
        Ok(kept.into_iter().map(value).collect())
    }

    /// Uses a key up, and starts its check.
    pub(super) fn start(&self, key: &str, client: &CheckClient) -> Result<Started, Refusal> {
        let now = Instant::now();
        self.may_start(client, now)?;
        let key = self.state().keys.take(key, now).map_err(|refusal| self.wrong(refusal.into(), client, now))?;
        let (device, mut started) = self.device(client, now);
        started.digits = Some(self.state().sessions.start(key, device, now));
        self.end_in_time();
        Ok(started)
    }

    /// Starts the second device of the check that waits for these digits.
    pub(super) fn join(&self, digits: &str, client: &CheckClient) -> Result<Started, Refusal> {
        let now = Instant::now();
        self.may_start(client, now)?;
        if !self.state().sessions.accepts(digits, now) {
            return Err(self.wrong(Refusal::UnknownDigits, client, now));
        }
        let (device, started) = self.device(client, now);
        self.state().sessions.join(digits, device)?;
        self.end_in_time();
        Ok(started)
    }

    fn may_start(&self, client: &CheckClient, now: Instant) -> Result<(), Refusal> {
        if let Some(wait) = self.0.guesses.blocked_for(client.address, now) {
            return Err(Refusal::TooManyRequests(wait));
        }
        self.0.starts.check(client.address).map_err(Refusal::TooManyRequests)
    }

    /// Counts a wrong key or wrong digits. A key that has been used is no guess.
    fn wrong(&self, refusal: Refusal, client: &CheckClient, now: Instant) -> Refusal {
        if refusal != Refusal::UsedKey {
            self.0.guesses.record(client.address, now);
        }
        refusal
    }

    fn device(&self, client: &CheckClient, now: Instant) -> (Device, Started) {
        let CheckParts { directory, ice, watch, range, .. } = &self.0.parts;
        let (user, wall) = (tests_of_device::new_user(), SystemTime::now());
        let session = format!("{:032x}", rand::random::<u128>());
        let started = Started {
            session: session.clone(),
            digits: None,
            paths: tests_of_device::paths(directory, ice, &user, client.host.as_deref(), wall),
            range: range.offer(directory, &user, client.address, wall),
        };
        let handle = watch.open_check(client.address, Some(user));
        (Device::new(session, client.address, handle, now), started)
    }

    /// Ends the watches and the session that begin now, even if nobody asks for anything later.
    fn end_in_time(&self) {
        let checks = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            for time in [WATCH_TIME, SESSION_LIFETIME.saturating_sub(WATCH_TIME)] {
                tokio::time::sleep(time).await;
                let Some(checks) = checks.upgrade().map(Self) else { return };
                checks.state().sessions.handle_timeout(Instant::now());
            }
        });
    }

    /// Sends a message to the other device.
    pub(super) fn send(&self, session: &str, message: String, client: &CheckClient) -> Result<(), Refusal> {
        self.0.requests.check(client.address).map_err(Refusal::TooManyRequests)?;
        self.state().sessions.send(session, message, Instant::now())
    }

    /// Waits for messages, or for the other device. `peer`: the device knows of the other one.
    pub(super) async fn poll(&self, session: &str, peer: bool, client: &CheckClient) -> Result<Polled, Refusal> {
        self.0.requests.check(client.address).map_err(Refusal::TooManyRequests)?;
        let deadline = tokio::time::Instant::now() + POLL_TIME;
        let (number, changed) = self.state().sessions.begin_poll(session, Instant::now())?;
        let mut is_last = false;
        loop {
            let change = changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            if let Some(polled) = self.state().sessions.poll(session, number, peer, is_last, Instant::now())? {
                return Ok(polled);
            }
            is_last = tokio::time::timeout_at(deadline, change).await.is_err();
        }
    }

    /// Whether anybody needs the relayed ports.
    pub fn is_range_used(&self) -> bool {
        self.0.parts.range.is_due(&self.0.parts.directory)
    }

    /// The verdict on what a device has found. It is kept, and ends the wait for the key's check.
    pub(super) fn result(&self, session: &str, mut report: CheckReport, client: &CheckClient) -> Result<Value, Refusal> {
        self.0.requests.check(client.address).map_err(Refusal::TooManyRequests)?;
        let of = self.state().sessions.result(session, Instant::now())?;
        let is_denied = |path: &PathWitness| matches!(path.refused, Some(RefusalReason::DeniedPeer(_)));
        if of.witness.paths.iter().any(is_denied) {
            // The browser does not tell its page of the relay's 403.
            report.range = report.range.map(|range| RangeResult { denied: range.denied || range.arrived == 0, ..range });
        }
        // The relayed end has sent nothing, so it may have permitted nobody.
        let is_silent = !of.witness.unwatched && of.witness.relayed_out == 0;
        report.range = report.range.filter(|range| range.denied || range.arrived > 0 || !is_silent);
        let CheckParts { facts, range, directory, .. } = &self.0.parts;
        let mut facts = facts.facts(client.host.as_deref(), of.address, client.reached);
        facts.second_device = of.other;
        facts.range_needed |= range.is_due(directory);
        let verdict = decide::check(&report, &of.witness, &facts);
        tracing::info!(address = %of.address, verdict = verdict.code(), "check finished");
        let for_operator = json!(VerdictReply::to(Reader::Operator(Subject::Check), &verdict));
        self.keep(of.address, of.device, &report, &for_operator);
        self.tell(of.address, &verdict);
        if of.device == 1 {
            let result = json!({"address": of.address, "verdict": for_operator, "report": report});
            self.state().keys.finish(&of.key, result);
            self.0.finished.notify_waiters();
        }
        Ok(json!(VerdictReply::of(&verdict)))
    }

    fn tell(&self, address: IpAddr, verdict: &Verdict) {
        match verdict {
            Verdict::Fine | Verdict::NotTested(_) => {}
            Verdict::Unknown | Verdict::Fault(_) | Verdict::Either(..) => {
                let VerdictReply { code, en, .. } = VerdictReply::to(Reader::Operator(Subject::Check), verdict);
                let event = Event::CheckFailed { address: Some(address), verdict: code.to_owned(), sentence: en.text };
                self.0.parts.events.tell(event);
            }
        }
    }

    fn keep(&self, address: IpAddr, device: usize, report: &CheckReport, verdict: &Value) {
        let whole = json!({"device": device, "verdict": verdict, "report": report}).to_string();
        let result =
            if whole.len() <= MAX_RESULT_BYTES { whole } else { json!({"device": device, "verdict": verdict}).to_string() };
        self.0.parts.kept.keep(CheckKind::Check, address, result, SystemTime::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
