//! Users, what they have relayed, and their quotas.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::ActError;
use super::handle::Operator;
use super::rows::{MAX_PAGE_ROWS, Page, PageRequest};
use crate::sentence::Sentence;
use crate::turn::Scope;
use crate::users::usage::{UsageOwner, UsageRecord, day_name, month_name};
use crate::users::{OperatorPassword, PasswordKeys, StoreError, UserName, check_requested, generate_password, scope_named};

/// A user: one of the database, or a name that a key or another issuer has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserRow {
    pub name: String,
    /// `clients` or `anyone`; empty for an operator, and for the row of all others.
    pub scope: String,
    /// `user`, `operator`, `signed` (a name that a key or another issuer signs), or `others` (all that have no row of their own).
    pub kind: String,
    pub enabled: bool,
    /// An administrator of RTCMultiConnection.
    pub admin: bool,
    /// Live allocations.
    pub allocations: u32,
    /// Bytes relayed today and in this month (UTC).
    pub today: u64,
    pub month: u64,
    /// Bytes a month; `None`: no quota.
    pub quota: Option<u64>,
}

/// What was relayed for a user on a day, or in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageRow {
    /// `2026-11-29` or `2026-11`, UTC.
    pub period: String,
    pub scope: String,
    pub name: String,
    pub bytes: u64,
}

/// The database keeps no larger number.
const MAX_QUOTA: u64 = i64::MAX.unsigned_abs();

/// The kind of an operator's row.
const OPERATOR: &str = "operator";

impl Operator {
    /// By name; the row of all others is the last one.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn users(&self, request: &PageRequest) -> Result<Page<UserRow>, ActError> {
        let parts = &self.0;
        let stored = parts.store.list().await.map_err(failed)?;
        let allocations = self.allocations_by_owner().await;
        let mut rows = BTreeMap::new();
        for user in stored {
            let owner = UsageOwner::User { scope: user.scope, name: user.name.as_str().into() };
            let row = UserRow { kind: "user".to_owned(), enabled: user.enabled, admin: user.admin, ..UserRow::default() };
            rows.insert(owner, row);
        }
        let usage = parts.directory.usage();
        let (_, current) = usage.current();
        let seen = current.into_keys().chain(usage.quotas().into_iter().map(|(owner, _)| owner));
        for owner in seen.chain(allocations.keys().cloned()) {
            let kind = if owner == UsageOwner::Others { "others" } else { "signed" };
            rows.entry(owner).or_insert_with(|| UserRow { kind: kind.to_owned(), enabled: true, ..UserRow::default() });
        }
        let mut found: Vec<(UsageOwner, UserRow)> = rows.into_iter().collect();
        // An operator relays nothing.
        for operator in parts.store.operators().await.map_err(failed)? {
            let owner = UsageOwner::User { scope: Scope::OwnAddress, name: operator.name.into() };
            found.push((owner, UserRow { kind: OPERATOR.to_owned(), enabled: operator.enabled, ..UserRow::default() }));
        }
        let search = request.search.trim().to_lowercase();
        found.retain(|(owner, _)| owner.name().to_lowercase().contains(&search));
        found.sort_by(|(one, _), (other, _)| sort_key(one).cmp(&sort_key(other)));
        let total = found.len();
        let limit = if request.limit == 0 { MAX_PAGE_ROWS } else { request.limit.min(MAX_PAGE_ROWS) };
        let page = found.into_iter().skip(request.offset).take(limit).map(|(owner, row)| {
            let totals = usage.totals(&owner);
            let scope = if row.kind == OPERATOR { "" } else { owner.scope_name() };
            UserRow {
                name: owner.name().to_owned(),
                scope: scope.to_owned(),
                allocations: allocations.get(&owner).copied().unwrap_or_default(),
                today: totals.today,
                month: totals.month,
                quota: usage.quota(&owner),
                ..row
            }
        });
        Ok(Page { rows: page.collect(), total })
    }

    /// Live allocations.
    async fn allocations_by_owner(&self) -> HashMap<UsageOwner, u32> {
        let list = self.0.allocations.list().await;
        let mut counts = HashMap::new();
        for (_, allocation) in &list.allocations {
            let owner = self.0.directory.usage_owner(allocation.scope(), allocation.user());
            *counts.entry(owner).or_default() += 1;
        }
        counts
    }

    /// The usage of all users or of one, the newest first. `months`: by month instead of by day.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn usage(&self, user: Option<&str>, months: bool) -> Result<Vec<UsageRow>, ActError> {
        let parts = &self.0;
        let rows = parts.directory.usage_rows(&parts.store, user, months).await.map_err(failed)?;
        Ok(rows.into_iter().map(|row| UsageRow::new(row, months)).collect())
    }

    /// Enables or disables a user of the database.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn set_enabled(&self, name: &str, enabled: bool, by: &str) -> Result<String, ActError> {
        let user = stored(name)?;
        if self.0.store.is_operator(&user).await.map_err(failed)? {
            return self.set_operator_enabled(&user, enabled, by).await;
        }
        self.0.store.set_enabled(&user, enabled, SystemTime::now()).await.map_err(failed)?;
        tracing::info!(by, user = name, enabled, "operator enabled or disabled a user");
        self.0.directory.catch_up().await;
        Ok(match enabled {
            true => format!("Enabled {name}."),
            false => format!("Disabled {name}. Credentials already issued stop working, until you enable {name} again."),
        })
    }

    async fn set_operator_enabled(&self, operator: &UserName, enabled: bool, by: &str) -> Result<String, ActError> {
        let operators = self.0.store.operators().await.map_err(failed)?;
        if !enabled && !operators.iter().any(|other| other.enabled && other.name != operator.as_str()) {
            return Err(ActError::Refused(Sentence::new(
                format!(
                    "{operator} is the only operator, and nobody could enable anybody here then; on the server, castway user disable \
                     {operator} does it"
                ),
                format!(
                    "{operator} 是唯一的管理员，停用后将无人能在此启用任何人；如需停用，请在服务器上运行 castway user disable {operator}"
                ),
            )));
        }
        self.0.store.set_operator_enabled(operator, enabled, SystemTime::now()).await.map_err(failed)?;
        tracing::info!(by, operator = operator.as_str(), enabled, "operator enabled or disabled an operator");
        self.0.directory.catch_up().await;
        Ok(match enabled {
            true => format!("Enabled the operator {operator}."),
            false => format!("Disabled the operator {operator}, whose sessions end."),
        })
    }

    /// Gives a user or an operator a generated password, and returns it.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn new_password(&self, name: &str, by: &str) -> Result<String, ActError> {
        let user = stored(name)?;
        if self.0.store.is_operator(&user).await.map_err(failed)? {
            return self.new_operator_password(&user, by).await;
        }
        // No hash for a user that there is not: it takes a while.
        let users = self.0.store.list().await.map_err(failed)?;
        if !users.iter().any(|known| known.name == name) {
            return Err(unknown(name));
        }
        let (password, realm) = (generate_password(), self.0.realm.clone());
        let (named, chosen) = (user.clone(), password.clone());
        let keys = self.0.password_checks.check(move || PasswordKeys::new(&named, &realm, &chosen)).await;
        let keys = keys.map_err(|busy| ActError::Busy(busy.to_string()))?;
        let keys = keys.map_err(|error| ActError::Failed(error.to_string()))?;
        self.0.store.passwd(&user, &keys, SystemTime::now()).await.map_err(failed)?;
        tracing::info!(by, user = name, "operator gave a user a new password");
        self.0.directory.catch_up().await;
        Ok(password)
    }

    async fn new_operator_password(&self, operator: &UserName, by: &str) -> Result<String, ActError> {
        let password = generate_password();
        let chosen = password.clone();
        let hashed = self.0.password_checks.check(move || OperatorPassword::new(&chosen)).await;
        let hashed = hashed.map_err(|busy| ActError::Failed(busy.to_string()))?;
        let hashed = hashed.map_err(|error| ActError::Failed(error.to_string()))?;
        self.0.store.set_operator_password(operator, &hashed, SystemTime::now()).await.map_err(failed)?;
        tracing::info!(by, operator = operator.as_str(), "operator gave an operator a new password");
        self.0.directory.catch_up().await;
        Ok(password)
    }

    /// Bytes that a user may relay in a month; `None`: any number. `scope` is that of the user, or `anyone` for a name that a key or another
    /// issuer signs.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn set_quota(&self, scope: &str, name: &str, quota: Option<u64>, by: &str) -> Result<String, ActError> {
        let named = scope_named(scope).ok_or_else(|| {
            let in_chinese = format!("没有 {scope:?} 这个范围：应为 clients 或 anyone");
            ActError::Refused(Sentence::new(format!("there is no scope {scope:?}: expected clients or anyone"), in_chinese))
        })?;
        check_requested(name).map_err(|error| ActError::Refused(error.sentence()))?;
        if quota.is_some_and(|quota| quota > MAX_QUOTA) {
            let in_chinese = format!("配额最多为每月 {MAX_QUOTA} 字节");
            return Err(ActError::Refused(Sentence::new(format!("a quota is at most {MAX_QUOTA} bytes a month"), in_chinese)));
        }
        let users = self.0.store.list().await.map_err(failed)?;
        let user = users.iter().find(|user| user.name == name);
        if user.map_or(named != Scope::Anyone, |user| user.scope != named) {
            return Err(ActError::NotFound(format!("there is no user {name:?} of scope {scope:?}")));
        }
        // One that was set before goes in any case.
        if quota.is_some() {
            self.0.directory.check_quota_name(named, name).map_err(|error| ActError::Refused(error.sentence()))?;
        }
        self.0.store.set_quota(named, name, quota).await.map_err(failed)?;
        tracing::info!(by, user = name, scope, quota, "operator set the quota of a user");
        self.0.directory.catch_up().await;
        Ok(match quota {
            Some(bytes) => format!("{name} may relay {bytes} bytes in a month."),
            None => format!("{name} has no quota any more."),
        })
    }
}

impl UsageRow {
    fn new(UsageRecord { period, owner, bytes }: UsageRecord, months: bool) -> Self {
        let period = if months { month_name(period) } else { day_name(period) };
        Self { period, scope: owner.scope_name().to_owned(), name: owner.name().to_owned(), bytes }
    }
}

/// The others come last.
fn sort_key(owner: &UsageOwner) -> (bool, &str, &UsageOwner) {
    (*owner == UsageOwner::Others, owner.name(), owner)
}

fn stored(name: &str) -> Result<UserName, ActError> {
    name.parse().map_err(|_| unknown(name))
}

fn unknown(name: &str) -> ActError {
    ActError::NotFound(format!("there is no user {name:?}"))
}

fn failed(error: StoreError) -> ActError {
    let is_unknown = matches!(error, StoreError::NoUser(_));
    let sentence = error.to_string();
    if is_unknown { ActError::NotFound(sentence) } else { ActError::Failed(sentence) }
}
