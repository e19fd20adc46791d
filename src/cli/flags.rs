//! The flags of settings that are true or false, which need no value: `--no-tls` is `--no-tls=true`.

use std::ffi::OsString;

use clap::Arg;

/// The placeholder of such a setting.
const BOOL: &str = "BOOL";

/// The flag of a setting, which needs no value where the setting is true or false.
pub(super) fn complete(flag: Arg) -> Arg {
    if is_bool(&flag) { flag.num_args(0..=1).require_equals(true).default_missing_value("true") } else { flag }
}

/// Whether its setting is true or false.
pub(super) fn is_bool(flag: &Arg) -> bool {
    flag.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == BOOL))
}

/// The arguments, where `--no-tls true`, the form of older versions, is written `--no-tls=true`. No command is named true or false.
pub(super) fn joined(args: &[OsString], command: &clap::Command) -> Vec<OsString> {
    let flags: Vec<_> = command.get_arguments().filter(|flag| is_bool(flag)).filter_map(Arg::get_long).collect();
    let is_flag = |arg: &OsString| arg.to_str().and_then(|arg| arg.strip_prefix("--")).is_some_and(|name| flags.contains(&name));
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let mut joined: Vec<OsString> = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        match joined.last_mut().filter(|last| index < end && (arg == "true" || arg == "false") && is_flag(last)) {
            Some(last) => {
                last.push("=");
                last.push(arg);
            }
            None => joined.push(arg.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::{CommandLine, command};
    use crate::config::{Config, Settings};

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_flag_alone_is_true() {
        for (line, value) in [
            ("castway --no-tls", "true"),
            ("castway --no-tls run", "true"),
            ("castway --no-tls=true", "true"),
            ("castway --no-tls=false", "false"),
            ("castway --no-tls true", "true"),
            ("castway --no-tls false run", "false"),
            ("castway user list --no-tls", "true"),
            ("castway user remove --no-tls=false flyer", "false"),
            ("castway --no-tls --data-dir x", "true"),
        ] {
            let settings = CommandLine::parse(&words(line)).expect(line).settings;
            assert_eq!(settings.no_tls.as_deref(), Some(value), "{line}");
        }
    }

    #[test]
    fn every_setting_that_is_true_or_false_has_such_a_flag() {
        let defaults: Vec<_> = Settings::defaults().set_fields().collect();
        let is_true_or_false = |field: &str| defaults.iter().any(|(name, value)| name == field && value.parse::<bool>().is_ok());
        for flag in command().get_arguments() {
            let field = flag.get_id().as_str();
            assert_eq!(is_bool(flag), is_true_or_false(field) || field == "cert_trusted", "{field}");
        }
    }

    #[test]
    fn another_value_is_a_problem_that_says_what_is_expected() {
        let settings = CommandLine::parse(&words("castway --no-tls=yes")).unwrap().settings;
        let problems = Config::read(&settings).expect_err("no boolean").0;
        assert_eq!(problems, [r#"CASTWAY_NO_TLS="yes": expected true or false"#]);
    }

    #[test]
    fn only_the_value_of_such_a_flag_is_joined_to_it() {
        let join = |line: &str| joined(&words(line), &command());
        assert_eq!(join("castway --no-tls true run"), words("castway --no-tls=true run"));
        for line in ["castway --realm true", "castway --no-tls -- true", "castway user add true", "castway --no-tls=true false"] {
            assert_eq!(join(line), words(line), "{line}");
        }
    }
}
