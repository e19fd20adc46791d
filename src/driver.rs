//! What stands around a state machine of rooms: the lock, and the clock that tells it of its time-outs.
//!
//! Owner of the machine. An event runs under the lock as a whole and nothing is awaited inside, so that everybody hears things in
//! the order in which they happened. One task waits with [`Driver::due`], over and over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

#[derive(Debug)]
pub struct Driver<M> {
    locked: Mutex<Locked<M>>,
    next_timeout: fn(&M) -> Option<Instant>,
    /// The next time-out has changed.
    rearm: Notify,
}

#[derive(Debug)]
struct Locked<M> {
    machine: M,
    /// What [`Driver::due`] sleeps until.
    armed: Option<Instant>,
}

impl<M> Driver<M> {
    pub fn new(machine: M, next_timeout: fn(&M) -> Option<Instant>) -> Self {
        Self { locked: Mutex::new(Locked { machine, armed: None }), next_timeout, rearm: Notify::new() }
    }

    /// Runs one event under the lock.
    pub fn with<T>(&self, event: impl FnOnce(&mut M) -> T) -> T {
        let (result, rearm) = {
            let mut locked = self.lock();
            let result = event(&mut locked.machine);
            (result, (self.next_timeout)(&locked.machine) != locked.armed)
        };
        if rearm {
            self.rearm.notify_one();
        }
        result
    }

    /// Ends when the machine's next time-out is due, wherever events move it until then.
    pub async fn due(&self) {
        loop {
            let due = {
                let mut locked = self.lock();
                locked.armed = (self.next_timeout)(&locked.machine);
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
        // A panic inside one event must not end what everybody else does.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_time_out_that_an_event_brings_nearer_is_met() {
        for before in [None, Some(Instant::now() + Duration::from_secs(3600))] {
            let driver = Driver::new(before, |due| *due);
            let both = async { tokio::join!(driver.due(), async { driver.with(|due| *due = Some(Instant::now())) }) };
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is due");
        }
    }
}
