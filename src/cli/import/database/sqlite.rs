//! The SQLite database of turnserver and turnadmin, which is only read.

use std::path::Path;

use anyhow::{Context as _, bail};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::rows::{Rows, columns, tables};

pub(super) async fn read(path: &Path) -> anyhow::Result<Rows> {
    let shown = path.display();
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.with_context(|| format!("{shown} can't be opened"))?;
    let rows = read_tables(&mut connection).await.with_context(|| format!("{shown} can't be read"));
    let _ = connection.close().await;
    rows
}

async fn read_tables(connection: &mut SqliteConnection) -> anyhow::Result<Rows> {
    let mut rows = Rows::default();
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
        let list: Vec<String> = present.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        // The names of tables and columns are constants.
        let select = AssertSqlSafe(format!("SELECT {} FROM {table}", list.join(", ")));
        let selected: Vec<SqliteRow> = sqlx::query(select).fetch_all(&mut *connection).await?;
        for row in selected {
            let values: Result<Vec<String>, sqlx::Error> =
                (0..present.len()).map(|index| Ok(row.try_get::<Option<String>, _>(index)?.unwrap_or_default())).collect();
            rows.add(table, &present, &values?)?;
        }
    }
    if found == 0 {
        bail!("it has none of coturn's tables");
    }
    Ok(rows)
}
