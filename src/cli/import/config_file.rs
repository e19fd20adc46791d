//! Reads turnserver.conf and the arguments of turnserver, as turnserver reads them.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Bytes of the largest turnserver.conf that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The options with one letter.
const LETTERS: &[(char, &str)] = &[
    ('d', "listening-device"),
    ('p', "listening-port"),
    ('L', "listening-ip"),
    ('i', "relay-device"),
    ('E', "relay-ip"),
    ('X', "external-ip"),
    ('m', "relay-threads"),
    ('a', "lt-cred-mech"),
    ('z', "no-auth"),
    ('u', "user"),
    ('b', "userdb"),
    ('e', "psql-userdb"),
    ('M', "mysql-userdb"),
    ('J', "mongo-userdb"),
    ('N', "redis-userdb"),
    ('O', "redis-statsdb"),
    ('r', "realm"),
    ('q', "user-quota"),
    ('Q', "total-quota"),
    ('s', "max-bps"),
    ('B', "bps-capacity"),
    ('v', "verbose"),
    ('V', "Verbose"),
    ('o', "daemon"),
    ('f', "fingerprint"),
    ('S', "stun-only"),
    ('l', "log-file"),
    ('C', "rest-api-separator"),
    ('K', "keep-address-family"),
    ('A', "allocation-default-address-family"),
];

/// Options that take a value on the command line behind a blank; the others take one behind `=` alone.
pub(super) const WITH_VALUE: &[&str] = &[
    "listening-device",
    "listening-port",
    "tls-listening-port",
    "alt-listening-port",
    "alt-tls-listening-port",
    "tcp-proxy-port",
    "listening-ip",
    "relay-device",
    "relay-ip",
    "external-ip",
    "relay-threads",
    "cpus",
    "min-port",
    "max-port",
    "sock-buf-size",
    "user",
    "userdb",
    "db",
    "psql-userdb",
    "sql-userdb",
    "mysql-userdb",
    "mongo-userdb",
    "redis-userdb",
    "redis-statsdb",
    "prometheus-port",
    "prometheus-address",
    "prometheus-path",
    "prometheus-cert",
    "prometheus-key",
    "static-auth-secret",
    "realm",
    "server-name",
    "user-quota",
    "total-quota",
    "max-bps",
    "bps-capacity",
    "cert",
    "pkey",
    "pkey-pwd",
    "log-file",
    "log-min-level",
    "new-log-timestamp-format",
    "aux-server",
    "alternate-server",
    "tls-alternate-server",
    "tcp-alternate-server",
    "udp-alternate-server",
    "rest-api-separator",
    "max-allocate-timeout",
    "drain-min-allocations",
    "allowed-peer-ip",
    "denied-peer-ip",
    "cipher-list",
    "pidfile",
    "CA-file",
    "dh-file",
    "proc-user",
    "proc-group",
    "cli-ip",
    "cli-port",
    "cli-password",
    "web-admin-ip",
    "web-admin-port",
    "cli-max-output-sessions",
    "ec-curve-name",
    "secret-key-file",
    "allocation-default-address-family",
    "acme-redirect",
    "multiplex-peer-port",
    "multiplex-peer-max-peers",
    "syslog-facility",
    "unauthorized-ratelimit-rps",
    "stateless-nonce-secret",
    "secret-ts-exp-time",
    "ne",
];

/// Where an option stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Line(usize),
    Argument(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Argument(number) => write!(f, "argument {number}"),
        }
    }
}

/// An option that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenOption {
    pub(super) place: Place,
    pub(super) name: String,
    /// Empty where there is none.
    pub(super) value: String,
}

impl GivenOption {
    /// The value without a comment behind it, which turnserver takes for a part of the value. Only secrets, names and paths may mean it.
    pub(super) fn bare(&self) -> &str {
        let end = [" #", "\t#"].iter().filter_map(|comment| self.value.find(comment)).min().unwrap_or(self.value.len());
        self.value[..end].trim_end()
    }
}

/// Reads the options of the file at `path`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<GivenOption>> {
    let mut content = Vec::new();
    let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).with_context(|| format!("{} can't be read", path.display()))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        bail!("{} has more than {MAX_FILE_BYTES} bytes, which no turnserver.conf has", path.display());
    }
    Ok(options(&String::from_utf8_lossy(&content)))
}

/// Reads the options of a turnserver.conf.
pub(super) fn options(text: &str) -> Vec<GivenOption> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').enumerate();
    let lines = lines.map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| option(number, line)).collect()
}

/// `NAME=VALUE`, `NAME VALUE` or `NAME`; the value may have quotes around it.
fn option(number: usize, line: &str) -> GivenOption {
    let separators = [' ', '=', '\t'];
    let (name, value) = line.split_once(separators).unwrap_or((line, ""));
    GivenOption { place: Place::Line(number), name: name.to_owned(), value: unquoted(value.trim_start_matches(separators)) }
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    inner.strip_suffix('"').unwrap_or(inner).to_owned()
}

/// Reads the arguments of turnserver.
pub(super) fn arguments(arguments: &[String]) -> Vec<GivenOption> {
    let mut options = Vec::new();
    let mut rest = arguments.iter().enumerate().map(|(index, argument)| (Place::Argument(index + 1), argument)).peekable();
    while let Some((place, argument)) = rest.next() {
        let mut push =
            |name: &str, value: &str| options.push(GivenOption { place, name: name.to_owned(), value: unquoted(value) });
        let mut next = || rest.next().map_or("", |(_, value)| value);
        if let Some(long) = argument.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => push(name, value),
                None if WITH_VALUE.contains(&long) => push(long, next()),
                None => push(long, ""),
            }
            continue;
        }
        let Some(letters) = argument.strip_prefix('-') else {
            push(argument, "");
            continue;
        };
        for (at, letter) in letters.char_indices() {
            let behind = &letters[at + letter.len_utf8()..];
            let name = LETTERS.iter().find(|(own, _)| *own == letter).map(|(_, name)| *name);
            match name {
                // -c FILE is given as --config, and -n says that there is none.
                None if letter == 'c' => drop(if behind.is_empty() { next() } else { behind }),
                None if letter == 'n' => continue,
                None => push(&format!("-{letter}"), ""),
                Some(name) if WITH_VALUE.contains(&name) => push(name, if behind.is_empty() { next() } else { behind }),
                Some(name) => {
                    push(name, "");
                    continue;
                }
            }
            break;
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::super::coturn_options;
    use super::*;

    fn pairs(options: Vec<GivenOption>) -> Vec<(String, String, String)> {
        options.into_iter().map(|option| (option.place.to_string(), option.name, option.value)).collect()
    }

    fn of(place: &str, name: &str, value: &str) -> (String, String, String) {
        (place.to_owned(), name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_file_is_read_as_turnserver_reads_it() {
        let text = "\u{feff}# comment\n\nrealm=north.example\r\n  listening-port 3479\nuser\t=  \"alice:a b\"\n#min-port=1\nno-tls\nstale-nonce=\n\
                    cert=\"/etc/a b.pem\nrealm = x # y";
        assert_eq!(
            pairs(options(text)),
            [
                of("line 3", "realm", "north.example"),
                of("line 4", "listening-port", "3479"),
                of("line 5", "user", "alice:a b"),
                of("line 7", "no-tls", ""),
                of("line 8", "stale-nonce", ""),
                of("line 9", "cert", "/etc/a b.pem"),
                of("line 10", "realm", "x # y"),
            ]
        );
        let bare = options("min-port=49152 # low\nmax-port=65535\t#high\nrealm=a#b");
        assert_eq!(bare.iter().map(GivenOption::bare).collect::<Vec<_>>(), ["49152", "65535", "a#b"]);
    }

    #[test]
    fn arguments_are_read_as_turnserver_reads_them() {
        let line = "-n -c x.conf --realm=north.example --user alice:x -p 3479 -r south.example -vf -m4 -avX 203.0.113.7 --no-tls --stale-nonce \
                    -y";
        let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(
            pairs(arguments(&line)),
            [
                of("argument 4", "realm", "north.example"),
                of("argument 5", "user", "alice:x"),
                of("argument 7", "listening-port", "3479"),
                of("argument 9", "realm", "south.example"),
                of("argument 11", "verbose", ""),
                of("argument 11", "fingerprint", ""),
                of("argument 12", "relay-threads", "4"),
                of("argument 13", "lt-cred-mech", ""),
                of("argument 13", "verbose", ""),
                of("argument 13", "external-ip", "203.0.113.7"),
                of("argument 15", "no-tls", ""),
                of("argument 16", "stale-nonce", ""),
                of("argument 17", "-y", ""),
            ]
        );
    }

    #[test]
    fn every_letter_and_every_option_with_a_value_is_an_option() {
        for name in LETTERS.iter().map(|(_, name)| name).chain(WITH_VALUE) {
            assert!(coturn_options::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_file_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turnserver.conf");
        std::fs::write(&path, "x".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("which no turnserver.conf has"));
        assert!(read(&folder.path().join("none")).unwrap_err().to_string().contains("none can't be read"));
    }
}
