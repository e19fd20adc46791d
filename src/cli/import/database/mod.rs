//! Reads a database of coturn: turnadmin's SQLite file, or a dump of PostgreSQL, MySQL or Redis.

mod redis_dump;
mod rows;
mod sql_dump;
mod sqlite;

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};

pub(super) use rows::Rows;
#[cfg(test)]
pub(super) use rows::{PeerRow, RealmOption};

use redis_dump::RedisDump;
use sql_dump::SqlDump;

/// Bytes of the longest line of a dump.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;
/// What files begin with that can't be read as text, with what to do instead.
const OTHER_FORMATS: [(&[u8], &str); 5] = [
    (b"PGDMP", "it is an archive of pg_dump: write text with `pg_dump --format=plain`"),
    (b"REDIS", "it is a snapshot of Redis: docs/coturn.md has the command for a text dump"),
    (b"\x1f\x8b", "it is compressed: unpack it with `gunzip` first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed: unpack it with `unzstd` first"),
    (b"\xfd7zXZ", "it is compressed: unpack it with `unxz` first"),
];
const SQLITE: &[u8] = b"SQLite format 3\0";

pub(super) async fn read(path: &Path) -> anyhow::Result<Rows> {
    let shown = path.display();
    let mut file = BufReader::new(File::open(path).with_context(|| format!("{shown} can't be read"))?);
    let start = file.fill_buf().with_context(|| format!("{shown} can't be read"))?;
    if start.starts_with(SQLITE) {
        return sqlite::read(path).await;
    }
    if let Some((_, instead)) = OTHER_FORMATS.iter().find(|(magic, _)| start.starts_with(magic)) {
        bail!("{shown} can't be read: {instead}");
    }
    read_dump(file).with_context(|| format!("{shown} can't be read"))
}

/// Reads a dump line by line, so that its size doesn't matter.
fn read_dump(mut file: impl BufRead) -> anyhow::Result<Rows> {
    let (mut rows, mut sql, mut redis) = (Rows::default(), SqlDump::default(), RedisDump::default());
    let (mut line, mut number, mut understood) = (Vec::new(), 0, false);
    loop {
        line.clear();
        let length = (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        number += 1;
        if length as u64 == MAX_LINE_BYTES {
            bail!("line {number} has more than {MAX_LINE_BYTES} bytes");
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        let taken = sql.line(&text, &mut rows).and_then(|taken| Ok(taken || redis.line(&text, &mut rows)?));
        understood |= taken.with_context(|| format!("line {number}"))?;
    }
    sql.end()?;
    redis.end()?;
    if !understood {
        bail!("it is neither a database of SQLite nor a dump of PostgreSQL, MySQL or Redis");
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        std::fs::write(&path, content).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        format!("{:#}", runtime.block_on(read(&path)).err().unwrap())
    }

    #[test]
    fn a_line_without_an_end_is_read_to_a_limit() {
        let error = read_dump(BufReader::new(std::io::repeat(b'x'))).err().unwrap();
        assert_eq!(error.to_string(), format!("line 1 has more than {MAX_LINE_BYTES} bytes"));
    }

    #[test]
    fn a_file_of_another_kind_is_named_with_what_to_do() {
        for (content, what) in [
            (&b"PGDMP\x01"[..], "pg_dump --format=plain"),
            (b"REDIS0011", "docs/coturn.md"),
            (b"\x1f\x8b\x08", "gunzip"),
            (b"hello\n", "neither a database"),
            (b"", "neither a database"),
            (b"-- MySQL dump\nINSERT INTO `turn_secret` VALUES (1);\n", "line 2: a row of turn_secret"),
        ] {
            let error = fails(content);
            assert!(error.contains(what), "{error}");
        }
    }
}
