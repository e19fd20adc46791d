//! What the import prints, and the file of settings that it writes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::config_file::{GivenOption, Place};
use super::coturn_options;
use super::env_value::{BY_HAND, written};
use super::names::shown_name;
use super::outcome::{Assignment, Outcome};
use super::shown_values::shown_value;
use crate::cli::escape::printable_part;
use crate::config::{NOT_SHOWN, Settings, VARIABLE_PREFIX, without_userinfo};

/// An option as it is set, without what is secret in it.
pub(super) fn source(option: &GivenOption) -> String {
    let GivenOption { place, name, value } = option;
    if coturn_options::find(name).is_none() {
        return format!("{place}: {}", unknown(name, value));
    }
    let value = match value.split_once(':') {
        Some((user, _)) if name == "user" => format!("{user}:{NOT_SHOWN}"),
        _ if value.is_empty() => String::new(),
        _ => shown_value(option).unwrap_or_else(|| NOT_SHOWN.to_owned()),
    };
    let equals = if value.is_empty() { "" } else { "=" };
    printable_part(&format!("{place}: {name}{equals}{value}"))
}

/// An option that coturn doesn't have: perhaps a misspelled one with a secret, or a part of a secret.
fn unknown(name: &str, value: &str) -> String {
    let shown = shown_name(name, !value.is_empty());
    match (shown, value.is_empty()) {
        (None, _) => NOT_SHOWN.to_owned(),
        (Some(shown), _) if shown.len() < name.len() => format!("{shown}…"),
        (Some(shown), true) => shown.to_owned(),
        (Some(shown), false) => format!("{shown} (value not shown)"),
    }
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

/// A value whose URLs show no password. Other values with an @ are realms and names of files.
fn without_passwords(value: &str) -> Cow<'_, str> {
    if value.contains("://") { without_userinfo(value).into() } else { value.into() }
}

fn assignment(Assignment { variable, value }: &Assignment) -> String {
    if is_secret(variable) { format!("{variable}={NOT_SHOWN}") } else { format!("{variable}={}", without_passwords(value)) }
}

/// A sentence on the options that turnserver has not, and on those whose value can't be used; `None`: there are none.
pub(super) fn not_understood(outcomes: &[(GivenOption, Outcome)]) -> Option<String> {
    let is_not = |outcome: &Outcome| matches!(outcome, Outcome::Unknown(_) | Outcome::Unusable(_));
    let (mut lines, mut arguments) = (BTreeSet::new(), BTreeSet::new());
    for (option, _) in outcomes.iter().filter(|(_, outcome)| is_not(outcome)) {
        match option.place {
            Place::Line(number) => lines.insert(number),
            Place::Argument(number) => arguments.insert(number),
        };
    }
    let sentence = |word: &str, numbers: BTreeSet<usize>| {
        let list: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let what = if list.len() == 1 { format!("{word} was") } else { format!("{word}s were") };
        (!list.is_empty()).then(|| format!("{} {what} not understood: {}.", list.len(), list.join(", ")))
    };
    let sentences: Vec<String> = sentence("line", lines).into_iter().chain(sentence("argument", arguments)).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// The settings as a file has them, without the secrets.
pub(super) fn settings(settings: &BTreeMap<&'static str, String>) -> String {
    let line = |(variable, value): (&&str, &String)| match is_secret(variable) {
        true => format!("{variable}={NOT_SHOWN}"),
        false => match written(&without_passwords(value)) {
            Some(text) => printable_part(&format!("{variable}={text}")),
            None => format!("{variable}={NOT_SHOWN}: {BY_HAND}"),
        },
    };
    settings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Writes the settings with the secrets to a new file that only its owner reads. A setting that is left to the operator is a comment there.
pub(super) fn write(path: &Path, settings: &BTreeMap<&'static str, String>) -> anyhow::Result<()> {
    let mut text = "# Made by `castway import coturn`. `castway --help` describes each setting.\n".to_owned();
    for (variable, value) in settings {
        let _ = match written(value) {
            Some(value) => writeln!(text, "{variable}={value}"),
            None => writeln!(text, "# {variable} is set by hand. {BY_HAND}"),
        };
    }
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let wrote = open.and_then(|mut file| file.write_all(text.as_bytes()));
    wrote.with_context(|| format!("{} can't be written; it must not exist yet", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::config_file::options;
    use super::*;

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

    /// A line that turnserver does not understand may be anything: the rest of a secret, or an option with the wrong sign behind its name.
    #[test]
    fn of_a_line_that_is_no_option_only_a_name_is_shown() {
        let long = format!("{}=hunter2", "o".repeat(41));
        for (line, shown) in [
            ("static-auth-secret:hunter2", "line 1: static-auth-secret…"),
            ("static-auth-secret: hunter2", "line 1: static-auth-secret…"),
            ("static-auth-secret;hunter2=x", "line 1: static-auth-secret…"),
            ("static_auth_secert:hunter2", "line 1: static_auth_secert…"),
            ("hunter2", "line 1: (not shown)"),
            ("hunter2==", "line 1: (not shown)"),
            ("hunter2/+x=y", "line 1: (not shown)"),
            ("\u{1b}[2Jhunter2", "line 1: (not shown)"),
            (&long, "line 1: (not shown)"),
            ("some-option=hunter2", "line 1: some-option (value not shown)"),
            ("bogus line here", "line 1: bogus (value not shown)"),
            ("=hunter2", "line 1: (not shown)"),
            ("no_tls", "line 1: no_tls"),
            ("x-flag", "line 1: (not shown)"),
        ] {
            let options = options(line);
            assert_eq!(options.iter().map(source).collect::<Vec<_>>(), [shown], "{line:?}");
        }
        let arguments = ["-y", "--static-auth-secert", "hunter2", "--lisening-port:hunter2"].map(str::to_owned);
        let shown: Vec<_> = super::super::config_file::arguments(&arguments).iter().map(source).collect();
        assert_eq!(
            shown,
            ["argument 1: -y", "argument 2: static-auth-secert", "argument 3: (not shown)", "argument 4: lisening-port…"]
        );
    }

    #[test]
    fn a_file_is_written_once_and_has_what_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("castway.env");
        let of = BTreeMap::from([
            ("CASTWAY_REALM", "north\nCASTWAY_NO_TLS=true".to_owned()),
            ("CASTWAY_STATIC_AUTH_SECRET", "it's `hunter2`".to_owned()),
        ]);
        write(&path, &of).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (comments, settings): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
        assert_eq!(settings, ["CASTWAY_STATIC_AUTH_SECRET=\"it's `hunter2`\""]);
        assert!(comments[1].starts_with("# CASTWAY_REALM is set by hand. ") && !text.contains("north"), "{text}");
        assert!(
            super::settings(&of).starts_with("CASTWAY_REALM=(not shown): The value has a line break"),
            "{}",
            super::settings(&of)
        );
        assert!(write(&path, &of).unwrap_err().to_string().contains("must not exist yet"));
    }
}
