//! The lock around the rooms of one gateway, and the task that runs their time-outs.
//!
//! Owner of the gateway's state. **Inputs**: [`RoomDriver::with`] runs one input under the lock as a whole, and nothing is awaited inside, so
//! that all clients see things in the order in which they happened. [`RoomDriver::run`] is one task, which sleeps until
//! [`DrivenState::next_timeout`].
//!
//! Invariant: no state survives a panic. An input that panics may have left the tables half changed, so the state begins anew
//! ([`DrivenState::reset`]), as a shard of the relay does: its clients are disconnected and come back, and the rest of the server goes on.

pub mod numbers;
pub mod rows;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Resets since the start of the process.
static RESETS: AtomicU64 = AtomicU64::new(0);
/// The pause after a time-out that panicked, so that one that panics each time does not keep a core busy.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(100);

/// State that a [`RoomDriver`] locks, times and resets.
pub trait DrivenState {
    /// The name in the log.
    const NAME: &'static str;

    /// When the state's time-out is due.
    fn next_timeout(&self) -> Option<Instant>;

    /// Drops everything, however inconsistent it is, and disconnects the clients so that they come back.
    fn reset(&mut self);
}

#[derive(Debug)]
pub struct RoomDriver<S> {
    locked: Mutex<Locked<S>>,
    /// For how long inputs have held the lock. Nanoseconds.
    locked_nanos: AtomicU64,
    /// Notified when the next time-out has changed.
    rearm: Notify,
}

#[derive(Debug)]
struct Locked<S> {
    state: S,
    /// The time-out that [`RoomDriver::due`] sleeps until.
    armed: Option<Instant>,
}

/// How often state of this process was reset.
#[must_use]
pub fn resets() -> u64 {
    RESETS.load(Ordering::Relaxed)
}

impl<S: DrivenState> RoomDriver<S> {
    pub fn new(state: S) -> Self {
        let locked = Mutex::new(Locked { state, armed: None });
        Self { locked, locked_nanos: AtomicU64::new(0), rearm: Notify::new() }
    }

    /// Runs one input under the lock.
    ///
    /// # Panics
    /// If the input does; the state has been reset then.
    pub fn with<T>(&self, input: impl FnOnce(&mut S) -> T) -> T {
        let (result, rearm) = {
            let mut locked = self.lock();
            let since = Instant::now();
            let Locked { state, armed } = &mut *locked;
            let outcome = match catch_unwind(AssertUnwindSafe(|| (input(state), state.next_timeout() != *armed))) {
                Ok((result, rearm)) => (Ok(result), rearm),
                Err(panic) => {
                    tracing::error!(
                        core = S::NAME,
                        "internal error: dropping all rooms and disconnecting their clients, which have to come back"
                    );
                    RESETS.fetch_add(1, Ordering::Relaxed);
                    if catch_unwind(AssertUnwindSafe(|| state.reset())).is_err() {
                        tracing::error!(
                            core = S::NAME,
                            "internal error while dropping the rooms: some of their state may remain"
                        );
                    }
                    (Err(panic), true)
                }
            };
            let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.locked_nanos.fetch_add(nanos, Ordering::Relaxed);
            outcome
        };
        if rearm {
            self.rearm.notify_one();
        }
        // Unwinding under the lock would poison it.
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// For how long inputs have held the lock, since the start. Where this grows by nearly a second a second, the lock is the limit.
    pub fn locked_time(&self) -> Duration {
        Duration::from_nanos(self.locked_nanos.load(Ordering::Relaxed))
    }

    /// Runs `input` whenever the state's next time-out is due; never returns.
    pub async fn run(&self, input: impl Fn()) {
        loop {
            self.due().await;
            if catch_unwind(AssertUnwindSafe(&input)).is_err() {
                tokio::time::sleep(PAUSE_AFTER_PANIC).await;
            }
        }
    }

    /// Ends when the next time-out is due, also if inputs move the time-out meanwhile.
    async fn due(&self) {
        loop {
            let due = {
                let mut locked = self.lock();
                locked.armed = locked.state.next_timeout();
                locked.armed
            };
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => return,
                () = self.rearm.notified() => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Locked<S>> {
        // No panic leaves `with` while the lock is held.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug, Default)]
    struct Machine {
        due: Option<Instant>,
        members: u32,
        resets: u32,
    }

    impl DrivenState for Machine {
        const NAME: &'static str = "test";

        fn next_timeout(&self) -> Option<Instant> {
            self.due
        }

        fn reset(&mut self) {
            *self = Self { resets: self.resets + 1, ..Self::default() };
        }
    }

    #[tokio::test]
    async fn a_time_out_that_an_event_brings_nearer_is_met() {
        for due in [None, Some(Instant::now() + Duration::from_secs(3600))] {
            let driver = RoomDriver::new(Machine { due, ..Machine::default() });
            let both = async { tokio::join!(driver.due(), async { driver.with(|machine| machine.due = Some(Instant::now())) }) };
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is due");
        }
    }

    #[test]
    fn the_time_under_the_lock_is_counted_also_if_an_input_panics() {
        let driver = RoomDriver::new(Machine::default());
        let work = || {
            let (since, least) = (Instant::now(), Duration::from_millis(1));
            while since.elapsed() < least {
                std::hint::spin_loop();
            }
            least
        };
        let once = driver.with(|_| work());
        assert!(driver.locked_time() >= once);
        catch_unwind(AssertUnwindSafe(|| driver.with(|_| panic!("after {:?}", work())))).expect_err("it panics");
        assert!(driver.locked_time() >= 2 * once);
    }

    #[test]
    fn a_panic_in_the_middle_of_an_event_leaves_nothing_half_done() {
        let (driver, before) = (RoomDriver::new(Machine::default()), resets());
        driver.with(|machine| machine.members = 1);
        let fault = catch_unwind(AssertUnwindSafe(|| {
            driver.with(|machine| {
                machine.members = 2;
                panic!("half way");
            })
        }));
        assert!(fault.is_err(), "whoever caused it does not go on as if nothing had been");
        assert_eq!(driver.with(|machine| (machine.members, machine.resets)), (0, 1));
        assert!(resets() > before);
    }

    #[tokio::test]
    async fn a_panic_in_a_time_out_ends_no_clock() {
        let driver = Arc::new(RoomDriver::new(Machine { due: Some(Instant::now()), ..Machine::default() }));
        let running = {
            let driver = Arc::clone(&driver);
            tokio::spawn(async move { driver.run(|| driver.with(|_| panic!("at the time-out"))).await })
        };
        let until = |count| {
            let driver = Arc::clone(&driver);
            tokio::time::timeout(Duration::from_secs(60), async move {
                while driver.with(|machine| machine.resets) < count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        until(1).await.expect("the first time-out was handled");
        driver.with(|machine| machine.due = Some(Instant::now()));
        until(2).await.expect("and so was the next");
        running.abort();
    }
}
