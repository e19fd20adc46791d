//! [`UsageOwner`]: under what traffic is kept. PURE.

use crate::turn::Scope;

/// Whose traffic a row has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UsageOwner {
    /// A user of the database, or a name that a key or another issuer has signed, or the part of it that the rule of the settings takes.
    User { scope: Scope, name: Box<str> },
    /// All that have no row of their own: strangers, checks, and names beyond the most of a day.
    Others,
}

/// The bytes of an owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageTotals {
    pub today: u64,
    pub month: u64,
}

/// A user who has used up the quota of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedQuota {
    pub scope: Scope,
    pub name: Box<str>,
    pub bytes: u64,
    pub quota: u64,
}
