//! The task that keeps the directory's snapshot up to date with the database.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::state::{DirectoryState, IndexedSnapshot};
use crate::config::LONGEST_TTL;
use crate::users::credentials;
use crate::users::store::{ChangeWatcher, Snapshot, Store, StoreError};

/// How often the follower checks whether the database has changed; a change must be in force within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often retired secrets and removed users are purged, and how long before that the clock must not have been set: by a wrong clock,
/// the purge would forget a removed user who still has credentials.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);

pub(super) struct Follower {
    directory: Arc<DirectoryState>,
    store: Store,
    watcher: Option<ChangeWatcher>,
    /// Whether the last poll failed, so that a failing database is logged once and not four times a second.
    failing: bool,
    /// Unix seconds at the start of this run, by the current clock if it was set in between.
    pub(super) started: u64,
}

impl Follower {
    pub(super) fn new(directory: Arc<DirectoryState>, store: Store) -> Self {
        let started = credentials::unix_seconds(SystemTime::now());
        Self { directory, store, watcher: None, failing: false, started }
    }

    /// Never returns.
    pub(super) async fn run(mut self) {
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut purged = Instant::now();
        loop {
            tokio::select! {
                _ = poll.tick() => {}
                () = self.directory.wanted.notified() => {}
            }
            self.poll().await;
            self.check_file().await;
            if self.apply_clock_jumps(SystemTime::now()).await {
                purged = Instant::now();
            }
            if purged.elapsed() >= PURGE_INTERVAL {
                purged = Instant::now();
                if let Err(error) = self.purge(SystemTime::now()).await {
                    tracing::warn!(%error, "expired secrets and removed users stay in the database for now");
                }
            }
        }
    }

    /// Moves the times that this run has written to the database by a clock that was set since; `false`: the clock was not set.
    pub(super) async fn apply_clock_jumps(&mut self, now: SystemTime) -> bool {
        let jumps = std::mem::take(&mut *self.directory.jumps.lock().unwrap_or_else(PoisonError::into_inner));
        // The end of the run so far, by the clock before all jumps.
        let mut ended =
            jumps.iter().fold(credentials::unix_seconds(now), |ended, by| ended.saturating_add_signed(by.saturating_neg()));
        for by in &jumps {
            if let Err(error) = self.store.move_times(self.started, ended, *by).await {
                tracing::warn!(%error, "could not adjust the times in the database after the clock was set");
            }
            self.started = self.started.saturating_add_signed(*by);
            ended = ended.saturating_add_signed(*by);
        }
        if !jumps.is_empty() {
            // Bans that were over by the clock of before may be in force by this one. A new connection reads everything again.
            self.watcher = None;
        }
        !jumps.is_empty()
    }

    /// Forgets old traffic, and retired secrets and removed users once no credentials depend on them. A removed user is remembered for the longest
    /// configurable lifetime, and for ever if another issuer may sign credentials that live for ever.
    pub(super) async fn purge(&self, now: SystemTime) -> Result<(), StoreError> {
        let directory = &*self.directory;
        // A clock that is wrongly years ahead must not make the server forget what credentials of before still depend on.
        let now = directory.former_clocks.earliest(now);
        self.store.forget_ended_bans(now).await?;
        self.store.purge(directory.longest, now).await?;
        let (first_day, first_month) = directory.usage.kept_since(now);
        self.store.prune_usage(first_day, first_month).await?;
        let longest = match directory.longest_foreign {
            None if !directory.configured.is_empty() => return Ok(()),
            foreign => foreign.unwrap_or_default().max(LONGEST_TTL),
        };
        self.store.forget_removed(longest, now).await
    }

    pub(super) async fn poll(&mut self) {
        let waiting = std::mem::take(&mut *self.directory.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.read().await;
        for waiter in waiting {
            let _ = waiter.send(());
        }
    }

    async fn read(&mut self) {
        let now = credentials::unix_seconds(SystemTime::now());
        let ends = self.directory.snapshot.load().first_ban_ends;
        if ends.is_some_and(|ends| u64::try_from(ends).unwrap_or(0) <= now) {
            // A ban is over. A new connection reads everything again.
            self.watcher = None;
        }
        match self.changed().await {
            Ok(changed) => {
                if let Some(mut snapshot) = changed {
                    self.directory.usage.set_quotas(std::mem::take(&mut snapshot.quotas));
                    tracing::debug!(users = snapshot.users.len(), secrets = snapshot.secrets.len(), "users reloaded");
                    let snapshot = Arc::new(IndexedSnapshot::new(snapshot, SystemTime::now()));
                    let before = self.directory.snapshot.swap(Arc::clone(&snapshot));
                    self.directory.banned.replace(&snapshot.banned_networks);
                    self.directory.revoke_missing(&before, &snapshot, SystemTime::now());
                    self.directory.revision.fetch_add(1, Ordering::Release);
                }
                self.directory.last_poll.store(Arc::new(Instant::now()));
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the user database can be read again");
                }
            }
            Err(error) => {
                // A connection that failed may stay broken, so the next poll makes a new one.
                self.watcher = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the user database can't be read; users and secrets stay as they were");
                }
            }
        }
    }

    /// Logs when the database's file was deleted or replaced: this process could still read and write it, but nobody else would see it.
    async fn check_file(&self) {
        let displaced = self.store.displaced().await;
        let before = self.directory.displaced.swap(displaced.is_some(), Ordering::Relaxed);
        match displaced {
            Some(path) if !before => tracing::error!(
                "{} was deleted or replaced while the server runs: commands no longer reach the server, and what it writes is lost when it \
                 stops. Put the file back or restart the server",
                path.display()
            ),
            None if before => tracing::info!("the user database is back in its place"),
            Some(_) | None => {}
        }
    }

    async fn changed(&mut self) -> Result<Option<Snapshot>, sqlx::Error> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(self.store.watch().await?),
        };
        watcher.changed().await
    }
}
