//! [`UsageOwner`]: under what traffic is kept, and rows of it. PURE.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::calendar::month_of;
use crate::turn::Scope;
use crate::users::scope::scope_name;

/// Whose traffic a row has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UsageOwner {
    /// A user of the database, or a name that a key or another issuer has signed, or the part of it that the rule of the settings takes.
    User { scope: Scope, name: Box<str> },
    /// All that have no row of their own: strangers, checks, the tests of this server by itself, and names beyond the most of a day.
    Others,
}

impl UsageOwner {
    /// The name of the scope; empty for the others.
    #[must_use]
    pub const fn scope_name(&self) -> &'static str {
        match self {
            Self::User { scope, .. } => scope_name(*scope),
            Self::Others => "",
        }
    }

    /// The name; empty for the others.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. } => name,
            Self::Others => "",
        }
    }
}

/// The bytes of an owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageTotals {
    pub today: u64,
    pub month: u64,
}

/// What was relayed for an owner on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDelta {
    /// Since 1970, UTC.
    pub day: i64,
    pub owner: UsageOwner,
    pub bytes: u64,
}

/// What was relayed for an owner in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// The day or the month since 1970, UTC.
    pub period: i64,
    pub owner: UsageOwner,
    pub bytes: u64,
}

/// A user who has used up the quota of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedQuota {
    pub scope: Scope,
    pub name: Box<str>,
    pub bytes: u64,
    pub quota: u64,
}

/// Rows of the database, with those of the current day or month replaced by what the server has in memory; of one name, or of all.
#[must_use]
pub fn with_current(
    kept: Vec<UsageRecord>,
    day: i64,
    current: HashMap<UsageOwner, UsageTotals>,
    name: Option<&str>,
    months: bool,
) -> Vec<UsageRecord> {
    let now = if months { month_of(day) } else { day };
    let bytes = |totals: UsageTotals| if months { totals.month } else { totals.today };
    let wanted = current.into_iter().filter(|(owner, _)| name.is_none_or(|name| name == owner.name()));
    let live = wanted.map(|(owner, totals)| UsageRecord { period: now, bytes: bytes(totals), owner });
    let mut rows: Vec<UsageRecord> = live.filter(|row| row.bytes > 0).collect();
    rows.extend(kept.into_iter().filter(|row| row.period != now));
    rows.sort_by(|one, other| {
        let key = |row: &UsageRecord| (Reverse(row.period), Reverse(row.bytes));
        key(one).cmp(&key(other)).then_with(|| one.owner.cmp(&other.owner))
    });
    rows
}
