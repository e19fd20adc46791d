//! What stands around a state machine of rooms: the lock, and the clock that tells it of its time-outs.
//!
//! Owner of the machine. An event runs under the lock as a whole and nothing is awaited inside, so that everybody hears things in
//! the order in which they happened. One task waits with `Driver::due`, over and over.
//!
//! A panic in the middle of an event leaves nobody knows what behind. So the machine begins anew ([`Core::reset`]), as a shard of the
//! relay does: its clients are let go and come back, and what is not this machine's goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Machines that began anew since the start.
static RESETS: AtomicU64 = AtomicU64::new(0);
/// After a panic in a time-out, which would come again at once if it were not for the reset.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(100);

/// A machine that can begin anew.
pub trait Core {
    /// For the log.
    const NAME: &'static str;

    /// When it wants to hear of the time.
    fn next_timeout(&self) -> Option<Instant>;

    /// Forgets everything, whatever state it is in, and lets its clients go so that they come back.
    fn reset(&mut self);
}

#[derive(Debug)]
pub struct Driver<M> {
    locked: Mutex<Locked<M>>,
    /// The next time-out has changed.
    rearm: Notify,
}

#[derive(Debug)]
struct Locked<M> {
    machine: M,
    /// What [`Driver::due`] sleeps until.
    armed: Option<Instant>,
}

/// How often a machine of this process had to begin anew.
#[must_use]
pub fn resets() -> u64 {
    RESETS.load(Ordering::Relaxed)
}

impl<M: Core> Driver<M> {
    pub fn new(machine: M) -> Self {
        Self { locked: Mutex::new(Locked { machine, armed: None }), rearm: Notify::new() }
    }

    /// Runs one event under the lock.
    ///
    /// # Panics
    /// Where the event does; the machine has begun anew then.
    pub fn with<T>(&self, event: impl FnOnce(&mut M) -> T) -> T {
        let (result, rearm) = {
            let mut locked = self.lock();
            let Locked { machine, armed } = &mut *locked;
            let whole = catch_unwind(AssertUnwindSafe(|| (event(machine), machine.next_timeout() != *armed)));
            match whole {
                Ok((result, rearm)) => (Ok(result), rearm),
                Err(panic) => {
                    tracing::error!(core = M::NAME, "a fault: all its state is dropped, and its clients have to come back");
                    RESETS.fetch_add(1, Ordering::Relaxed);
                    if catch_unwind(AssertUnwindSafe(|| machine.reset())).is_err() {
                        tracing::error!(core = M::NAME, "not everything could be dropped");
                    }
                    (Err(panic), true)
                }
            }
        };
        if rearm {
            self.rearm.notify_one();
        }
        // Not under the lock, which would be poisoned.
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `event` whenever the machine's next time-out is due; never returns.
    pub async fn run(&self, event: impl Fn()) {
        loop {
            self.due().await;
            if catch_unwind(AssertUnwindSafe(&event)).is_err() {
                tokio::time::sleep(PAUSE_AFTER_FAULT).await;
            }
        }
    }

    /// Ends when the machine's next time-out is due, wherever events move it until then.
    async fn due(&self) {
        loop {
            let due = {
                let mut locked = self.lock();
                locked.armed = locked.machine.next_timeout();
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

    fn lock(&self) -> MutexGuard<'_, Locked<M>> {
        // No panic leaves `with` while it is held.
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

    impl Core for Machine {
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
            let driver = Driver::new(Machine { due, ..Machine::default() });
            let both = async { tokio::join!(driver.due(), async { driver.with(|machine| machine.due = Some(Instant::now())) }) };
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is due");
        }
    }

    #[test]
    fn a_panic_in_the_middle_of_an_event_leaves_nothing_half_done() {
        let (driver, before) = (Driver::new(Machine::default()), resets());
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
        let driver = Arc::new(Driver::new(Machine { due: Some(Instant::now()), ..Machine::default() }));
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
        until(1).await.expect("the first time-out was heard");
        driver.with(|machine| machine.due = Some(Instant::now()));
        until(2).await.expect("and so was the next");
        running.abort();
    }
}
