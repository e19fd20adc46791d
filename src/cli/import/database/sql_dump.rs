//! Dumps of PostgreSQL, MySQL and SQLite: statements of SQL, and the rows of COPY.

use anyhow::bail;

use super::rows::{Rows, columns};

/// Bytes of the longest statement that is read.
const MAX_STATEMENT_BYTES: usize = 64 * 1024 * 1024;

/// Reads a dump line by line.
#[derive(Default)]
pub(super) struct SqlDump {
    /// The table and the columns of the COPY whose rows follow; the table is `None` where it is none of coturn's.
    copying: Option<(Option<String>, Vec<String>)>,
    /// The beginning of an INSERT that goes on.
    statement: String,
    /// Whether a string of the statement goes on behind its end.
    strings: Strings,
    /// Whether a backslash in a string escapes the character behind it.
    is_mysql: bool,
}

impl SqlDump {
    /// Takes a line without its end; `false`: the line is no part of a row.
    pub(super) fn line(&mut self, line: &str, rows: &mut Rows) -> anyhow::Result<bool> {
        if let Some((table, columns)) = &self.copying {
            if line == "\\." {
                self.copying = None;
            } else if let Some(table) = table {
                let values: Vec<String> = line.split('\t').map(copied).collect();
                rows.add(table, columns, &values)?;
            }
            return Ok(true);
        }
        if self.statement.is_empty() {
            if line.starts_with("-- MySQL dump") || line.starts_with("-- MariaDB dump") || line.starts_with("/*!") {
                self.is_mysql = true;
            }
            if let Some(copy) = copy(line) {
                self.copying = Some(copy);
                return Ok(true);
            }
            if !starts_with(line, "INSERT INTO ") && !starts_with(line, "REPLACE INTO ") && !starts_with(line, "INSERT OR ") {
                return Ok(starts_with(line, "CREATE TABLE "));
            }
        }
        if self.statement.len() + line.len() > MAX_STATEMENT_BYTES {
            bail!("a statement has more than {MAX_STATEMENT_BYTES} bytes");
        }
        if !self.statement.is_empty() {
            self.statement.push('\n');
        }
        self.statement.push_str(line);
        self.strings.line(line, self.is_mysql);
        if line.trim_end().ends_with(';') && !self.strings.are_open {
            let statement = std::mem::take(&mut self.statement);
            insert(&statement, self.is_mysql, rows)?;
        }
        Ok(true)
    }

    /// The dump has ended.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        if !self.statement.is_empty() || self.copying.is_some() {
            bail!("the dump ends in the middle of a table");
        }
        Ok(())
    }
}

fn starts_with(line: &str, words: &str) -> bool {
    line.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words))
}

/// The last part of a name such as `public."turnusers_lt"`.
fn bare_name(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.trim().trim_matches(['"', '`', '[', ']']).to_lowercase()
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(bare_name).collect()
}

/// `COPY public.turn_secret (realm, value) FROM stdin;`
fn copy(line: &str) -> Option<(Option<String>, Vec<String>)> {
    let rest = starts_with(line, "COPY ").then(|| &line["COPY ".len()..])?;
    let target = rest.to_lowercase().rfind(" from stdin").and_then(|end| rest.get(..end))?;
    let (table, list) = target.split_once('(').map_or((target, None), |(table, list)| (table, list.split(')').next()));
    let table = bare_name(table);
    let own = columns(&table).map(|own| own.iter().map(|column| (*column).to_owned()).collect());
    let listed = list.map(names).or(own);
    Some((columns(&table).map(|_| table), listed.unwrap_or_default()))
}

/// A value of COPY in its text form.
fn copied(value: &str) -> String {
    if value == "\\N" {
        return String::new();
    }
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    text
}

/// Follows the strings of a statement, which takes each of its lines once: reading all of it at each line takes time that grows with the
/// square of its size.
#[derive(Default)]
struct Strings {
    /// Whether one has begun and not ended.
    are_open: bool,
    /// Bytes that have been looked at.
    #[cfg(test)]
    looked_at: usize,
}

impl Strings {
    /// A backslash at the end of the line escapes that end, and nothing of the next line.
    fn line(&mut self, line: &str, has_escapes: bool) {
        let mut characters = line.bytes();
        while let Some(character) = characters.next() {
            match character {
                b'\'' => self.are_open = !self.are_open,
                b'\\' if self.are_open && has_escapes => drop(characters.next()),
                _ => {}
            }
        }
        #[cfg(test)]
        {
            self.looked_at += line.len();
        }
    }
}

/// `INSERT INTO table (columns) VALUES (…), (…);`
fn insert(statement: &str, is_mysql: bool, rows: &mut Rows) -> anyhow::Result<()> {
    let lower = statement.to_ascii_lowercase();
    let (Some(into), Some(values)) = (lower.find(" into "), lower.find("values")) else { return Ok(()) };
    if into > values {
        return Ok(());
    }
    let target = &statement[into + " into ".len()..values];
    let (table, list) = target.split_once('(').map_or((target, None), |(table, list)| (table, list.split(')').next()));
    let table = bare_name(table.trim());
    let Some(own) = columns(&table) else { return Ok(()) };
    let columns = list.map_or_else(|| own.iter().map(|column| (*column).to_owned()).collect(), names);
    let mut tuples = Tuples { rest: &statement[values + "values".len()..], is_mysql };
    while let Some(tuple) = tuples.next() {
        rows.add(&table, &columns, &tuple)?;
    }
    match tuples.rest.trim_start().starts_with(';') {
        true => Ok(()),
        false => bail!("an INSERT into {table} is not as coturn's tables need it"),
    }
}

/// The rows behind VALUES.
struct Tuples<'a> {
    rest: &'a str,
    is_mysql: bool,
}

impl Tuples<'_> {
    /// The values of the next row; `None`: there is none, or it can't be read.
    fn next(&mut self) -> Option<Vec<String>> {
        let mut rest = self.rest.trim_start_matches([',', ' ', '\n', '\r', '\t']).strip_prefix('(')?;
        let mut values = Vec::new();
        loop {
            rest = rest.trim_start();
            let (value, behind) = match rest.strip_prefix('\'') {
                Some(string) => string_value(string, self.is_mysql)?,
                None => {
                    let end = rest.find([',', ')'])?;
                    let word = rest[..end].trim();
                    (if word.eq_ignore_ascii_case("null") { String::new() } else { word.to_owned() }, &rest[end..])
                }
            };
            values.push(value);
            let behind = behind.trim_start();
            if let Some(behind) = behind.strip_prefix(')') {
                self.rest = behind;
                return Some(values);
            }
            rest = behind.strip_prefix(',')?;
        }
    }
}

/// The text of a string, whose first quote is gone, and what is behind it.
fn string_value(text: &str, has_escapes: bool) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if text[at + 1..].starts_with('\'') => {
                value.push('\'');
                characters.next();
            }
            '\'' => return Some((value, &text[at + 1..])),
            '\\' if has_escapes => value.push(match characters.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dump: &str) -> anyhow::Result<Rows> {
        let (mut rows, mut reader) = (Rows::default(), SqlDump::default());
        for line in dump.lines() {
            reader.line(line, &mut rows)?;
        }
        reader.end()?;
        Ok(rows)
    }

    fn users(rows: &Rows) -> Vec<String> {
        rows.users.iter().map(|user| format!("{}@{}", user.name, user.realm)).collect()
    }

    const KEY: &str = "bc807ee29df3c9ffa736523fb2c4e8ee";

    #[test]
    fn copy_of_pg_dump_is_read() {
        let dump = format!(
            "--\n-- PostgreSQL database dump\n--\nSET client_encoding = 'UTF8';\n\
             CREATE TABLE public.turnusers_lt (\n    realm character varying(127)\n);\n\
             COPY public.others (a) FROM stdin;\nalice\tx\n\\.\n\
             COPY public.turnusers_lt (realm, name, hmackey) FROM stdin;\nnorth.example\tO\\\\N eil\t{KEY}\n\\N\tbob\t{KEY}\n\\.\n\
             COPY public.turn_secret (value, realm) FROM stdin;\nlo\\tgen\tnorth.example\n\\.\n"
        );
        let rows = read(&dump).unwrap();
        assert_eq!(users(&rows), ["O\\N eil@north.example", "bob@"]);
        assert_eq!(rows.secrets[0].1.expose(), "lo\tgen");
    }

    #[test]
    fn inserts_of_pg_dump_are_read() {
        let dump = format!(
            "INSERT INTO public.turnusers_lt VALUES ('north.example', 'O''Neil; (x)\\', '{KEY}');\n\
             INSERT INTO public.turnusers_lt (name, hmackey, realm) VALUES\n\t('a\nb', '{KEY}', NULL),\n\t('c', '{KEY}', 'd');\n\
             INSERT INTO public.others VALUES ('x');\n"
        );
        assert_eq!(users(&read(&dump).unwrap()), ["O'Neil; (x)\\@north.example", "a\nb@", "c@d"]);
    }

    #[test]
    fn a_dump_of_mysql_is_read() {
        let dump = format!(
            "-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)\n/*!40101 SET NAMES utf8mb4 */;\n\
             INSERT INTO `turnusers_lt` VALUES ('north.example','O\\'Neil','{KEY}'),('north.example','b\\\\',0x41);\n\
             INSERT INTO `allowed_peer_ip` VALUES\n('','10.0.0.1-10.0.0.9');\n\
             INSERT INTO `turn_realm_option` (`realm`, `opt`, `value`) VALUES ('north.example','max-bps','500000');\n\
             INSERT INTO `oauth_key` VALUES ('north','MDE=',0,0,'A256GCM','north.example');\n\
             INSERT INTO `admin_user` VALUES ('bayaz','','$5$e018$5cbd');\n"
        );
        let rows = read(&dump).unwrap();
        assert_eq!(users(&rows), ["O'Neil@north.example"]);
        assert_eq!(rows.unusable, ["b\\"]);
        assert_eq!((rows.peers[0].is_allowed, &*rows.peers[0].range), (true, "10.0.0.1-10.0.0.9"));
        assert_eq!((&*rows.realm_options[0].name, &*rows.realm_options[0].value), ("max-bps", "500000"));
        assert_eq!((rows.oauth_keys, &rows.admins[..]), (1, &["bayaz".to_owned()][..]));
    }

    /// Each line of a statement ends as one does whose strings have ended, and none has.
    #[test]
    fn the_work_grows_with_the_size_of_a_dump_and_no_faster() {
        let line = "'';\n;\n'\\\\;'\n";
        for bytes in [8 * 1024 * 1024, 16 * 1024 * 1024] {
            let mut reader = SqlDump::default();
            let mut rows = Rows::default();
            let dump = format!("/*!40101 */;\nINSERT INTO turn_secret VALUES ('\n{}", line.repeat(bytes / line.len()));
            for line in dump.lines() {
                reader.line(line, &mut rows).unwrap();
            }
            assert!(reader.strings.are_open && reader.is_mysql);
            assert!((bytes / 2..=dump.len()).contains(&reader.strings.looked_at), "{} of {bytes}", reader.strings.looked_at);
            assert_eq!(reader.end().unwrap_err().to_string(), "the dump ends in the middle of a table");
        }
    }

    #[test]
    fn a_string_goes_on_over_the_ends_of_lines() {
        let mysql = "-- MySQL dump\nINSERT INTO `turn_secret` VALUES ('a','b\\\n;\nc\\\\;\n\\';\nd');\n";
        assert_eq!(read(mysql).unwrap().secrets[0].1.expose(), "b\n;\nc\\;\n';\nd");
        let postgresql = "INSERT INTO turn_secret VALUES ('a', 'b\\');\nINSERT INTO turn_secret VALUES ('a', 'b'';\nc');\n";
        let rows = read(postgresql).unwrap();
        assert_eq!(rows.secrets.iter().map(|(_, secret)| secret.expose().as_str()).collect::<Vec<_>>(), ["b\\", "b';\nc"]);
    }

    #[test]
    fn a_broken_dump_is_an_error_and_no_panic() {
        for broken in [
            "COPY public.turn_secret (realm, value) FROM stdin;\na\tb\n",
            "COPY public.turn_secret (realm, value) FROM stdin;\na\tb\tc\n\\.\n",
            "INSERT INTO turn_secret VALUES ('a','b\n",
            "INSERT INTO turn_secret VALUES ('a');\n",
            "INSERT INTO turn_secret VALUES ('a','b') x;\n",
            "INSERT INTO turn_secret VALUES (a;\n",
        ] {
            assert!(read(broken).is_err(), "{broken}");
        }
        let long = format!("INSERT INTO turn_secret VALUES ('a','{}');\n", "x".repeat(600));
        assert!(read(&long).err().unwrap().to_string().contains("not as coturn writes it"));
        assert!(read("INSERT INTO 'é VALUES (').\nINSERT é\n").is_err());
    }
}
