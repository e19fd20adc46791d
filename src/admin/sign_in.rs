//! Signing in: the throttle in front of the queue of password checks, and the check.
//!
//! A client makes one attempt at a time, so that many requests at once don't pass the throttle before the first of them has failed. Names
//! that don't exist are checked, counted and refused like all others.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::answer::Refusal;
use crate::config::secret::Secret;
use crate::limits::concurrency::ClientCounter;
use crate::limits::guesses::{GuessKind, GuessReports, Guesses};
use crate::users::{Directory, PasswordChecks};

/// The limit of each client.
const MAX_WRONG_PASSWORDS_PER_MINUTE: u32 = 10;
/// How long a client has to wait whose last attempt is not over.
const OTHER_ATTEMPT_WAIT: Duration = Duration::from_secs(1);

/// Checks the passwords of operators; clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct SignIns {
    checks: PasswordChecks,
    guesses: Guesses,
    /// Makes the target of a guess from a name.
    hash: RandomState,
    attempts: ClientCounter,
}

impl SignIns {
    pub(super) fn new(checks: PasswordChecks, reports: &GuessReports) -> Self {
        let guesses = Guesses::new(GuessKind::OperatorPassword, MAX_WRONG_PASSWORDS_PER_MINUTE, reports);
        Self { checks, guesses, hash: RandomState::new(), attempts: ClientCounter::new(1) }
    }

    /// The stamp of the operator, if the password is right.
    ///
    /// # Errors
    /// `WrongPassword`, for unknown names too; `TooManyAttempts` and `Busy`, for which nothing was checked.
    pub(super) async fn check(
        &self,
        directory: &Directory,
        name: &str,
        password: Secret<String>,
        from: IpAddr,
    ) -> Result<u64, Refusal> {
        let attempt = self.attempts.acquire(from).ok_or(Refusal::TooManyAttempts(OTHER_ATTEMPT_WAIT))?;
        let (target, now) = (self.hash.hash_one(name).max(1), Instant::now());
        let wait = self.guesses.blocked_for(from, now).max(self.guesses.blocked_for_target(from, target, now));
        if let Some(wait) = wait {
            return Err(Refusal::TooManyAttempts(wait));
        }
        let (sign_ins, directory, name) = (self.clone(), directory.clone(), name.to_owned());
        // A client that leaves before the answer has made its attempt all the same.
        let check = tokio::spawn(async move {
            let _attempt = attempt;
            let work = move || directory.operator_with_password(&name, password.expose());
            let stamp = sign_ins.checks.check(work).await.map_err(|_| Refusal::Busy)?;
            stamp.ok_or_else(|| {
                sign_ins.guesses.record_for_target(from, Some(target), Instant::now());
                Refusal::WrongPassword
            })
        });
        check.await.map_err(|_| Refusal::Busy)?
    }
}
