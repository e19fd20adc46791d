use std::collections::HashMap;
use std::sync::Arc;

use super::owner::{ReachedQuota, UsageOwner, UsageTotals};
use super::table::{MAX_SIGNED_NAMES_PER_DAY, UsageTable};
use crate::turn::Scope;

/// 2026-11-29.
const TODAY: i64 = 20_786;
/// 2026-12-01.
const NEXT_MONTH: i64 = TODAY + 2;

fn user(name: &str) -> UsageOwner {
    UsageOwner::User { scope: Scope::Anyone, name: name.into() }
}

fn totals(today: u64, month: u64) -> UsageTotals {
    UsageTotals { today, month }
}

impl UsageTable {
    /// A user of the database relays so much.
    fn relay(&mut self, name: &str, bytes: u64) {
        self.account(user(name), true).add(bytes);
    }

    /// The rows to write, as a writer would, which then has them.
    fn written(&mut self) -> HashMap<(i64, UsageOwner), u64> {
        let rows = self.unwritten();
        self.note_written(&rows);
        rows.into_iter().map(|row| ((row.day, row.owner), row.bytes)).collect()
    }

    fn with_quota(mut self, name: &str, bytes: u64) -> Self {
        self.set_quotas(HashMap::from([(user(name), bytes)]));
        self
    }
}

#[test]
fn every_byte_is_written_once() {
    let mut table = UsageTable::new(TODAY);
    table.relay("alice", 100);
    assert_eq!(table.totals(&user("alice")), totals(100, 100), "before anything is collected");
    table.collect(TODAY);
    table.relay("alice", 20);
    assert_eq!(table.totals(&user("alice")), totals(120, 120));
    // A write that fails is made again, with what has come meanwhile.
    let lost = table.unwritten();
    table.collect(TODAY);
    assert_eq!(lost.iter().map(|row| row.bytes).sum::<u64>(), 100);
    assert_eq!(table.written(), HashMap::from([((TODAY, user("alice")), 120)]));
    assert_eq!(table.written(), HashMap::new());
    assert_eq!(table.totals(&user("alice")), totals(120, 120));
}

/// What is relayed while a write waits for the disk belongs to the next one.
#[test]
fn bytes_that_come_during_a_write_are_not_lost() {
    let mut table = UsageTable::new(TODAY);
    table.relay("alice", 100);
    table.collect(TODAY);
    let rows = table.unwritten();
    table.relay("alice", 5);
    table.collect(TODAY);
    table.note_written(&rows);
    assert_eq!(table.written(), HashMap::from([((TODAY, user("alice")), 5)]));
}

#[test]
fn a_thousand_signed_names_a_day_get_rows_and_the_others_share_one() {
    let mut table = UsageTable::new(TODAY);
    let relay = |table: &mut UsageTable, numbers: std::ops::Range<usize>| {
        for number in numbers {
            table.account(user(&format!("signed-{number:04}")), false).add(1);
        }
        table.collect(TODAY);
    };
    relay(&mut table, 0..MAX_SIGNED_NAMES_PER_DAY);
    relay(&mut table, 0..MAX_SIGNED_NAMES_PER_DAY + 1);
    table.relay("alice", 7);
    table.collect(TODAY);
    let rows = table.written();
    assert_eq!(rows.len(), MAX_SIGNED_NAMES_PER_DAY + 2, "the names, a user of the database, and the others");
    assert_eq!(rows[&(TODAY, UsageOwner::Others)], 1);
    assert_eq!(rows[&(TODAY, user("alice"))], 7);
    assert!((0..MAX_SIGNED_NAMES_PER_DAY).all(|number| rows[&(TODAY, user(&format!("signed-{number:04}")))] == 2));
    table.collect(TODAY + 1);
    table.account(user("signed-9999"), false).add(3);
    table.collect(TODAY + 1);
    assert_eq!(table.written(), HashMap::from([((TODAY + 1, user("signed-9999")), 3)]), "another day has other names");
}

/// The names of before a restart count, too.
#[test]
fn a_restart_gives_no_more_names() {
    let mut table = UsageTable::new(TODAY);
    let rows = (0..MAX_SIGNED_NAMES_PER_DAY).map(|number| (user(&format!("signed-{number:04}")), totals(1, 1)));
    table.load(rows.chain([(user("alice"), totals(5, 50)), (UsageOwner::Others, totals(9, 9))]).collect(), |owner| {
        *owner == user("alice")
    });
    assert_eq!(table.totals(&user("alice")), totals(5, 50));
    table.account(user("another"), false).add(3);
    table.account(user("signed-0007"), false).add(4);
    table.collect(TODAY);
    assert_eq!(table.written(), HashMap::from([((TODAY, UsageOwner::Others), 3), ((TODAY, user("signed-0007")), 4)]));
}

#[test]
fn accounts_without_allocations_take_no_memory_and_lose_nothing() {
    let mut table = UsageTable::new(TODAY);
    let account = table.account(user("alice"), true);
    table.collect(TODAY);
    account.add(9);
    assert!(Arc::ptr_eq(&account, &table.account(user("alice"), true)), "there is one account as long as it is used");
    drop(account);
    table.collect(TODAY);
    assert_eq!(table.written(), HashMap::from([((TODAY, user("alice")), 9)]));
    let strangers = table.others();
    strangers.add(4);
    table.collect(TODAY);
    assert_eq!(table.written(), HashMap::from([((TODAY, UsageOwner::Others), 4)]));
    assert_eq!(table.current(), HashMap::from([(user("alice"), totals(9, 9)), (UsageOwner::Others, totals(4, 4))]));
}

#[test]
fn a_quota_is_told_once_and_ends_with_the_month() {
    let mut table = UsageTable::new(TODAY).with_quota("alice", 100);
    let account = table.account(user("alice"), true);
    account.add(99);
    table.collect(TODAY);
    assert_eq!((table.check_quotas(), account.is_exhausted()), (Vec::new(), false));
    account.add(1);
    let reached = ReachedQuota { scope: Scope::Anyone, name: "alice".into(), bytes: 100, quota: 100 };
    assert_eq!((table.check_quotas(), account.is_exhausted()), (vec![reached], true), "before anything is collected");
    assert_eq!(table.check_quotas(), Vec::new());
    drop(account);
    table.collect(TODAY);
    assert!(table.account(user("alice"), true).is_exhausted(), "a new allocation");
    // The next day of the same month, and then another month.
    assert!(table.collect(TODAY + 1));
    assert_eq!(table.totals(&user("alice")), totals(0, 100));
    assert!(table.account(user("alice"), true).is_exhausted());
    assert!(table.collect(NEXT_MONTH));
    let account = table.account(user("alice"), true);
    assert_eq!((table.check_quotas(), account.is_exhausted(), table.totals(&user("alice"))), (Vec::new(), false, totals(0, 0)));
    account.add(100);
    assert_eq!(table.check_quotas().len(), 1, "it is told once a month");
}

#[test]
fn a_higher_quota_lets_the_user_go_on() {
    let mut table = UsageTable::new(TODAY).with_quota("alice", 100);
    let account = table.account(user("alice"), true);
    account.add(100);
    assert_eq!(table.check_quotas().len(), 1);
    table = table.with_quota("alice", 200);
    assert_eq!((table.check_quotas(), account.is_exhausted()), (Vec::new(), false));
    account.add(100);
    assert_eq!(table.check_quotas().len(), 1);
    table.set_quotas(HashMap::new());
    assert_eq!((table.check_quotas(), account.is_exhausted()), (Vec::new(), false));
}

#[test]
fn a_quota_that_was_reached_before_a_restart_was_told_then() {
    let mut table = UsageTable::new(TODAY).with_quota("alice", 100);
    table.load(vec![(user("alice"), totals(0, 150))], |_| true);
    table.note_told();
    assert!(table.account(user("alice"), true).is_exhausted());
    assert_eq!(table.check_quotas(), Vec::new());
}

/// The rows of a day only grow, whatever the clock does.
#[test]
fn a_clock_that_is_set_makes_no_row_smaller() {
    let mut table = UsageTable::new(TODAY);
    table.relay("alice", 10);
    // What was relayed until now belongs to the day before.
    assert!(table.collect(TODAY - 40));
    table.load(vec![(user("alice"), totals(3, 30))], |_| true);
    assert_eq!(table.totals(&user("alice")), totals(3, 30), "bytes of another month are not in this one");
    table.relay("alice", 1);
    assert!(table.collect(TODAY));
    table.load(vec![], |_| true);
    table.relay("alice", 2);
    assert!(!table.collect(TODAY));
    assert_eq!(table.totals(&user("alice")), totals(12, 12), "what is not written yet is a part of its day");
    assert_eq!(table.written(), HashMap::from([((TODAY, user("alice")), 12), ((TODAY - 40, user("alice")), 1)]));
}

#[test]
fn a_database_that_can_not_be_written_takes_bounded_memory_and_loses_no_byte() {
    let mut table = UsageTable::new(TODAY);
    let mut sent = 0;
    for day in TODAY..TODAY + 60 {
        for number in 0..MAX_SIGNED_NAMES_PER_DAY {
            table.account(user(&format!("signed-{number}")), false).add(1);
            sent += 1;
        }
        table.collect(day);
    }
    table.collect(TODAY + 60);
    let rows = table.unwritten();
    assert!(rows.len() <= 50_000 + 61, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| row.bytes).sum::<u64>(), sent);
}
