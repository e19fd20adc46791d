//! The table `checks`: what checks of devices, and failed casts and calls, have reported.

use std::net::IpAddr;
use std::time::SystemTime;

use super::connection::Store;
use super::error::StoreError;
use super::rows::seconds;

/// Rows of each kind that are kept; the oldest go first. Strangers send reports of casts and calls, which replace no check.
const MAX_CHECKS_OF_KIND: i64 = 50;
/// Of them, those of one address.
const MAX_REPORTS_OF_ADDRESS: i64 = 10;

/// What a check was of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// A device at `/check`.
    Check,
    /// A failed cast that its caster has sent to the operator.
    Cast,
    /// The same of a call.
    Call,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheck {
    /// Unix seconds.
    pub at: i64,
    /// [`CheckKind::name`].
    pub kind: String,
    pub address: String,
    /// A JSON object.
    pub result: String,
}

impl CheckKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Cast => "cast",
            Self::Call => "call",
        }
    }
}

impl Store {
    /// Keeps a result, and forgets the oldest ones of its kind beyond 50. Of the casts or calls of one address it keeps 10.
    ///
    /// # Errors
    /// `Database`.
    pub async fn keep_check(&self, kind: CheckKind, address: IpAddr, result: &str, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let insert = sqlx::query("INSERT INTO checks (at, kind, address, result) VALUES (?1, ?2, ?3, ?4)");
        let insert = insert.bind(seconds(now)).bind(kind.name()).bind(address.to_string()).bind(result);
        insert.execute(&mut *transaction).await?;
        let forget =
            "DELETE FROM checks WHERE kind = ?1 AND id NOT IN (SELECT id FROM checks WHERE kind = ?1 ORDER BY id DESC LIMIT ?2)";
        sqlx::query(forget).bind(kind.name()).bind(MAX_CHECKS_OF_KIND).execute(&mut *transaction).await?;
        if kind != CheckKind::Check {
            let forget = "DELETE FROM checks WHERE kind = ?1 AND address = ?2 AND id NOT IN \
                          (SELECT id FROM checks WHERE kind = ?1 AND address = ?2 ORDER BY id DESC LIMIT ?3)";
            let forget = sqlx::query(forget).bind(kind.name()).bind(address.to_string()).bind(MAX_REPORTS_OF_ADDRESS);
            forget.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The results that are kept, the newest first.
    ///
    /// # Errors
    /// `Database`.
    pub async fn checks(&self) -> Result<Vec<KeptCheck>, StoreError> {
        let select = "SELECT at, kind, address, result FROM checks ORDER BY id DESC";
        let rows = sqlx::query_as::<_, (i64, String, String, String)>(select).fetch_all(&self.pool).await?;
        let row = |(at, kind, address, result)| KeptCheck { at, kind, address, result };
        Ok(rows.into_iter().map(row).collect())
    }
}
