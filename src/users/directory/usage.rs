//! What users relay, by who they are in the snapshot.

use std::sync::Arc;
use std::time::SystemTime;

use super::handle::Directory;
use crate::sentence::Sentence;
use crate::turn::{Scope, UserAccount};
#[cfg(doc)]
use crate::users::store::MAX_USAGE_ROWS;
use crate::users::store::{Store, StoreError};
use crate::users::usage::{ReachedQuota, Usage, UsageOwner, UsageRecord, with_current};

/// Why a quota of a name would bound nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaNameError {
    #[error("{0:?} is an operator, who relays nothing")]
    Operator(String),
    #[error("what {name:?} relays counts under the name {under:?} (CASTWAY_USAGE_NAME): set the quota of {under:?}")]
    Other { name: String, under: String },
    #[error(
        "what {0:?} relays counts among all others, who have no quota: CASTWAY_USAGE_NAME says so, or it is a name of strangers or of a test"
    )]
    Others(String),
}

impl QuotaNameError {
    #[must_use]
    pub fn sentence(&self) -> Sentence {
        let in_chinese = match self {
            Self::Operator(name) => format!("{name:?} 是管理员，不中继任何数据"),
            Self::Other { name, under } => {
                format!("{name:?} 中继的数据计入 {under:?} 名下（CASTWAY_USAGE_NAME）：请设置 {under:?} 的配额")
            }
            Self::Others(name) => format!(
                "{name:?} 中继的数据计入“所有其他用户”，没有配额：这是 CASTWAY_USAGE_NAME 的规定，或者它是陌生人或测试所用的名称"
            ),
        };
        Sentence::new(self.to_string(), in_chinese)
    }
}

impl Directory {
    /// The account of a user who begins to have allocations.
    pub fn account(&self, scope: Scope, name: &str) -> Arc<UserAccount> {
        let is_stored = self.0.snapshot.load().has_user(scope, name);
        let usage = &self.0.usage;
        usage.account(usage.owner(scope, name, is_stored), is_stored)
    }

    /// Under what the traffic of a name in a scope is kept.
    pub fn usage_owner(&self, scope: Scope, name: &str) -> UsageOwner {
        self.0.usage.owner(scope, name, self.0.snapshot.load().has_user(scope, name))
    }

    /// Whether this is a user of the database, enabled or not.
    pub fn has_user(&self, scope: Scope, name: &str) -> bool {
        self.0.snapshot.load().has_user(scope, name)
    }

    /// Whether a quota of this name would hold: its traffic is kept under that name.
    ///
    /// # Errors
    /// It is kept under another one.
    pub fn check_quota_name(&self, scope: Scope, name: &str) -> Result<(), QuotaNameError> {
        if self.is_operator(name) {
            return Err(QuotaNameError::Operator(name.to_owned()));
        }
        match self.usage_owner(scope, name) {
            UsageOwner::User { name: under, .. } if *under == *name => Ok(()),
            UsageOwner::User { name: under, .. } => Err(QuotaNameError::Other { name: name.to_owned(), under: under.into() }),
            UsageOwner::Others => Err(QuotaNameError::Others(name.to_owned())),
        }
    }

    /// Whether a name has used up the quota of the month in a scope.
    pub fn is_exhausted(&self, scope: Scope, name: &str) -> bool {
        self.0.usage.is_exhausted(&self.usage_owner(scope, name))
    }

    /// What was relayed for whom.
    pub fn usage(&self) -> &Usage {
        &self.0.usage
    }

    /// Days or months, the newest first: what the database has, with the current one as it is now. Of one user, or of all; at most
    /// [`MAX_USAGE_ROWS`], and a few more of the current day or month. Reads the disk.
    ///
    /// # Errors
    /// `Database`.
    pub async fn usage_rows(&self, store: &Store, name: Option<&str>, months: bool) -> Result<Vec<UsageRecord>, StoreError> {
        let kept = if months { store.usage_by_month(name).await? } else { store.usage_by_day(name).await? };
        let (day, current) = self.0.usage.current();
        Ok(with_current(kept, day, current, name, months))
    }

    /// Keeps what is relayed in the database, and never returns; abort the task to end it. `reached` is called for each user who reaches
    /// the quota of the month.
    pub async fn keep_usage(self, store: Store, reached: impl Fn(ReachedQuota)) {
        let told = |quota: ReachedQuota| {
            let ReachedQuota { name, bytes, quota: most, .. } = &quota;
            tracing::info!(user = ?name, bytes, quota = most, "a user has used up the quota of this month; the relay ends the user's allocations");
            reached(quota);
        };
        self.0.usage.keep(&store, |owner| self.0.snapshot.load().is_stored(owner), told).await;
    }

    /// Writes what the database does not have yet.
    pub async fn write_usage(&self, store: &Store) {
        self.0.usage.write(store, SystemTime::now(), |owner| self.0.snapshot.load().is_stored(owner)).await;
    }

    pub(super) async fn load_usage(&self, store: &Store) -> Result<(), StoreError> {
        self.0.usage.load_first(store, |owner| self.0.snapshot.load().is_stored(owner)).await
    }
}
