//! [`foreign`]: whether a database that somebody else may have made has the schema that castway makes, and nothing else.
//!
//! Opening a database runs no code of it, but a trigger runs with the next change and a view with the next look, so the schema is compared
//! before anything else is read. What is expected comes from the steps themselves, up to the last one that the database has.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::schema;

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("it has the {kind} {name:?}, which castway does not make")]
    Foreign { kind: String, name: String },
    #[error("its {kind} {name:?} is not the one that castway makes")]
    Changed { kind: String, name: String },
    #[error("it has no {kind} {name:?}")]
    Missing { kind: String, name: String },
    #[error("its schema step {0} is missing or unfinished")]
    Gap(i64),
    #[error("it has schema step {0}, which this castway does not know")]
    Newer(i64),
    #[error("it has a schema step with the number {0}, and castway numbers them from 1")]
    Number(i64),
    #[error("its schema has more than {MAX_OBJECTS} objects")]
    TooMany,
    #[error("its schema has an object whose SQL or name has more than {MAX_SQL_BYTES} bytes")]
    TooLong,
    #[error("its schema has a NUL character, where SQLite stops reading and castway would not")]
    Nul,
}

/// Kind and name of an object of a schema.
type ObjectName = (String, String);
/// The table that each object belongs to, and its SQL without comments; an index that SQLite makes itself has none.
type Objects = BTreeMap<ObjectName, (String, Option<String>)>;

/// Bounds of a schema, several times what castway makes.
const MAX_OBJECTS: i64 = 200;
const MAX_SQL_BYTES: i64 = 64 * 1024;

const STEPS_TABLE: &str = "_sqlx_migrations";

/// Compares the schema of the database with that of its own steps and of the tables that `more` makes; reads nothing else of it.
pub(super) async fn check(connection: &mut SqliteConnection, more: &str) -> Result<Result<(), SchemaError>, sqlx::Error> {
    if let Err(error) = check_bounds(connection).await? {
        return Ok(Err(error));
    }
    let found = objects(connection).await?;
    let newest = expected(schema::newest(), more).await?;
    // Before the steps are read: no step makes a trigger or a view.
    if let Some((kind, name)) = found.keys().find(|object| is_run(object) && !newest.contains_key(*object)) {
        return Ok(Err(SchemaError::Foreign { kind: kind.clone(), name: name.clone() }));
    }
    // Every step leaves the table of the steps as it is.
    let steps = ("table".to_owned(), STEPS_TABLE.to_owned());
    if let Some(error) = difference(&only(&found, &steps), &only(&newest, &steps)) {
        return Ok(Err(error));
    }
    let last = match last_step(connection).await? {
        Ok(last) => last,
        Err(error) => return Ok(Err(error)),
    };
    let expected = expected(last, more).await?;
    Ok(difference(&found, &expected).map_or(Ok(()), Err))
}

/// Refuses a schema of a size that castway does not make, before it is read.
async fn check_bounds(connection: &mut SqliteConnection) -> Result<Result<(), SchemaError>, sqlx::Error> {
    let select = "SELECT count(*), coalesce(max(max(octet_length(type), octet_length(name), octet_length(tbl_name),
                  coalesce(octet_length(sql), 0))), 0), coalesce(max(instr(type || name || tbl_name || coalesce(sql, ''), char(0))), 0)
                  FROM sqlite_schema";
    let (objects, bytes, nul) = sqlx::query_as::<_, (i64, i64, i64)>(select).fetch_one(connection).await?;
    Ok(match (objects, bytes, nul) {
        (objects, _, _) if objects > MAX_OBJECTS => Err(SchemaError::TooMany),
        (_, bytes, _) if bytes > MAX_SQL_BYTES => Err(SchemaError::TooLong),
        (_, _, 0) => Ok(()),
        _ => Err(SchemaError::Nul),
    })
}

/// The last schema step of the database, which has all those before it and no others.
async fn last_step(connection: &mut SqliteConnection) -> Result<Result<i64, SchemaError>, sqlx::Error> {
    let newest = schema::newest();
    let strange = "SELECT iif(typeof(version) = 'integer', version, 0) AS step FROM _sqlx_migrations
                   WHERE typeof(version) <> 'integer' OR version NOT BETWEEN 1 AND ?1 OR success IS NOT 1 ORDER BY step DESC LIMIT 1";
    let strange = sqlx::query_scalar::<_, i64>(strange).bind(newest).fetch_optional(&mut *connection).await?;
    match strange {
        Some(step) if step > newest => return Ok(Err(SchemaError::Newer(step))),
        Some(step) if step < 1 => return Ok(Err(SchemaError::Number(step))),
        Some(step) => return Ok(Err(SchemaError::Gap(step))),
        None => {}
    }
    // Each number is there once, so these are few.
    let done = sqlx::query_scalar::<_, i64>("SELECT version FROM _sqlx_migrations ORDER BY version");
    let done = done.fetch_all(connection).await?;
    let last = done.last().copied().unwrap_or_default();
    let gap = (1..=last.max(1)).find(|step| !done.contains(step));
    Ok(gap.map_or(Ok(last), |gap| Err(SchemaError::Gap(gap))))
}

/// Whether the object is SQL that runs when somebody reads or writes a table.
fn is_run((kind, _): &ObjectName) -> bool {
    kind == "trigger" || kind == "view"
}

fn only(objects: &Objects, name: &ObjectName) -> Objects {
    objects.get_key_value(name).map(|(name, object)| (name.clone(), object.clone())).into_iter().collect()
}

/// The schema that the steps make up to `last`, with the tables that `more` makes.
async fn expected(last: i64, more: &str) -> Result<Objects, sqlx::Error> {
    let mut memory = SqliteConnectOptions::new().in_memory(true).connect().await?;
    let made = schema::migrator().run_to(last, &mut memory).await;
    made.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(more)).execute(&mut memory).await?;
    let objects = objects(&mut memory).await;
    memory.close().await?;
    objects
}

async fn objects(connection: &mut SqliteConnection) -> Result<Objects, sqlx::Error> {
    let rows =
        sqlx::query_as::<_, (String, String, String, Option<String>)>("SELECT type, name, tbl_name, sql FROM sqlite_schema");
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows.map(|(kind, name, table, sql)| ((kind, name), (table, sql.as_deref().map(normalized)))).collect())
}

/// An object in which `found` differs: a foreign one before all others, and one that SQLite has made itself after all others.
fn difference(found: &Objects, expected: &Objects) -> Option<SchemaError> {
    let (mut foreign, mut missing, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for (object, made) in found {
        match expected.get(object) {
            None => foreign.push(object),
            Some(expected) if expected != made => changed.push(object),
            Some(_) => {}
        }
    }
    missing.extend(expected.keys().filter(|object| !found.contains_key(*object)));
    let first = |objects: Vec<&ObjectName>| objects.into_iter().min_by_key(|(_, name)| name.starts_with("sqlite_")).cloned();
    if let Some((kind, name)) = first(foreign) {
        return Some(SchemaError::Foreign { kind, name });
    }
    if let Some((kind, name)) = first(missing) {
        return Some(SchemaError::Missing { kind, name });
    }
    first(changed).map(|(kind, name)| SchemaError::Changed { kind, name })
}

/// SQL with one blank in place of each run of blanks and comments. What is in quotes stays as it is.
fn normalized(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let quoted = match first {
            '\'' | '"' | '`' => Some(first),
            '[' => Some(']'),
            _ => None,
        };
        let end_of = |text: &str, end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
        let (taken, kept) = if let Some(end) = quoted {
            let mut buffer = [0; 4];
            (end_of(rest, end.encode_utf8(&mut buffer), first.len_utf8()), true)
        } else if rest.starts_with("--") {
            (end_of(rest, "\n", 2), false)
        } else if rest.starts_with("/*") {
            (end_of(rest, "*/", 2), false)
        } else {
            (first.len_utf8(), !first.is_ascii_whitespace())
        };
        if kept {
            text.push_str(&rest[..taken]);
        } else if !text.ends_with(' ') && !text.is_empty() {
            text.push(' ');
        }
        rest = &rest[taken..];
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: &str = "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;";

    async fn database(last: i64, changes: &str) -> SqliteConnection {
        let mut database = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        schema::migrator().run_to(last, &mut database).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{MORE} {changes}"))).execute(&mut database).await.unwrap();
        database
    }

    async fn found(last: i64, changes: &str) -> Result<(), SchemaError> {
        check(&mut database(last, changes).await, MORE).await.unwrap()
    }

    #[tokio::test]
    async fn a_database_of_each_step_is_our_own() {
        for last in 1..=schema::newest() {
            assert_eq!(found(last, "").await, Ok(()), "{last}");
        }
        let commented = "CREATE TABLE /* here */ more (id INTEGER -- the key\n PRIMARY  KEY)\nSTRICT";
        assert_eq!(found(9, &format!("DROP TABLE more; {commented}")).await, Ok(()), "comments and blanks don't count");
    }

    #[tokio::test]
    async fn what_castway_does_not_make_is_named() {
        let foreign = |kind: &str, name: &str| Err(SchemaError::Foreign { kind: kind.to_owned(), name: name.to_owned() });
        let changed = |name: &str| Err(SchemaError::Changed { kind: "table".to_owned(), name: name.to_owned() });
        let missing = |name: &str| Err(SchemaError::Missing { kind: "table".to_owned(), name: name.to_owned() });
        let trigger = "CREATE TRIGGER taps AFTER INSERT ON secrets BEGIN DELETE FROM users; END";
        let steps_by_view = "ALTER TABLE _sqlx_migrations RENAME TO kept; CREATE VIEW _sqlx_migrations AS SELECT * FROM kept";
        for (last, changes, expected) in [
            (9, trigger, foreign("trigger", "taps")),
            (9, "CREATE VIEW backups AS SELECT * FROM users", foreign("view", "backups")),
            (9, "CREATE TABLE stuff (x)", foreign("table", "stuff")),
            (9, "CREATE INDEX fast ON users (name)", foreign("index", "fast")),
            (3, "CREATE TABLE checks (x)", foreign("table", "checks")),
            (9, "DROP TABLE users; CREATE VIEW users AS SELECT 1 AS id", foreign("view", "users")),
            (9, "DROP TABLE bans", missing("bans")),
            (9, "DROP TABLE more", missing("more")),
            (9, "ALTER TABLE users ADD COLUMN twice INTEGER AS (id * 2)", changed("users")),
            (9, "DROP TABLE more; CREATE TABLE more (id INTEGER PRIMARY KEY CHECK (id > 0)) STRICT", changed("more")),
            (9, "DROP TABLE more; CREATE TABLE more (id INTEGER -- PRIMARY KEY\n) STRICT", changed("more")),
            (9, steps_by_view, foreign("view", STEPS_TABLE)),
            (9, "DELETE FROM _sqlx_migrations WHERE version = 4", Err(SchemaError::Gap(4))),
            (9, "UPDATE _sqlx_migrations SET success = 0 WHERE version = 1", Err(SchemaError::Gap(1))),
            (9, "UPDATE _sqlx_migrations SET version = 12 WHERE version = 9", Err(SchemaError::Newer(12))),
            (9, "DELETE FROM _sqlx_migrations WHERE version = 9", changed("users")),
            (9, "UPDATE _sqlx_migrations SET version = -5 WHERE version = 9", Err(SchemaError::Number(-5))),
            (9, "UPDATE _sqlx_migrations SET version = 'x' WHERE version = 9", Err(SchemaError::Number(0))),
            (9, "UPDATE _sqlx_migrations SET version = 12, success = 0 WHERE version = 9", Err(SchemaError::Newer(12))),
        ] {
            assert_eq!(found(last, changes).await, expected, "{changes}");
        }
    }

    /// Changes the text of the schema, as a program that writes the file itself can.
    async fn rewritten(set: &str) -> Result<(), SchemaError> {
        let update = format!("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET {set}; PRAGMA writable_schema = RESET");
        found(9, &update).await
    }

    #[tokio::test]
    async fn a_schema_that_sqlite_reads_otherwise_than_castway_is_refused() {
        for table in ["more", "users"] {
            let set = format!("sql = replace(sql, 'STRICT', '/* ' || char(0) || '*/ STRICT') WHERE name = '{table}'");
            assert_eq!(rewritten(&set).await, Err(SchemaError::Nul), "{table}");
        }
    }

    #[tokio::test]
    async fn a_schema_is_short() {
        let commented = |bytes: i64| {
            format!(
                "sql = 'CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT /*' || hex(zeroblob({})) || '*/' WHERE name = 'more'",
                bytes / 2
            )
        };
        assert_eq!(rewritten(&commented(MAX_SQL_BYTES - 100)).await, Ok(()));
        assert_eq!(rewritten(&commented(MAX_SQL_BYTES)).await, Err(SchemaError::TooLong));
        let tables = |count: i64| (0..count).map(|number| format!("CREATE TABLE t{number} (x);")).collect::<String>();
        let foreign = SchemaError::Foreign { kind: "table".to_owned(), name: "t0".to_owned() };
        assert_eq!(found(9, &tables(100)).await, Err(foreign));
        assert_eq!(found(9, &tables(MAX_OBJECTS)).await, Err(SchemaError::TooMany));
    }

    #[test]
    fn quotes_keep_what_they_have() {
        assert_eq!(normalized("  a  /* b */ 'c  -- d' -- e\n\t[f  g]\"h  i\"  "), "a 'c  -- d' [f  g]\"h  i\"");
        assert_eq!(normalized("a 'it''s  b"), "a 'it''s  b");
        assert_eq!(normalized("a -- b"), "a");
    }
}
