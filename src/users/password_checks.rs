//! Bounds the Argon2 checks of a running server, each of which takes 19 MiB and tens of milliseconds.
//!
//! - Owner: the app makes one [`PasswordChecks`] for the whole process; clones share it.
//! - Inputs: the work of a check.
//! - Outputs: its result, or [`Busy`].
//! - Invariants: at most `MAX_RUNNING_CHECKS` run, and at most `MAX_WAITING_CHECKS` wait. A client that leaves frees its place in the
//!   queue, and a check that runs keeps its place until it is done. Callers throttle a client's wrong guesses before they ask.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Checks that run at the same time.
const MAX_RUNNING_CHECKS: usize = 2;
/// Checks that wait for one of those to end.
const MAX_WAITING_CHECKS: usize = 32;

/// Too many checks wait already, so that this one was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is checking too many passwords at the moment; try again in a few seconds")]
pub struct Busy;

/// The queue; clones share it.
#[derive(Debug, Clone)]
pub struct PasswordChecks {
    /// A place for each check that runs or waits.
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for PasswordChecks {
    fn default() -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self { places: semaphore(MAX_RUNNING_CHECKS + MAX_WAITING_CHECKS), running: semaphore(MAX_RUNNING_CHECKS) }
    }
}

impl PasswordChecks {
    /// Waits for its turn, and runs `work` on a thread that may block. A panic in `work` counts as [`Busy`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn check<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Busy)?;
        let work = move || {
            // A caller that has gone does not end the work, which has its memory until it is done.
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// Waits in a check until the test lets it go on.
    #[derive(Clone)]
    struct Gate {
        running: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        go: Arc<Mutex<Receiver<()>>>,
    }

    impl Gate {
        fn pass(&self) -> bool {
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.go.lock().unwrap().recv().unwrap();
            self.running.fetch_sub(1, Ordering::SeqCst);
            true
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    }

    #[tokio::test]
    async fn two_run_and_thirty_two_wait_and_the_others_are_told() {
        let (let_go, go) = channel();
        let gate = Gate { running: Arc::default(), most: Arc::default(), go: Arc::new(Mutex::new(go)) };
        let checks = PasswordChecks::default();
        let start = || {
            let (checks, gate) = (checks.clone(), gate.clone());
            tokio::spawn(async move { checks.check(move || gate.pass()).await })
        };
        let mut asked: Vec<_> = (0..200).map(|_| start()).collect();
        until(|| asked.iter().filter(|task| task.is_finished()).count() == 166).await;
        let (busy, held): (Vec<_>, Vec<_>) = asked.drain(..).partition(|task| task.is_finished());
        for task in busy {
            assert_eq!(task.await.unwrap(), Err(Busy));
        }
        until(|| gate.running.load(Ordering::SeqCst) == 2).await;
        assert_eq!(checks.check(|| true).await, Err(Busy));

        // Of those that wait, one leaves, and another one gets its place.
        let mut held = held;
        held.pop().unwrap().abort();
        until(|| checks.places.available_permits() == 1).await;
        held.push(start());
        until(|| checks.places.available_permits() == 0).await;

        // One that runs leaves; its work goes on, with its place.
        held.remove(0).abort();
        assert_eq!(checks.check(|| true).await, Err(Busy));
        for _ in 0..34 {
            let_go.send(()).unwrap();
        }
        for task in held {
            assert_eq!(task.await.unwrap(), Ok(true));
        }
        until(|| checks.places.available_permits() == 34).await;
        assert_eq!(gate.most.load(Ordering::SeqCst), 2);
        assert_eq!(checks.check(|| true).await, Ok(true));
    }

    #[tokio::test]
    async fn a_check_that_panics_frees_its_place() {
        let checks = PasswordChecks::default();
        assert_eq!(checks.check(|| -> bool { panic!("as a bug would") }).await, Err(Busy));
        assert_eq!(checks.places.available_permits(), 34);
        assert_eq!(checks.check(|| true).await, Ok(true));
    }
}
