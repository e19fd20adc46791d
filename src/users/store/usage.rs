//! The tables `usage_days`, `usage_months` and `quotas`.

use sqlx::sqlite::SqliteConnection;

use super::connection::Store;
use super::error::StoreError;
use super::rows::scope;
use crate::turn::Scope;
use crate::users::scope::scope_name;
use crate::users::usage::{UsageDelta, UsageOwner, UsageRecord, UsageTotals, month_of};

/// Rows of an answer.
pub const MAX_USAGE_ROWS: i64 = 10_000;
/// SQLite has no larger number.
const MAX_BYTES: u64 = i64::MAX as u64;

impl Store {
    /// Adds to days and months, all or nothing.
    ///
    /// # Errors
    /// `Database`.
    pub async fn add_usage(&self, deltas: &[UsageDelta]) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        for UsageDelta { day, owner, bytes } in deltas {
            // A sum that no number holds stays at the largest one.
            for (period, statement) in [
                (
                    *day,
                    "INSERT INTO usage_days (day, scope, name, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (day, scope, name)
                     DO UPDATE SET bytes = bytes + min(excluded.bytes, 9223372036854775807 - bytes)",
                ),
                (
                    month_of(*day),
                    "INSERT INTO usage_months (month, scope, name, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (month, scope, name)
                     DO UPDATE SET bytes = bytes + min(excluded.bytes, 9223372036854775807 - bytes)",
                ),
            ] {
                let (scope, name) = columns(owner);
                let add = sqlx::query(statement).bind(period).bind(scope).bind(name).bind(number(*bytes));
                add.execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The totals of all owners on this day and in its month.
    ///
    /// # Errors
    /// `Database`.
    pub async fn usage_totals(&self, day: i64) -> Result<Vec<(UsageOwner, UsageTotals)>, StoreError> {
        let select = sqlx::query_as::<_, (String, String, i64, i64)>(
            "SELECT month.scope, month.name, month.bytes, coalesce(day.bytes, 0) FROM usage_months AS month
             LEFT JOIN usage_days AS day ON day.day = ?1 AND day.scope = month.scope AND day.name = month.name WHERE month.month = ?2",
        );
        let rows = select.bind(day).bind(month_of(day)).fetch_all(&self.pool).await?;
        let totals = |(scope, name, month, today): (String, String, i64, i64)| {
            Ok((owner(scope, name)?, UsageTotals { today: today.unsigned_abs(), month: month.unsigned_abs() }))
        };
        rows.into_iter().map(totals).collect()
    }

    /// Days, the newest first, and at most [`MAX_USAGE_ROWS`]: of one user, or of all.
    ///
    /// # Errors
    /// `Database`.
    pub async fn usage_by_day(&self, name: Option<&str>) -> Result<Vec<UsageRecord>, StoreError> {
        let select = "SELECT day, scope, name, bytes FROM usage_days WHERE ?1 IS NULL OR name = ?1
                      ORDER BY day DESC, bytes DESC, scope, name LIMIT ?2";
        self.usage(select, name).await
    }

    /// The same for months.
    ///
    /// # Errors
    /// `Database`.
    pub async fn usage_by_month(&self, name: Option<&str>) -> Result<Vec<UsageRecord>, StoreError> {
        let select = "SELECT month, scope, name, bytes FROM usage_months WHERE ?1 IS NULL OR name = ?1
                      ORDER BY month DESC, bytes DESC, scope, name LIMIT ?2";
        self.usage(select, name).await
    }

    async fn usage(&self, select: &'static str, name: Option<&str>) -> Result<Vec<UsageRecord>, StoreError> {
        let select = sqlx::query_as::<_, (i64, String, String, i64)>(select).bind(name).bind(MAX_USAGE_ROWS);
        let rows = select.fetch_all(&self.pool).await?;
        let record = |(period, scope, name, bytes): (i64, String, String, i64)| {
            Ok(UsageRecord { period, owner: owner(scope, name)?, bytes: bytes.unsigned_abs() })
        };
        rows.into_iter().map(record).collect()
    }

    /// Forgets the days and months before these.
    ///
    /// # Errors
    /// `Database`.
    pub async fn prune_usage(&self, first_day: i64, first_month: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM usage_days WHERE day < ?1").bind(first_day).execute(&self.pool).await?;
        sqlx::query("DELETE FROM usage_months WHERE month < ?1").bind(first_month).execute(&self.pool).await?;
        Ok(())
    }

    /// Bytes that `name` may relay in a month; `None`: any number.
    ///
    /// # Errors
    /// `Database`.
    pub async fn set_quota(&self, scope: Scope, name: &str, quota: Option<u64>) -> Result<(), StoreError> {
        let change = match quota {
            Some(bytes) => sqlx::query("INSERT OR REPLACE INTO quotas (scope, name, bytes) VALUES (?1, ?2, ?3)")
                .bind(scope_name(scope))
                .bind(name)
                .bind(number(bytes)),
            None => sqlx::query("DELETE FROM quotas WHERE scope = ?1 AND name = ?2").bind(scope_name(scope)).bind(name),
        };
        change.execute(&self.pool).await?;
        Ok(())
    }

    /// The quotas of all users.
    ///
    /// # Errors
    /// `Database`.
    pub async fn quotas(&self) -> Result<Vec<(Scope, String, u64)>, StoreError> {
        Ok(select_quotas(&mut *self.pool.acquire().await?).await?)
    }
}

pub(super) async fn select_quotas(connection: &mut SqliteConnection) -> Result<Vec<(Scope, String, u64)>, sqlx::Error> {
    let select = sqlx::query_as::<_, (String, String, i64)>("SELECT scope, name, bytes FROM quotas");
    let rows = select.fetch_all(connection).await?;
    rows.into_iter().map(|(name_of_scope, name, bytes)| Ok((scope(name_of_scope)?, name, bytes.unsigned_abs()))).collect()
}

fn columns(owner: &UsageOwner) -> (&'static str, &str) {
    match owner {
        UsageOwner::User { scope, name } => (scope_name(*scope), name),
        UsageOwner::Others => ("", ""),
    }
}

fn owner(name_of_scope: String, name: String) -> Result<UsageOwner, StoreError> {
    if name_of_scope.is_empty() {
        return Ok(UsageOwner::Others);
    }
    Ok(UsageOwner::User { scope: scope(name_of_scope)?, name: name.into() })
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes.min(MAX_BYTES)).unwrap_or(i64::MAX)
}
