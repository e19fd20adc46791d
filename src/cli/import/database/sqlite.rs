//! The SQLite database of turnserver and turnadmin, which is only read. Somebody else may have made it, so that nothing of its schema is
//! run: neither views nor virtual tables nor generated columns.

use std::path::Path;

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::rows::{MAX_VALUE_BYTES, Rows, columns, tables};

pub(super) async fn read(path: &Path) -> anyhow::Result<Rows> {
    let shown = path.display();
    let options = options(path).read_only(true);
    let mut connection = options.connect().await.with_context(|| format!("{shown} can't be opened"))?;
    let mut rows = Rows::default();
    let done = read_tables(&mut connection, &mut rows).await.with_context(|| format!("{shown} can't be read"));
    let _ = connection.close().await;
    done.map(|()| rows)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).pragma("trusted_schema", "OFF")
}

/// Whether there is a table of this name with rows of its own.
async fn has_rows(connection: &mut SqliteConnection, table: &str) -> anyhow::Result<bool> {
    // A virtual table has the type of a table, and no page unless somebody has written one there. The text of a table always begins like
    // this: SQLite writes it so, and reads nothing but a table from it. `pragma_table_list` would open all virtual tables to say the same.
    let own = "SELECT type = 'table' AND rootpage > 0 AND sql LIKE 'CREATE TABLE %' FROM main.sqlite_schema \
               WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
    match sqlx::query_scalar::<_, Option<bool>>(own).bind(table).fetch_optional(&mut *connection).await? {
        None => Ok(false),
        Some(Some(true)) => Ok(true),
        Some(_) => bail!("{table} is a view or a virtual table, and coturn's is a table"),
    }
}

async fn read_tables(connection: &mut SqliteConnection, rows: &mut Rows) -> anyhow::Result<()> {
    let mut found = 0;
    for table in tables() {
        if !has_rows(connection, table).await? {
            continue;
        }
        let wanted = columns(table).unwrap_or_default();
        let has = |column: &str| {
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2")
                .bind(table)
                .bind(column.to_owned())
        };
        // Databases of older versions have fewer columns.
        let mut present = Vec::new();
        for column in wanted {
            if has(column).fetch_one(&mut *connection).await? > 0 {
                present.push(*column);
            }
        }
        if present.is_empty() {
            continue;
        }
        found += 1;
        // SQLite knows the length of a value without reading it. NULL is short.
        let long: Vec<String> =
            present.iter().map(|column| format!("coalesce(octet_length({column}), 0) > {MAX_VALUE_BYTES}")).collect();
        let is_long = long.join(" OR ");
        let list: Vec<String> =
            present.iter().map(|column| format!("CASE WHEN NOT ({is_long}) THEN CAST({column} AS TEXT) END")).collect();
        // The names of tables and columns are constants.
        let select = AssertSqlSafe(format!("SELECT {is_long}, {} FROM main.{table}", list.join(", ")));
        let mut selected = sqlx::query(select).fetch(&mut *connection);
        while let Some(row) = selected.try_next().await? {
            if row.try_get::<bool, _>(0)? {
                bail!("a row of {table} is not as coturn writes it");
            }
            let values: Result<Vec<String>, sqlx::Error> =
                (1..=present.len()).map(|index| Ok(row.try_get::<Option<String>, _>(index)?.unwrap_or_default())).collect();
            rows.add(table, &present, &values?)?;
        }
    }
    if found == 0 {
        bail!("it has none of coturn's tables");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::database::rows::MAX_ROWS;

    /// Reads the database that `definition` makes, after so many rows.
    async fn read(definition: &'static str, count: usize) -> (Rows, anyhow::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turndb");
        let mut connection = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::raw_sql(definition).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let mut connection = options(&path).read_only(true).connect().await.unwrap();
        let mut rows = Rows { count, ..Rows::default() };
        let done = read_tables(&mut connection, &mut rows).await;
        connection.close().await.unwrap();
        (rows, done)
    }

    #[tokio::test]
    async fn rows_are_counted_one_by_one() {
        let many = "CREATE TABLE turn_secret (realm TEXT, value TEXT);
                    INSERT INTO turn_secret VALUES ('north', 'a'), ('north', 'b'), ('north', 'c'), ('north', 'd')";
        let (rows, done) = read(many, MAX_ROWS - 2).await;
        assert_eq!(done.unwrap_err().to_string(), "there are more than 1000000 rows");
        assert_eq!(rows.secrets.len(), 2);
    }

    #[tokio::test]
    async fn a_long_value_is_refused_and_not_taken_whole() {
        let long = "CREATE TABLE turn_secret (realm TEXT, value TEXT);
                    INSERT INTO turn_secret VALUES (NULL, 'short'), ('north', hex(zeroblob(10000000)))";
        let (rows, done) = read(long, 0).await;
        assert_eq!(done.unwrap_err().to_string(), "a row of turn_secret is not as coturn writes it");
        assert_eq!(rows.secrets.len(), 1);
        let fits = "CREATE TABLE turn_secret (realm TEXT, value TEXT);
                    INSERT INTO turn_secret VALUES (hex(zeroblob(256)), 17)";
        let (rows, done) = read(fits, 0).await;
        done.unwrap();
        assert_eq!((rows.secrets[0].0.len(), rows.secrets[0].1.expose().as_str()), (512, "17"));
    }

    /// A view is a program of whoever made the file: this one never ends.
    #[tokio::test]
    async fn only_tables_are_read() {
        let endless = "CREATE TABLE turn_origin_to_realm (origin TEXT, realm TEXT);
                       CREATE VIEW Turn_Secret AS WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers)
                       SELECT 'north' AS realm, 'secret ' || number AS value FROM numbers";
        let of_fts = "CREATE VIRTUAL TABLE turnusers_lt USING fts5(realm, name, hmackey);
                      INSERT INTO turnusers_lt VALUES ('north', 'alice', 'bc807ee29df3c9ffa736523fb2c4e8ee')";
        // The table says that it has a page, which is another table's, and its text has a comment in front of VIRTUAL.
        let forged = "CREATE TABLE turnusers_lt (realm TEXT, name TEXT, hmackey TEXT);
                      CREATE VIRTUAL TABLE turn_secret USING fts5(realm, value);
                      INSERT INTO turn_secret VALUES ('north', 'of a virtual table');
                      PRAGMA writable_schema = ON;
                      UPDATE sqlite_schema SET sql = 'CREATE/**/VIRTUAL TABLE turn_secret USING fts5(realm, value)',
                          rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'turnusers_lt') WHERE name = 'turn_secret';
                      PRAGMA schema_version = 99";
        for (definition, table) in [(endless, "turn_secret"), (of_fts, "turnusers_lt"), (forged, "turn_secret")] {
            let (rows, done) = read(definition, 0).await;
            assert_eq!(done.unwrap_err().to_string(), format!("{table} is a view or a virtual table, and coturn's is a table"));
            assert_eq!((rows.secrets.len(), rows.users.len()), (0, 0));
        }
        let generated = "CREATE TABLE turn_secret (realm TEXT, value TEXT AS (hex(zeroblob(100))))";
        let inserted = "CREATE TABLE turn_secret (realm TEXT, value TEXT AS (hex(zeroblob(100))));
                        INSERT INTO turn_secret (realm) VALUES ('north')";
        read(generated, 0).await.1.unwrap();
        assert_eq!(read(inserted, 0).await.0.secrets[0].1.expose(), "", "a generated column is no column of coturn");
    }

    #[tokio::test]
    async fn the_schema_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turndb");
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap().close().await.unwrap();
        let mut connection = options(&path).read_only(true).connect().await.unwrap();
        let trusted: i64 = sqlx::query_scalar("PRAGMA trusted_schema").fetch_one(&mut connection).await.unwrap();
        assert_eq!(trusted, 0);
        let wrote = sqlx::query("CREATE TABLE x (y)").execute(&mut connection).await;
        assert!(wrote.unwrap_err().to_string().contains("readonly"));
    }
}
