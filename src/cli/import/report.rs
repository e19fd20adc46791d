//! What the import prints, and the file of settings that it writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::config_file::GivenOption;
use super::coturn_options::COTURN_OPTIONS;
use super::outcome::{Assignment, Outcome};
use crate::cli::escape::printable_part;
use crate::config::{Settings, VARIABLE_PREFIX};

/// Options whose values are never shown.
const PRIVATE: &[&str] = &[
    "static-auth-secret",
    "user",
    "pkey-pwd",
    "cli-password",
    "stateless-nonce-secret",
    "psql-userdb",
    "sql-userdb",
    "mysql-userdb",
    "mongo-userdb",
    "redis-userdb",
    "redis-statsdb",
];
const NOT_SHOWN: &str = "(not shown)";

/// An option as it is set, without what is secret in it.
pub(super) fn source(option: &GivenOption) -> String {
    let GivenOption { place, name, value } = option;
    let is_known = COTURN_OPTIONS.iter().any(|known| known.name == *name);
    let value = match value.split_once(':') {
        Some((user, _)) if name == "user" => format!("{user}:{NOT_SHOWN}"),
        _ if value.is_empty() => String::new(),
        // A misspelled option may be a secret.
        _ if PRIVATE.contains(&name.as_str()) || !is_known => NOT_SHOWN.to_owned(),
        _ => value.clone(),
    };
    let equals = if value.is_empty() { "" } else { "=" };
    printable_part(&format!("{place}: {name}{equals}{value}"))
}

/// What an option becomes, in words.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let note = |note: &Option<String>| note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let text = match outcome {
        Outcome::Set(assignments, sentence) => {
            let all: Vec<String> = assignments.iter().map(assignment).collect();
            format!("{}{}", all.join(" "), note(sentence))
        }
        Outcome::Default(own, sentence) => format!("{}, which is the default{}", assignment(own), note(sentence)),
        Outcome::ByHand(variable, sentence) => format!("nothing; see {variable}: {sentence}"),
        Outcome::Users(words) => words.clone(),
        Outcome::Nothing(sentence) => format!("nothing: {sentence}"),
        Outcome::Replaced(place) => format!("nothing: {place} sets it again."),
        Outcome::Unknown(None) => "nothing: turnserver has no such option.".to_owned(),
        Outcome::Unknown(Some(meant)) => format!("nothing: turnserver has no such option; perhaps {meant} is meant."),
        Outcome::Unusable(why) => format!("nothing, because the value can't be used: {why}"),
    };
    printable_part(&text)
}

fn is_secret(variable: &str) -> bool {
    let field = variable.trim_start_matches(VARIABLE_PREFIX).to_lowercase();
    Settings::SECRETS.contains(&field.as_str())
}

fn assignment(Assignment { variable, value }: &Assignment) -> String {
    if is_secret(variable) { format!("{variable}={NOT_SHOWN}") } else { format!("{variable}={value}") }
}

/// The settings as a file has them, without the secrets.
pub(super) fn settings(settings: &BTreeMap<&'static str, String>) -> String {
    let line = |(variable, value): (&&str, &String)| match is_secret(variable) {
        true => format!("{variable}={NOT_SHOWN}"),
        false => printable_part(&format!("{variable}={}", quoted(value))),
    };
    settings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Writes the settings with the secrets to a new file that only its owner reads.
pub(super) fn write(path: &Path, settings: &BTreeMap<&'static str, String>) -> anyhow::Result<()> {
    let mut text = "# Made by `castway import coturn`. `castway --help` describes each setting.\n".to_owned();
    for (variable, value) in settings {
        let _ = writeln!(text, "{variable}={}", quoted(value));
    }
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let wrote = open.and_then(|mut file| file.write_all(text.as_bytes()));
    wrote.with_context(|| format!("{} can't be written; it must not exist yet", path.display()))
}

/// A value as .env and the service's file take it.
fn quoted(value: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "_.,:/[]@%+=-".contains(character);
    if value.chars().all(is_plain) {
        value.to_owned()
    } else if value.contains(['\'', '\\']) {
        let mut text = "\"".to_owned();
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '$' | '`') {
                text.push('\\');
            }
            text.push(character);
        }
        text + "\""
    } else {
        format!("'{value}'")
    }
}

#[cfg(test)]
mod tests {
    use super::super::config_file::options;
    use super::*;
    use crate::cli::systemd_env_file;

    #[test]
    fn no_secret_is_shown() {
        let text = "static-auth-secret=hunter2\nuser=alice:hunter2\nuser=hunter2\nstatic-auth-secert=hunter2\nmysql-userdb=\"host=x password=hunter2\"\n\
                    cli-password=hunter2\nrealm=north";
        let shown: Vec<String> = options(text).iter().map(source).collect();
        assert!(shown.iter().all(|line| !line.contains("hunter2")), "{shown:#?}");
        assert_eq!((shown[1].as_str(), shown[6].as_str()), ("line 2: user=alice:(not shown)", "line 7: realm=north"));
        let of = BTreeMap::from([("CASTWAY_STATIC_AUTH_SECRET", "hunter2".to_owned()), ("CASTWAY_REALM", "a b".to_owned())]);
        assert_eq!(settings(&of), "CASTWAY_REALM='a b'\nCASTWAY_STATIC_AUTH_SECRET=(not shown)");
    }

    #[test]
    fn a_written_file_reads_back_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("castway.env");
        let values =
            ["plain", "two words", "it's", "back\\slash", "\"quoted\"", "do$llar", "#hash", "[::]:3478", "日本", "a'b\"c\\d$e"];
        for value in values {
            let _ = std::fs::remove_file(&path);
            write(&path, &BTreeMap::from([("CASTWAY_REALM", value.to_owned())])).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let of_service: Vec<_> =
                systemd_env_file::variables(&text).into_iter().map(|variable| (variable.name, variable.value)).collect();
            assert_eq!(of_service, [("CASTWAY_REALM".to_owned(), value.to_owned())], "{text}");
            let own: Vec<_> = dotenvy::from_path_iter(&path).unwrap().map(Result::unwrap).collect();
            assert_eq!(own, of_service, "{text}");
        }
        assert!(write(&path, &BTreeMap::new()).unwrap_err().to_string().contains("must not exist yet"));
    }
}
