//! The SQLite database of turnserver and turnadmin, which is only read.

use std::path::Path;

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::rows::{MAX_VALUE_BYTES, Rows, columns, tables};

pub(super) async fn read(path: &Path) -> anyhow::Result<Rows> {
    let shown = path.display();
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.with_context(|| format!("{shown} can't be opened"))?;
    let mut rows = Rows::default();
    let done = read_tables(&mut connection, &mut rows).await.with_context(|| format!("{shown} can't be read"));
    let _ = connection.close().await;
    done.map(|()| rows)
}

async fn read_tables(connection: &mut SqliteConnection, rows: &mut Rows) -> anyhow::Result<()> {
    let mut found = 0;
    for table in tables() {
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
        // What is longer than a value of coturn is refused; so much of it shows that.
        let list: Vec<String> =
            present.iter().map(|column| format!("substr(CAST({column} AS TEXT), 1, {})", MAX_VALUE_BYTES + 1)).collect();
        // The names of tables and columns are constants.
        let select = AssertSqlSafe(format!("SELECT {} FROM {table}", list.join(", ")));
        let mut selected = sqlx::query(select).fetch(&mut *connection);
        while let Some(row) = selected.try_next().await? {
            let values: Result<Vec<String>, sqlx::Error> =
                (0..present.len()).map(|index| Ok(row.try_get::<Option<String>, _>(index)?.unwrap_or_default())).collect();
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

    /// Reads the tables of a database that `definition` makes, after so many rows.
    async fn read(definition: &'static str, count: usize) -> (Rows, anyhow::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("turndb")).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::query(definition).execute(&mut connection).await.unwrap();
        let mut rows = Rows { count, ..Rows::default() };
        let done = read_tables(&mut connection, &mut rows).await;
        connection.close().await.unwrap();
        (rows, done)
    }

    /// Whoever takes all rows before counting them never ends.
    #[tokio::test]
    async fn rows_without_end_are_counted_one_by_one() {
        let endless = "CREATE VIEW turn_secret AS WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers) \
                       SELECT 'north' AS realm, 'secret ' || number AS value FROM numbers";
        let (rows, done) = read(endless, MAX_ROWS - 2).await;
        assert_eq!(done.unwrap_err().to_string(), "there are more than 1000000 rows");
        assert_eq!(rows.secrets.len(), 2);
    }

    #[tokio::test]
    async fn a_long_value_is_refused_and_not_taken_whole() {
        let long = "CREATE VIEW turn_secret AS SELECT 'north' AS realm, hex(zeroblob(10000000)) AS value";
        let (rows, done) = read(long, 0).await;
        assert_eq!(done.unwrap_err().to_string(), "a row of turn_secret is not as coturn writes it");
        assert_eq!(rows.secrets.len(), 0);
    }
}
