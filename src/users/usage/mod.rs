//! The bytes that users relay: by day and month, with quotas of a month.
//!
//! - Owner: the [`Directory`](super::Directory) has one [`Usage`]; clones share it. `keeper` writes it to the database.
//! - Inputs: [`UserAccount`]s, which the relay adds to; quotas, which the directory finds in the database; the clock.
//! - Outputs: rows in the database; whether a user may go on; users who have reached their quota.
//! - Invariants: a byte is counted once. What is not in the database yet is in memory, bounded in rows; a crash loses what was relayed since
//!   the last write, a minute at most. Days and months are those of UTC by the server's clock when the bytes are collected; a clock that is
//!   set never makes less of a row. No packet and no request waits for the disk.
//!
//! Users of the database have rows of their own. Names that a key or another issuer has signed have, too, at most 1000 on a day
//! (`table::MAX_SIGNED_NAMES_PER_DAY`), under the part of the name that
//! [`UsageName`] takes. All others are in one row.

mod calendar;
mod handle;
mod keeper;
mod owner;
mod table;

pub use calendar::{day_name, day_of, month_name, month_of};
pub use handle::Usage;
pub use owner::{ReachedQuota, UsageDelta, UsageOwner, UsageRecord, UsageTotals, with_current};

#[cfg(doc)]
use crate::config::UsageName;
#[cfg(doc)]
use crate::turn::UserAccount;

#[cfg(test)]
mod tests;
