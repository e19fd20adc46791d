//! Whether a server could run with the values of a backup. Its schema may be right, and a number in it still leave no room for the next row.

use std::time::{Duration, SystemTime};

use sqlx::SqliteConnection;

use super::connection::Store;
use super::error::StoreError;
use super::rows::seconds;
use crate::users::usage::day_of;

/// Bytes of the longest version of castway that a backup names.
const MAX_VERSION_BYTES: i64 = 64;
/// The clocks of two machines may differ so much.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Rows that castway does not make, by what is wrong with them. Any one of them would keep a server from starting, or from a later change.
const WRONG_ROWS: [(&str, &str); 7] = [
    ("a key of the server that has not 32 bytes", "SELECT count(*) FROM keys WHERE octet_length(value) <> 32"),
    (
        "a secret of fewer than 16 or more than 1024 bytes",
        "SELECT count(*) FROM secrets WHERE octet_length(value) NOT BETWEEN 16 AND 1024",
    ),
    ("settings of more than 1 MiB", "SELECT count(*) FROM server WHERE octet_length(settings) > 1048576"),
    (
        "a row whose number leaves none for the next one",
        "SELECT count(*) FROM (SELECT id FROM secrets UNION ALL SELECT id FROM bans UNION ALL SELECT id FROM checks)
         WHERE id NOT BETWEEN 0 AND 4611686018427387904",
    ),
    (
        "a time that no clock has shown",
        "SELECT count(*) FROM (
             SELECT created_at AS at FROM secrets UNION ALL SELECT retired_at FROM secrets UNION ALL SELECT created_at FROM users
             UNION ALL SELECT created_at FROM operators UNION ALL SELECT revoked_at FROM revoked UNION ALL SELECT since FROM bans
             UNION ALL SELECT started_at FROM server UNION ALL SELECT at FROM checks)
         WHERE at NOT BETWEEN 0 AND 253402300799",
    ),
    ("a ban that ends before 1970", "SELECT count(*) FROM bans WHERE until < 0"),
    (
        "the usage of a day or month that no calendar has",
        "SELECT count(*) FROM (SELECT day / 28 AS month FROM usage_days UNION ALL SELECT month FROM usage_months)
         WHERE month NOT BETWEEN 0 AND 120000",
    ),
];

/// Why no server could run with a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("its version is none of castway: one has letters, digits and signs, and {MAX_VERSION_BYTES} bytes at most")]
    Version,
    #[error("it says that it was made before 1970")]
    Early,
    #[error("it says that it was made more than a day after now: set the clock of this machine, or take another backup")]
    Late,
    #[error("it has {0}")]
    Row(&'static str),
    #[error("a server could not read it ({0})")]
    Unreadable(String),
}

/// Checks what is used before the schema is brought up to date, which numbers rows as well.
pub(super) async fn check_first(
    connection: &mut SqliteConnection,
    now: SystemTime,
) -> Result<Result<(), ValueError>, sqlx::Error> {
    let record = sqlx::query_as::<_, (String, i64)>("SELECT iif(octet_length(version) <= ?1, version, ''), made_at FROM backup");
    if let Some((version, made_at)) = record.bind(MAX_VERSION_BYTES).fetch_optional(&mut *connection).await? {
        // It is printed in a sentence, which it must not end.
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Err(ValueError::Version));
        }
        if made_at < 0 {
            return Ok(Err(ValueError::Early));
        }
        if made_at > seconds(now + MAX_AHEAD) {
            return Ok(Err(ValueError::Late));
        }
    }
    let last = "SELECT count(*) FROM sqlite_sequence WHERE typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND 4611686018427387904";
    let wrong: i64 = sqlx::query_scalar(last).fetch_one(connection).await?;
    Ok(if wrong == 0 { Ok(()) } else { Err(ValueError::Row("a last number of a table that leaves none for the next row")) })
}

impl Store {
    /// Checks the values of a backup whose schema is up to date, and reads what a server and its commands read.
    pub(super) async fn check_values(&self, now: SystemTime) -> Result<Result<(), ValueError>, StoreError> {
        for (what, count) in WRONG_ROWS {
            if sqlx::query_scalar::<_, i64>(count).fetch_one(&self.pool).await? > 0 {
                return Ok(Err(ValueError::Row(what)));
            }
        }
        let read = async {
            self.snapshot().await?;
            self.list().await?;
            self.operators().await?;
            self.checks().await?;
            self.recorded().await?;
            self.usage_totals(day_of(now)).await?;
            self.usage_by_day(None).await?;
            self.usage_by_month(None).await
        };
        Ok(read.await.map(|_| ()).map_err(|error| ValueError::Unreadable(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    async fn found(change: &str) -> Result<(), ValueError> {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + NOW;
        let store = Store::open(folder.path(), now).await.unwrap();
        store.key("resume", now).await.unwrap();
        let backup = "CREATE TABLE backup (id INTEGER PRIMARY KEY, version TEXT NOT NULL, made_at INTEGER NOT NULL) STRICT;
                      INSERT INTO backup VALUES (1, '1.2.3', 1800000000);";
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{backup} {change}"))).execute(&store.pool).await.unwrap();
        let first = check_first(&mut store.pool.acquire().await.unwrap(), now).await.unwrap();
        let found = match first {
            Ok(()) => store.check_values(now).await.unwrap(),
            refused => refused,
        };
        store.close().await;
        found
    }

    #[tokio::test]
    async fn a_backup_names_a_short_version_and_a_time_that_is_over() {
        assert_eq!(found("").await, Ok(()));
        assert_eq!(found("UPDATE backup SET version = hex(zeroblob(32))").await, Ok(()));
        assert_eq!(found("UPDATE backup SET version = hex(zeroblob(32)) || '1'").await, Err(ValueError::Version));
        assert_eq!(found("UPDATE backup SET version = char(0) || hex(zeroblob(32))").await, Err(ValueError::Version));
        assert_eq!(found("UPDATE backup SET version = '1.2.3' || char(10) || 'Restored'").await, Err(ValueError::Version));
        assert_eq!(found("UPDATE backup SET made_at = made_at + 86400").await, Ok(()));
        assert_eq!(found("UPDATE backup SET made_at = made_at + 86401").await, Err(ValueError::Late));
        assert_eq!(found("UPDATE backup SET made_at = 9223372036854775807").await, Err(ValueError::Late));
        assert_eq!(found("UPDATE backup SET made_at = -1").await, Err(ValueError::Early));
    }

    #[tokio::test]
    async fn a_value_that_would_stop_a_server_is_named() {
        let sequence = "a last number of a table that leaves none for the next row";
        for (change, expected) in [
            ("UPDATE sqlite_sequence SET seq = 9223372036854775807", sequence),
            ("UPDATE sqlite_sequence SET seq = 'x'", sequence),
            ("UPDATE secrets SET id = 9223372036854775807", "a row whose number leaves none for the next one"),
            ("UPDATE keys SET value = x''", "a key of the server that has not 32 bytes"),
            ("UPDATE secrets SET value = ''", "a secret of fewer than 16 or more than 1024 bytes"),
            ("INSERT INTO server VALUES (1, hex(zeroblob(524289)), 0)", "settings of more than 1 MiB"),
            ("UPDATE secrets SET created_at = 9223372036854775807", "a time that no clock has shown"),
            ("INSERT INTO revoked VALUES ('x', 'anyone', -1)", "a time that no clock has shown"),
            ("INSERT INTO bans (target, since, until, by) VALUES ('x', 0, -1, 'x')", "a ban that ends before 1970"),
            (
                "INSERT INTO usage_days VALUES (9223372036854775807, '', '', 0)",
                "the usage of a day or month that no calendar has",
            ),
            ("INSERT INTO usage_months VALUES (-1, '', '', 0)", "the usage of a day or month that no calendar has"),
        ] {
            assert_eq!(found(change).await, Err(ValueError::Row(expected)), "{change}");
        }
    }

    #[tokio::test]
    async fn what_a_server_can_not_read_is_refused() {
        let name = "INSERT INTO operators (name, password_hash, stamp, created_at, updated_at) VALUES (CAST(x'ff' AS TEXT), 'x', 0, 0, 0)";
        let refused = found(name).await;
        assert!(matches!(&refused, Err(ValueError::Unreadable(cause)) if cause.contains("utf-8")), "{refused:?}");
    }
}
