//! Asks the operator's own server who may take a seat (`CASTWAY_AUTHORIZE_URL`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::watch;

use super::client::{Client, PostAnswer, Target};
use super::error::PostError;
use super::question::read_answer;
pub use super::question::{Answer, Question, SeatKind};
use super::questions::{Asking, Ending, Place, Questions};
use crate::config::secret::Secret;
use crate::config::{AskedSeats, AuthorizeConfig};
use crate::limits::ip_prefix;
use crate::limits::log_interval::LogInterval;

/// How long a client waits for its answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A request with at least this time of its own that is not answered says that the server is down; with less, only that it had waited.
const FULL_REQUEST_TIME: Duration = Duration::from_millis(1500);
/// Bytes of a question.
const MAX_QUESTION_BYTES: usize = 32 * 1024;
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Asks. Clones share it. By default nobody is asked.
#[derive(Debug, Clone, Default)]
pub struct Authorizer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    target: Target,
    seats: AskedSeats,
    allows_when_down: bool,
    limit: Duration,
    questions: Mutex<Questions<Waiter>>,
    counts: Counts,
    start: Instant,
    unanswered: LogInterval,
    full: LogInterval,
}

/// Sends the answer to all who wait for it.
type Waiter = Arc<watch::Sender<Option<Outcome>>>;
type Answered = watch::Receiver<Option<Outcome>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Answered(Answer),
    /// Nothing was answered, or that the server can't answer now.
    Down,
    /// Something else was answered than a yes or a no.
    Unusable,
    /// The question had waited for so long that no time was left for its answer.
    Busy,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    remembered: AtomicU64,
    refused: AtomicU64,
    down: AtomicU64,
    busy: AtomicU64,
}

impl Authorizer {
    /// `client`: there is one where there is a URL; `limit`: see [`ANSWER_TIMEOUT`].
    #[must_use]
    pub fn new(config: Option<&AuthorizeConfig>, client: Option<&Client>, limit: Duration) -> Self {
        let inner = config.zip(client).map(|(config, client)| Inner {
            target: Target::new(client, config.url.clone()),
            seats: config.seats,
            allows_when_down: config.allows_when_down,
            limit,
            questions: Mutex::default(),
            counts: Counts::default(),
            start: Instant::now(),
            unanswered: LogInterval::new(LOG_INTERVAL),
            full: LogInterval::new(LOG_INTERVAL),
        });
        Self(inner.map(Arc::new))
    }

    /// Whether seats of this kind need an answer. If not, [`Self::ask`] allows them at once.
    #[must_use]
    pub fn is_on(&self, kind: SeatKind) -> bool {
        self.0.as_ref().is_some_and(|inner| match kind {
            SeatKind::Tv => inner.seats.tv,
            SeatKind::Caster => inner.seats.caster,
            SeatKind::Call => inner.seats.call,
        })
    }

    /// The answer, within the limit. Whoever waits no longer drops this, and the question is not sent if it still waits.
    pub async fn ask(&self, question: Question) -> Answer {
        match &self.0 {
            Some(inner) if self.is_on(question.kind) => inner.ask(&question).await,
            _ => Answer::Allowed,
        }
    }

    /// Answers by result: `allowed`, `remembered` (allowed without asking again), `refused`, `down` (the server did not answer, or not as it
    /// should), `busy` (too many questions waited, or one for too long).
    #[must_use]
    pub fn counts(&self) -> Option<[(&'static str, u64); 5]> {
        let Counts { allowed, remembered, refused, down, busy } = &self.0.as_ref()?.counts;
        let all = [("allowed", allowed), ("remembered", remembered), ("refused", refused), ("down", down), ("busy", busy)];
        Some(all.map(|(name, count)| (name, count.load(Ordering::Relaxed))))
    }
}

impl Inner {
    async fn ask(self: &Arc<Self>, question: &Question) -> Answer {
        let begun = Instant::now();
        let json = question.json();
        if json.len() > MAX_QUESTION_BYTES {
            return self.busy("a question is too long");
        }
        let (sender, answered) = watch::channel(None);
        let request_key = Question::request_key(&json);
        let asking = Asking {
            json: Secret::new(json.into()),
            // A request that ends by then is known to be unanswered, and not only to have waited.
            until: begun + self.limit.mul_f32(0.95),
            waiter: Arc::new(sender),
            client: ip_prefix::of_client(question.address),
            answer_key: question.answer_key(),
            request_key,
        };
        let answered = match self.take_place(asking, answered) {
            Place::Remembered => {
                self.counts.remembered.fetch_add(1, Ordering::Relaxed);
                return Answer::Allowed;
            }
            Place::Down => return self.down(),
            Place::Full => return self.busy("too many questions wait"),
            Place::Shared(answered) | Place::Waits(answered) => answered,
        };
        self.send_waiting();
        match outcome(answered, begun + self.limit).await {
            Some(Outcome::Answered(answer)) => {
                let count = if answer == Answer::Allowed { &self.counts.allowed } else { &self.counts.refused };
                count.fetch_add(1, Ordering::Relaxed);
                answer
            }
            Some(Outcome::Down) => self.down(),
            Some(Outcome::Unusable) => {
                self.counts.down.fetch_add(1, Ordering::Relaxed);
                Answer::Unavailable
            }
            Some(Outcome::Busy) | None => self.busy("too many questions wait"),
        }
    }

    /// Under the lock, so that the question is awaited as long as it is known.
    fn take_place(&self, asking: Asking<Waiter>, answered: Answered) -> Place<Answered, Answered> {
        let mut questions = self.questions();
        match questions.ask(asking, Instant::now()) {
            Place::Shared(waiter) => Place::Shared(waiter.subscribe()),
            Place::Waits(()) => Place::Waits(answered),
            Place::Remembered => Place::Remembered,
            Place::Down => Place::Down,
            Place::Full => Place::Full,
        }
    }

    /// Sends as many questions as may be sent.
    fn send_waiting(self: &Arc<Self>) {
        while let Some(asking) = self.next() {
            tokio::spawn(Arc::clone(self).send(asking));
        }
    }

    fn next(&self) -> Option<Asking<Waiter>> {
        self.questions().next(Instant::now(), |waiter| !waiter.is_closed())
    }

    async fn send(self: Arc<Self>, asking: Asking<Waiter>) {
        let limit = asking.until.saturating_duration_since(Instant::now());
        let (outcome, ending) = match self.target.post(asking.json.expose().clone(), limit).await {
            Ok(answer) => {
                let (outcome, problem) = read(&answer);
                if let Some(problem) = problem {
                    self.log_problem(&problem, outcome == Outcome::Down);
                }
                let is_yes = outcome == Outcome::Answered(Answer::Allowed);
                (outcome, if is_yes { Ending::Yes } else { Ending::Other })
            }
            Err(PostError::Late) if limit < FULL_REQUEST_TIME => (Outcome::Busy, Ending::Unknown),
            Err(error) => {
                self.log_problem(&error.to_string(), true);
                (Outcome::Down, Ending::Unanswered)
            }
        };
        self.questions().finish(&asking, ending, Instant::now());
        asking.waiter.send_replace(Some(outcome));
        self.send_waiting();
    }

    fn down(&self) -> Answer {
        self.counts.down.fetch_add(1, Ordering::Relaxed);
        if self.allows_when_down { Answer::Allowed } else { Answer::Unavailable }
    }

    /// Not even `CASTWAY_AUTHORIZE_DOWN=allow` allows what was not asked: a client could get in by asking too much.
    fn busy(&self, why: &str) -> Answer {
        self.counts.busy.fetch_add(1, Ordering::Relaxed);
        if self.full.is_due(self.start.elapsed()) {
            tracing::warn!("somebody is refused a seat that CASTWAY_AUTHORIZE_URL was not asked about: {why}");
        }
        Answer::Unavailable
    }

    fn log_problem(&self, problem: &str, is_down: bool) {
        if self.unanswered.is_due(self.start.elapsed()) {
            let meanwhile = if is_down && self.allows_when_down { "allowed" } else { "refused" };
            let url = self.target.url();
            tracing::warn!(%url, "CASTWAY_AUTHORIZE_URL can't be asked: {problem}; meanwhile everybody is {meanwhile}");
        }
    }

    fn questions(&self) -> MutexGuard<'_, Questions<Waiter>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None`: the question was not sent in time, or gave way to another one.
async fn outcome(mut answered: Answered, until: Instant) -> Option<Outcome> {
    let outcome = answered.wait_for(Option::is_some);
    tokio::time::timeout_at(until.into(), outcome).await.ok()?.ok()?.clone()
}

/// Reads what the server has answered, with the problem where it is neither a yes nor a no. Only a server that says itself that it can't
/// answer now is down: whoever asks chooses the question, and must not get in with one that the server does not understand.
fn read(answer: &PostAnswer) -> (Outcome, Option<String>) {
    let PostAnswer { status, body } = answer;
    let outcome = match *status {
        StatusCode::OK => {
            let answer = body.as_deref().and_then(read_answer);
            return answer.map_or_else(
                || (Outcome::Unusable, Some("its answer is not {\"allow\": true} or {\"allow\": false} in JSON".to_owned())),
                |answer| (Outcome::Answered(answer), None),
            );
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Down,
        status if status.is_server_error() => Outcome::Down,
        status if status.is_client_error() => Outcome::Answered(Answer::Refused(None)),
        _ => Outcome::Unusable,
    };
    (outcome, Some(format!("it answers with {}", status.as_u16())))
}
