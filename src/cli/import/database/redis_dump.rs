//! Dumps of Redis: commands as redis-cli takes them, a line each, or an append-only file.

use anyhow::bail;

use super::rows::Rows;
use crate::whole_number;

/// Words of the longest command that is read: a set of so many secrets or peers.
const MAX_WORDS: usize = 100_000;
/// Bytes of the longest word of an append-only file.
const MAX_WORD_BYTES: usize = 64 * 1024;

/// The command of an append-only file that is being read.
#[derive(Default)]
pub(super) struct RedisDump {
    words: Vec<String>,
    /// Words that the command still lacks.
    missing: usize,
    /// Bytes of the next word, once its length has been read.
    length: Option<usize>,
    /// The beginning of a word with an end of line in it.
    partial: Option<String>,
}

impl RedisDump {
    /// Takes a line without its end; `false`: it is no part of a command.
    pub(super) fn line(&mut self, line: &str, rows: &mut Rows) -> anyhow::Result<bool> {
        if self.missing > 0 {
            self.word(line)?;
            if self.missing == 0 {
                run(&std::mem::take(&mut self.words), rows)?;
            }
            return Ok(true);
        }
        let line = line.trim_end();
        if let Some(count) = line.strip_prefix('*').and_then(whole_number::read::<usize>) {
            if count > MAX_WORDS {
                bail!("a command of Redis has more than {MAX_WORDS} words");
            }
            self.missing = count;
            return Ok(true);
        }
        let words = words(line);
        let is_command = words.first().is_some_and(|first| COMMANDS.iter().any(|command| first.eq_ignore_ascii_case(command)));
        if is_command {
            run(&words, rows)?;
        }
        Ok(is_command)
    }

    /// A length or a word of an append-only file.
    fn word(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(length) = self.length else {
            self.length =
                line.trim_end().strip_prefix('$').and_then(whole_number::read).filter(|length| *length <= MAX_WORD_BYTES);
            if self.length.is_none() {
                bail!("the append-only file of Redis can't be read; write it anew with `BGREWRITEAOF`");
            }
            return Ok(());
        };
        let mut word = self.partial.take().map(|begun| begun + "\n").unwrap_or_default();
        word.push_str(line);
        // Behind a word there is "\r\n".
        if word.len() <= length {
            self.partial = Some(word);
            return Ok(());
        }
        self.words.push(word.get(..length).unwrap_or_default().to_owned());
        self.length = None;
        self.missing -= 1;
        Ok(())
    }

    /// The dump has ended.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        if self.missing > 0 { bail!("the dump of Redis ends in the middle of a command") } else { Ok(()) }
    }
}

const COMMANDS: [&str; 4] = ["SET", "SADD", "HSET", "HMSET"];

/// What a command sets, if the key is one of coturn's.
fn run(words: &[String], rows: &mut Rows) -> anyhow::Result<()> {
    let [command, key, values @ ..] = words else { return Ok(()) };
    let Some(key) = key.strip_prefix("turn/") else { return Ok(()) };
    let one = || values.first().cloned().unwrap_or_default();
    if command.eq_ignore_ascii_case("set") {
        if key.strip_prefix("origin/").is_some() {
            return rows.add("turn_origin_to_realm", &["origin"], &[one()]);
        }
        let Some(rest) = key.strip_prefix("realm/") else { return Ok(()) };
        if let Some((realm, user)) = rest.split_once("/user/") {
            let Some(name) = user.strip_suffix("/key") else { return Ok(()) };
            return rows.add("turnusers_lt", &["realm", "name", "hmackey"], &[realm.to_owned(), name.to_owned(), one()]);
        }
        let Some((realm, option)) = rest.rsplit_once('/') else { return Ok(()) };
        return rows.add("turn_realm_option", &["realm", "opt", "value"], &[realm.to_owned(), option.to_owned(), one()]);
    }
    if command.eq_ignore_ascii_case("sadd") {
        let Some((realm, kind)) = key.strip_prefix("realm/").and_then(|rest| rest.rsplit_once('/')) else { return Ok(()) };
        let (table, column) = match kind {
            "secret" => ("turn_secret", "value"),
            "allowed-peer-ip" => ("allowed_peer_ip", "ip_range"),
            "denied-peer-ip" => ("denied_peer_ip", "ip_range"),
            _ => return Ok(()),
        };
        return values.iter().try_for_each(|value| rows.add(table, &["realm", column], &[realm.to_owned(), value.clone()]));
    }
    if let Some(name) = key.strip_prefix("admin_user/") {
        return rows.add("admin_user", &["name"], &[name.to_owned()]);
    }
    if let Some(kid) = key.strip_prefix("oauth/kid/") {
        return rows.add("oauth_key", &["kid"], &[kid.to_owned()]);
    }
    Ok(())
}

/// The words of a line, as redis-cli separates them: a word with blanks has quotes around it.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        let Some(first) = characters.next() else { return words };
        let mut word = String::new();
        if first == '"' || first == '\'' {
            while let Some(character) = characters.next() {
                match character {
                    '\\' => word.extend(characters.next()),
                    end if end == first => break,
                    other => word.push(other),
                }
            }
        } else {
            word.push(first);
            while let Some(character) = characters.next_if(|character| !character.is_whitespace()) {
                word.push(character);
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "bc807ee29df3c9ffa736523fb2c4e8ee";

    fn read(dump: &str) -> anyhow::Result<Rows> {
        let (mut rows, mut reader) = (Rows::default(), RedisDump::default());
        for line in dump.split('\n') {
            reader.line(line, &mut rows)?;
        }
        reader.end()?;
        Ok(rows)
    }

    #[test]
    fn commands_are_read() {
        let dump = format!(
            "AUTH turn\nSELECT 2\nset turn/realm/north.example/user/alice/key \"{KEY}\"\n\
             SADD turn/realm/north.example/secret \"lo gen\" 'bloody9'\nset turn/realm/north.example/max-bps 500000\n\
             sadd turn/realm/north.example/denied-peer-ip 123::45\nset turn/origin/http://north.example:80 north.example\n\
             hmset turn/oauth/kid/north ikm_key 'MDE=' realm 'x'\nhmset turn/admin_user/bayaz password 'x'\nset other/key value\nsave\n"
        );
        let rows = read(&dump).unwrap();
        assert_eq!((&*rows.users[0].name, &*rows.users[0].realm), ("alice", "north.example"));
        let secrets: Vec<&str> = rows.secrets.iter().map(|(_, secret)| secret.expose().as_str()).collect();
        assert_eq!(secrets, ["lo gen", "bloody9"]);
        assert_eq!((&*rows.realm_options[0].name, &*rows.realm_options[0].value), ("max-bps", "500000"));
        assert_eq!((rows.peers[0].is_allowed, &*rows.peers[0].range), (false, "123::45"));
        assert_eq!((rows.origins, rows.oauth_keys, rows.admins.len(), rows.users.len()), (1, 1, 1, 1));
    }

    #[test]
    fn an_append_only_file_is_read() {
        let key = "turn/realm/north.example/user/alice/key";
        let dump = format!(
            "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$32\r\n{KEY}\r\n\
             *3\r\n$4\r\nSADD\r\n$31\r\nturn/realm/north.example/secret\r\n$6\r\na\r\nb\nc\r\n",
            key.len()
        );
        let rows = read(&dump).unwrap();
        assert_eq!(rows.users[0].name, "alice");
        assert_eq!(rows.secrets[0].1.expose(), "a\r\nb\nc");
    }

    #[test]
    fn a_broken_dump_is_an_error_and_no_panic() {
        for broken in ["*2\r\n$3\r\nSET\r\n", "*1\r\nSET\r\n", "*1\r\n$99999999\r\n", "*999999\r\n"] {
            assert!(read(broken).is_err(), "{broken}");
        }
        for nothing in ["SET", "set turn/realm/", "sadd turn/", "set turn/realm/x/user/y z", "set \"turn/realm/a"] {
            assert!(read(nothing).unwrap().users.is_empty(), "{nothing}");
        }
    }
}
