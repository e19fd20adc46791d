//! What was relayed for whom, in memory. PURE: days come in as arguments.
//!
//! Owner: a [`Usage`](super::Usage), behind its lock. Inputs: accounts that the relay adds to, quotas, and what the database has. Outputs:
//! rows to write, and users who have reached their quota.
//!
//! A byte is at any time in one place: in an account, in `unwritten`, or in the database. `totals` is the sum of the last two for the
//! current day and month.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::calendar::month_of;
use super::owner::{ReachedQuota, UsageDelta, UsageOwner, UsageTotals};
use crate::turn::UserAccount;

/// Signed names that get a row on a day. An issuer with random names would fill the database otherwise.
pub(super) const MAX_SIGNED_NAMES_PER_DAY: usize = 1000;
/// Accounts of signed names between two writes. Names beyond them are counted among the others.
const MAX_SIGNED_ACCOUNTS: usize = 20_000;
/// Rows that wait for a database that can't be written. Beyond them, only the others of a day get new ones.
const MAX_UNWRITTEN_ROWS: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct UsageTable {
    day: i64,
    accounts: HashMap<UsageOwner, OpenAccount>,
    others: Arc<UserAccount>,
    totals: HashMap<UsageOwner, UsageTotals>,
    /// By day.
    unwritten: HashMap<(i64, UsageOwner), u64>,
    /// The signed names that have a row today.
    signed_today: HashSet<UsageOwner>,
    quotas: HashMap<UsageOwner, u64>,
    /// The users whose quota of this month is used up, as it was told.
    told: HashSet<UsageOwner>,
}

/// The account of an owner that has live allocations, or bytes since the last [`UsageTable::collect`].
#[derive(Debug)]
struct OpenAccount {
    account: Arc<UserAccount>,
    is_stored: bool,
}

impl UsageTable {
    pub(super) fn new(day: i64) -> Self {
        Self { day, ..Self::default() }
    }

    pub(super) const fn day(&self) -> i64 {
        self.day
    }

    pub(super) fn others(&self) -> Arc<UserAccount> {
        Arc::clone(&self.others)
    }

    /// The account of an owner. `is_stored`: it is a user of the database.
    pub(super) fn account(&mut self, owner: UsageOwner, is_stored: bool) -> Arc<UserAccount> {
        let is_exhausted = self.is_exhausted(&owner);
        let is_full = self.accounts.len() >= MAX_SIGNED_ACCOUNTS && !is_stored && !self.quotas.contains_key(&owner);
        match self.accounts.entry(owner) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().is_stored |= is_stored;
                Arc::clone(&entry.get().account)
            }
            Entry::Vacant(_) if is_full => Arc::clone(&self.others),
            Entry::Vacant(entry) => {
                let account = Arc::<UserAccount>::default();
                account.set_exhausted(is_exhausted);
                Arc::clone(&entry.insert(OpenAccount { account, is_stored }).account)
            }
        }
    }

    /// The bytes of an owner, those included that no row has yet.
    pub(super) fn totals(&self, owner: &UsageOwner) -> UsageTotals {
        let totals = self.totals.get(owner).copied().unwrap_or_default();
        let open = match owner {
            UsageOwner::Others => self.others.bytes(),
            UsageOwner::User { .. } => self.accounts.get(owner).map_or(0, |open| open.account.bytes()),
        };
        UsageTotals { today: totals.today.saturating_add(open), month: totals.month.saturating_add(open) }
    }

    /// What was relayed today, or in this month, for each owner with anything.
    pub(super) fn current(&self) -> HashMap<UsageOwner, UsageTotals> {
        let others = [UsageOwner::Others];
        let owners = self.totals.keys().chain(self.accounts.keys()).chain(&others);
        owners.map(|owner| (owner.clone(), self.totals(owner))).filter(|(_, totals)| totals.month > 0).collect()
    }

    pub(super) fn quota(&self, owner: &UsageOwner) -> Option<u64> {
        self.quotas.get(owner).copied()
    }

    pub(super) fn quotas(&self) -> impl Iterator<Item = (&UsageOwner, u64)> {
        self.quotas.iter().map(|(owner, quota)| (owner, *quota))
    }

    /// Whether an owner has used up its quota of this month.
    pub(super) fn is_exhausted(&self, owner: &UsageOwner) -> bool {
        self.quota(owner).is_some_and(|quota| self.totals(owner).month >= quota)
    }

    pub(super) fn set_quotas(&mut self, quotas: HashMap<UsageOwner, u64>) {
        self.quotas = quotas;
    }

    /// Lets accounts know whether their owners may go on, and returns those who have just reached their quota.
    pub(super) fn check_quotas(&mut self) -> Vec<ReachedQuota> {
        let exhausted: HashSet<UsageOwner> = self.quotas.keys().filter(|owner| self.is_exhausted(owner)).cloned().collect();
        for (owner, open) in &self.accounts {
            open.account.set_exhausted(exhausted.contains(owner));
        }
        let new = exhausted.difference(&self.told).filter_map(|owner| self.reached(owner)).collect();
        self.told = exhausted;
        new
    }

    fn reached(&self, owner: &UsageOwner) -> Option<ReachedQuota> {
        let UsageOwner::User { scope, name } = owner else { return None };
        Some(ReachedQuota { scope: *scope, name: name.clone(), bytes: self.totals(owner).month, quota: self.quota(owner)? })
    }

    /// Takes the bytes of all accounts as those of [`Self::day`], which is `day` from then on. Returns whether that is another one: then
    /// [`Self::load`] has to follow.
    pub(super) fn collect(&mut self, day: i64) -> bool {
        let mut open: Vec<(UsageOwner, bool, u64)> = Vec::new();
        for (owner, OpenAccount { account, is_stored }) in &self.accounts {
            match account.take() {
                0 => {}
                bytes => open.push((owner.clone(), *is_stored, bytes)),
            }
        }
        // The last allocation may have ended meanwhile.
        self.accounts.retain(|_, open| Arc::get_mut(&mut open.account).is_none_or(|account| account.bytes() > 0));
        for (owner, is_stored, bytes) in open {
            let owner = if self.gets_a_row(&owner, is_stored) { owner } else { UsageOwner::Others };
            self.add(owner, bytes);
        }
        let others = self.others.take();
        self.add(UsageOwner::Others, others);
        let is_new = day != self.day;
        if is_new {
            self.begin(day);
        }
        is_new
    }

    /// Another day has begun, or the clock was set.
    fn begin(&mut self, day: i64) {
        if month_of(day) != month_of(self.day) {
            self.totals.clear();
            self.told.clear();
        }
        self.totals.values_mut().for_each(|totals| totals.today = 0);
        self.signed_today.clear();
        self.day = day;
    }

    fn gets_a_row(&mut self, owner: &UsageOwner, is_stored: bool) -> bool {
        if is_stored || self.quotas.contains_key(owner) || self.signed_today.contains(owner) {
            return true;
        }
        let has_room = self.signed_today.len() < MAX_SIGNED_NAMES_PER_DAY;
        if has_room {
            self.signed_today.insert(owner.clone());
        }
        has_room
    }

    fn add(&mut self, owner: UsageOwner, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let is_full = self.unwritten.len() >= MAX_UNWRITTEN_ROWS && !self.unwritten.contains_key(&(self.day, owner.clone()));
        let row = if is_full { UsageOwner::Others } else { owner.clone() };
        *self.unwritten.entry((self.day, row)).or_default() += bytes;
        let totals = self.totals.entry(owner).or_default();
        totals.today = totals.today.saturating_add(bytes);
        totals.month = totals.month.saturating_add(bytes);
    }

    /// The rows that the database does not have.
    pub(super) fn unwritten(&self) -> Vec<UsageDelta> {
        let delta =
            |((day, owner), bytes): (&(i64, UsageOwner), &u64)| UsageDelta { day: *day, owner: owner.clone(), bytes: *bytes };
        self.unwritten.iter().map(delta).collect()
    }

    /// The database has these rows now.
    pub(super) fn note_written(&mut self, written: &[UsageDelta]) {
        for UsageDelta { day, owner, bytes } in written {
            if let Entry::Occupied(mut entry) = self.unwritten.entry((*day, owner.clone())) {
                *entry.get_mut() -= bytes;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }

    /// Replaces the totals by what the database has of [`Self::day`] and its month, together with what is not written yet. `is_stored` says
    /// which owners are users of the database.
    pub(super) fn load(&mut self, rows: Vec<(UsageOwner, UsageTotals)>, is_stored: impl Fn(&UsageOwner) -> bool) {
        let had_row = |(owner, totals): &(UsageOwner, UsageTotals)| {
            totals.today > 0 && *owner != UsageOwner::Others && !is_stored(owner) && !self.quotas.contains_key(owner)
        };
        self.signed_today.extend(rows.iter().filter(|row| had_row(row)).map(|(owner, _)| owner.clone()));
        self.totals = rows.into_iter().collect();
        for ((day, owner), bytes) in &self.unwritten {
            let is_this_month = month_of(*day) == month_of(self.day);
            let totals = self.totals.entry(owner.clone()).or_default();
            totals.today = totals.today.saturating_add(if *day == self.day { *bytes } else { 0 });
            totals.month = totals.month.saturating_add(if is_this_month { *bytes } else { 0 });
        }
    }

    /// The first load of a start: what was reached before was told then.
    pub(super) fn note_told(&mut self) {
        self.told = self.quotas.keys().filter(|owner| self.is_exhausted(owner)).cloned().collect();
    }
}
