//! [`Usage`]: the questions of a running server about traffic and quotas.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::calendar::day_of;
use super::owner::{ReachedQuota, UsageOwner, UsageTotals};
use super::table::UsageTable;
use crate::config::UsageConfig;
use crate::turn::{Scope, UserAccount};
use crate::users::credentials::{DOCTOR_USER, SELF_TEST_USER};

/// A cheap handle; clones share what it knows.
#[derive(Debug, Clone)]
pub struct Usage(pub(super) Arc<UsageState>);

#[derive(Debug)]
pub(super) struct UsageState {
    pub(super) config: UsageConfig,
    table: Mutex<UsageTable>,
    /// Held while the table is written to the database; whether the last write failed.
    pub(super) writing: tokio::sync::Mutex<bool>,
}

impl Usage {
    pub(in crate::users) fn new(config: UsageConfig, now: SystemTime) -> Self {
        let table = Mutex::new(UsageTable::new(day_of(now)));
        Self(Arc::new(UsageState { config, table, writing: tokio::sync::Mutex::default() }))
    }

    /// Under what the traffic of `name` is kept. `is_stored`: it is a user of the database in this scope.
    pub(in crate::users) fn owner(&self, scope: Scope, name: &str, is_stored: bool) -> UsageOwner {
        if is_stored {
            return UsageOwner::User { scope, name: name.into() };
        }
        match scope {
            Scope::Anyone if [SELF_TEST_USER, DOCTOR_USER].contains(&name) => UsageOwner::Others,
            Scope::Anyone => match self.0.config.name.of(name) {
                Some(part) => UsageOwner::User { scope, name: part.into() },
                None => UsageOwner::Others,
            },
            Scope::Clients | Scope::OwnAddress => UsageOwner::Others,
        }
    }

    /// The account of an owner that begins to have allocations.
    pub(in crate::users) fn account(&self, owner: UsageOwner, is_stored: bool) -> Arc<UserAccount> {
        match owner {
            UsageOwner::Others => self.table().others(),
            UsageOwner::User { .. } => self.table().account(owner, is_stored),
        }
    }

    /// The bytes of an owner, up to the last seconds.
    #[must_use]
    pub fn totals(&self, owner: &UsageOwner) -> UsageTotals {
        self.table().totals(owner)
    }

    /// The current day, and what each owner with any bytes has relayed on it and in its month.
    #[must_use]
    pub fn current(&self) -> (i64, HashMap<UsageOwner, UsageTotals>) {
        let table = self.table();
        (table.day(), table.current())
    }

    /// The bytes that an owner may relay in a month.
    #[must_use]
    pub fn quota(&self, owner: &UsageOwner) -> Option<u64> {
        self.table().quota(owner)
    }

    /// The owners with a quota.
    #[must_use]
    pub fn quotas(&self) -> Vec<(UsageOwner, u64)> {
        self.table().quotas().map(|(owner, quota)| (owner.clone(), quota)).collect()
    }

    /// Whether an owner has used up its quota of this month.
    #[must_use]
    pub fn is_exhausted(&self, owner: &UsageOwner) -> bool {
        self.table().is_exhausted(owner)
    }

    /// The quotas of the database.
    pub(in crate::users) fn set_quotas(&self, quotas: Vec<(Scope, String, u64)>) {
        let owned = |(scope, name, quota): (Scope, String, u64)| (UsageOwner::User { scope, name: name.into() }, quota);
        let quotas: HashMap<_, _> = quotas.into_iter().map(owned).collect();
        self.table().set_quotas(quotas);
    }

    /// Lets the relay know who may go on, and returns the users who have just used up their quota. To be called every second.
    #[must_use]
    pub fn check_quotas(&self) -> Vec<ReachedQuota> {
        self.table().check_quotas()
    }

    /// No code panics while it holds the lock, so a poisoned lock still guards consistent data.
    pub(super) fn table(&self) -> MutexGuard<'_, UsageTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
