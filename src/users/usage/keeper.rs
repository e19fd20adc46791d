//! Writes what was relayed to the database, and reads what it has of the current month.

use std::time::{Duration, SystemTime};

use super::calendar::{day_of, month_of};
use super::handle::Usage;
use super::owner::{ReachedQuota, UsageOwner};
use crate::users::store::{Store, StoreError};

/// How often quotas are compared with what was relayed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Checks between two writes. A crash loses what was relayed since the last one.
const CHECKS_PER_WRITE: u32 = 60;

impl Usage {
    /// Reads the totals of the current month at the start of a server.
    pub(in crate::users) async fn load_first(
        &self,
        store: &Store,
        is_stored: impl Fn(&UsageOwner) -> bool,
    ) -> Result<(), StoreError> {
        self.load(store, is_stored).await?;
        self.table().note_told();
        Ok(())
    }

    async fn load(&self, store: &Store, is_stored: impl Fn(&UsageOwner) -> bool) -> Result<(), StoreError> {
        let day = self.table().day();
        let rows = store.usage_totals(day).await?;
        self.table().load(rows, is_stored);
        Ok(())
    }

    /// Checks quotas and writes, at intervals; never returns. `reached` is called for each user who reaches the quota of the month.
    pub(in crate::users) async fn keep(
        &self,
        store: &Store,
        is_stored: impl Fn(&UsageOwner) -> bool,
        reached: impl Fn(ReachedQuota),
    ) {
        let mut interval = tokio::time::interval(CHECK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for check in 1_u32.. {
            interval.tick().await;
            let is_new_day = day_of(SystemTime::now()) != self.table().day();
            if is_new_day || check % CHECKS_PER_WRITE == 0 {
                self.write(store, SystemTime::now(), &is_stored).await;
            }
            self.check_quotas().into_iter().for_each(&reached);
        }
    }

    /// Writes what the database does not have. What can't be written stays in memory for the next time.
    pub(in crate::users) async fn write(&self, store: &Store, now: SystemTime, is_stored: impl Fn(&UsageOwner) -> bool) {
        // One write at a time: two would both write the same rows.
        let mut failing = self.0.writing.lock().await;
        let is_new_day = self.table().collect(day_of(now));
        let rows = self.table().unwritten();
        let written = if rows.is_empty() { Ok(()) } else { store.add_usage(&rows).await };
        if written.is_ok() {
            self.table().note_written(&rows);
        }
        let loaded = if is_new_day { self.load(store, is_stored).await } else { Ok(()) };
        match written.and(loaded) {
            Ok(()) if std::mem::take(&mut *failing) => tracing::info!("what users relay can be written to the database again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut *failing, true) => {
                tracing::error!(%error, "what users relay can't be written to the database; it is counted in memory until it can");
            }
            Err(_) => {}
        }
    }

    /// The first day and the first month that are kept at `now`.
    pub(in crate::users) fn kept_since(&self, now: SystemTime) -> (i64, i64) {
        let (today, config) = (day_of(now), &self.0.config);
        (today - i64::from(config.days) + 1, month_of(today) - i64::from(config.months) + 1)
    }
}
