//! Tells the operator's servers what happens (`CASTWAY_WEBHOOK_URL`).
//!
//! Each URL has a queue of its own, whose events are sent in order, one at a time. An event that is not taken is sent again, with growing
//! pauses. It may reach its receiver twice, which knows it by its id. One that the receiver refuses is given up soon, so that it does not hold
//! up the others. Nothing is kept over a restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::future::join_all;
use rand::RngExt as _;
use serde::Serialize;
use tokio::sync::Notify;

use super::client::{Client, Target};
use super::event::{Event, Events};
use super::queue::{EventQueue, QueuedEvent};
use crate::config::HookUrl;
use crate::limits::log_interval::LogInterval;

/// For a connection and the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the first failed attempt; each further one doubles it.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// How old an event is that is given up.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often, and for how long, the receiver refuses an event before it is given up.
const MAX_REFUSALS: u32 = 3;
const MAX_REFUSED_TIME: Duration = Duration::from_secs(600);
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Webhooks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    webhooks: Vec<Webhook>,
    counts: Counts,
    first_pause: Duration,
}

/// How an attempt has ended.
enum Attempt {
    Taken,
    /// The receiver does not want this event, however often it comes.
    Refused(String),
    Failed(String),
}

/// The refusals of the event that is sent.
#[derive(Debug)]
struct Refusals {
    event: u64,
    since: Instant,
    count: u32,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Webhook {
    target: Target,
    queue: Mutex<EventQueue>,
    added: Notify,
    /// Events that were lost and are not in the log yet.
    unlogged: AtomicU64,
    start: Instant,
    log_interval: LogInterval,
}

/// The body of a request.
#[derive(Debug, Serialize)]
struct Told<'a> {
    /// 128 random bits.
    id: String,
    /// Seconds since 1970.
    at: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Webhooks {
    /// `client`: there is one where there are URLs; `first_pause`: see [`FIRST_PAUSE`].
    #[must_use]
    pub fn new(urls: &[HookUrl], client: Option<&Client>, first_pause: Duration) -> Self {
        let webhooks =
            client.into_iter().flat_map(|client| urls.iter().map(|url| Webhook::new(Target::new(client, url.clone()))));
        Self(Arc::new(Inner { webhooks: webhooks.collect(), counts: Counts::default(), first_pause }))
    }

    /// Takes events for all URLs.
    #[must_use]
    pub fn events(&self) -> Events {
        if self.0.webhooks.is_empty() {
            return Events::default();
        }
        let inner = Arc::clone(&self.0);
        Events::new(move |event| inner.take(&event))
    }

    /// Sends events as they come; never returns.
    pub async fn run(self) {
        join_all(self.0.webhooks.iter().map(|webhook| webhook.run(&self.0))).await;
        // There is no URL.
        std::future::pending().await
    }

    /// Sends what waits, for so long at most. For the end, when [`Self::run`] has been ended.
    pub async fn finish(&self, limit: Duration) {
        let finished = join_all(self.0.webhooks.iter().map(|webhook| webhook.finish(&self.0.counts)));
        tokio::time::timeout(limit, finished).await.ok();
        let waiting: usize = self.0.webhooks.iter().map(|webhook| webhook.queue().len()).sum();
        if waiting > 0 {
            tracing::warn!(
                events = waiting,
                "events for webhooks are lost, because their receivers have not taken them before the end"
            );
        }
    }

    /// Attempts that succeeded and failed, and events that were given up: `delivered`, `failed`, `lost`.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let Counts { delivered, failed, lost } = &self.0.counts;
        [("delivered", delivered), ("failed", failed), ("lost", lost)].map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

impl Inner {
    fn take(&self, event: &Event) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let told = Told { id: format!("{:032x}", rand::random::<u128>()), at, event };
        let json = Bytes::from(serde_json::to_vec(&told).expect("events are JSON"));
        for webhook in &self.webhooks {
            let lost = webhook.queue().push(json.clone(), event.is_frequent(), Instant::now());
            webhook.lose(lost, &self.counts);
            webhook.added.notify_one();
        }
    }
}

impl Webhook {
    fn new(target: Target) -> Self {
        Self {
            target,
            queue: Mutex::default(),
            added: Notify::new(),
            unlogged: AtomicU64::new(0),
            start: Instant::now(),
            log_interval: LogInterval::new(LOG_INTERVAL),
        }
    }

    async fn run(&self, inner: &Inner) {
        let counts = &inner.counts;
        let mut failures = 0;
        let mut refusals = None;
        let mut is_taken = true;
        loop {
            let Some(event) = self.first().await else { continue };
            let (problem, longest) = match self.attempt(&event, counts).await {
                Attempt::Taken => {
                    if !is_taken {
                        tracing::info!(url = %self.target.url(), "a webhook takes events again");
                    }
                    (failures, is_taken) = (0, true);
                    self.log_lost();
                    continue;
                }
                Attempt::Refused(problem) => {
                    failures = 0;
                    let longest = match Refusals::add(&mut refusals, event.number, Instant::now()) {
                        Some(count) => pause(inner.first_pause, count),
                        None => {
                            self.give_up(&event, counts);
                            Duration::ZERO
                        }
                    };
                    (problem, longest)
                }
                Attempt::Failed(problem) => {
                    failures += 1;
                    let is_old = event.since.elapsed() >= MAX_AGE;
                    if is_old {
                        self.give_up(&event, counts);
                    }
                    (problem, pause(inner.first_pause, if is_old { 1 } else { failures }))
                }
            };
            is_taken = false;
            let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
            self.log(&problem, pause);
            tokio::time::sleep(pause).await;
        }
    }

    /// The event that is sent next, when there is one.
    async fn first(&self) -> Option<QueuedEvent> {
        let first = self.queue().first();
        if first.is_none() {
            self.added.notified().await;
        }
        first
    }

    async fn finish(&self, counts: &Counts) {
        while let Some(event) = { self.queue().first() } {
            match self.attempt(&event, counts).await {
                Attempt::Taken => (),
                Attempt::Refused(_) => self.give_up(&event, counts),
                Attempt::Failed(_) => return,
            }
        }
    }

    /// Sends an event once. If it isn't taken, it stays the first one.
    async fn attempt(&self, event: &QueuedEvent, counts: &Counts) -> Attempt {
        let answer = self.target.post(event.json.clone(), ATTEMPT_TIMEOUT).await;
        let failed = match answer {
            Ok(answer) if answer.status.is_success() => {
                self.queue().remove(event.number);
                counts.delivered.fetch_add(1, Ordering::Relaxed);
                return Attempt::Taken;
            }
            Ok(answer) => {
                let problem = format!("it answers with {}", answer.status.as_u16());
                if is_refusal(answer.status) { Attempt::Refused(problem) } else { Attempt::Failed(problem) }
            }
            Err(error) => Attempt::Failed(error.to_string()),
        };
        counts.failed.fetch_add(1, Ordering::Relaxed);
        failed
    }

    fn give_up(&self, event: &QueuedEvent, counts: &Counts) {
        // A full queue may have dropped and counted it meanwhile.
        if self.queue().remove(event.number) {
            self.lose(1, counts);
        }
    }

    fn lose(&self, events: u64, counts: &Counts) {
        counts.lost.fetch_add(events, Ordering::Relaxed);
        self.unlogged.fetch_add(events, Ordering::Relaxed);
    }

    fn log(&self, problem: &str, pause: Duration) {
        if self.log_interval.is_due(self.start.elapsed()) {
            let (waiting, lost) = (self.queue().len(), self.unlogged.swap(0, Ordering::Relaxed));
            let seconds = pause.as_secs();
            tracing::warn!(url = %self.target.url(), waiting, lost, "a webhook does not take events: {problem}; the next attempt is in {seconds} s");
        }
    }

    /// The receiver takes events, but more slowly than they come.
    fn log_lost(&self) {
        if self.unlogged.load(Ordering::Relaxed) > 0 && self.log_interval.is_due(self.start.elapsed()) {
            let lost = self.unlogged.swap(0, Ordering::Relaxed);
            tracing::warn!(url = %self.target.url(), lost, "events for a webhook are lost, because it takes them too slowly");
        }
    }

    fn queue(&self) -> MutexGuard<'_, EventQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusals {
    /// Counts one. Returns how many there are, or `None` if the event is to be given up.
    fn add(refusals: &mut Option<Self>, event: u64, now: Instant) -> Option<u32> {
        let mut of_event = refusals.take().filter(|known| known.event == event).unwrap_or(Self { event, since: now, count: 0 });
        of_event.count += 1;
        let ends = of_event.count >= MAX_REFUSALS || now.saturating_duration_since(of_event.since) >= MAX_REFUSED_TIME;
        let count = of_event.count;
        *refusals = Some(of_event);
        (!ends).then_some(count)
    }
}

/// Whether the receiver does not want the request, however often it comes.
fn is_refusal(status: StatusCode) -> bool {
    let asks_for_another = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    status.is_client_error() && !asks_for_another
}

/// The longest pause after so many failed attempts in a row.
fn pause(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let pauses = [1, 2, 3, 9, 10, 11, 32, 33, u32::MAX].map(|failures| pause(FIRST_PAUSE, failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 256, 512, 600, 600, 600, 600]);
    }

    #[test]
    fn a_refusal_is_final_only_where_it_says_so() {
        let refusals = [400, 401, 404, 410, 413, 408, 425, 429, 500, 503, 302, 304]
            .map(|status| is_refusal(StatusCode::from_u16(status).unwrap()));
        assert_eq!(refusals, [true, true, true, true, true, false, false, false, false, false, false, false]);
    }

    #[test]
    fn each_event_has_refusals_of_its_own() {
        let (mut refusals, now) = (None, Instant::now());
        let mut add = |event, seconds| Refusals::add(&mut refusals, event, now + Duration::from_secs(seconds));
        assert_eq!([add(1, 0), add(1, 1), add(1, 4)], [Some(1), Some(2), None]);
        assert_eq!([add(2, 5), add(2, 604), add(3, 700), add(3, 1300)], [Some(1), Some(2), Some(1), None]);
    }

    #[test]
    fn an_event_has_an_id_a_time_and_its_own_fields() {
        let event = Event::CertificateFailing { names: vec!["cast.example.org".into()], problem: "no".into(), days_left: -1 };
        let json = serde_json::to_value(Told { id: "7f".into(), at: 1_700_000_000, event: &event }).unwrap();
        let expected = serde_json::json!({
            "id": "7f", "at": 1_700_000_000, "event": "certificate_failing", "names": ["cast.example.org"], "problem": "no", "daysLeft": -1
        });
        assert_eq!(json, expected);
    }
}
