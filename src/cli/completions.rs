//! `castway completions`: what a shell completes, from the description of the command line that parses it.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ValueHint};
use clap_complete::Shell;

use super::error::CliError;
use super::flags::is_bool;
use super::output::print_bytes;

/// Below the help of the command.
const HELP_NOTE: &str = "\
bash: castway completions bash > /usr/share/bash-completion/completions/castway
zsh:  castway completions zsh > /usr/local/share/zsh/site-functions/_castway
fish: castway completions fish > /usr/share/fish/vendor_completions.d/castway.fish";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP_NOTE)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions of `command`.
pub(super) fn run(arguments: &Arguments, command: clap::Command) -> Result<(), CliError> {
    print_bytes(&script(arguments.shell, command))
}

fn script(shell: Shell, command: clap::Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command.mut_args(complete), "castway", &mut script);
    script
}

/// The flag of a setting, with what its value can be and with the beginning of its help.
fn complete(flag: Arg) -> Arg {
    let help = first_clause(&flag.get_help().map(ToString::to_string).unwrap_or_default());
    let flag = if is_bool(&flag) { flag.value_parser(PossibleValuesParser::new(["true", "false"])) } else { flag };
    let hint = match flag.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
        Some("FILE") => ValueHint::FilePath,
        Some("DIR") => ValueHint::DirPath,
        _ => ValueHint::Other,
    };
    flag.help(help).value_hint(hint)
}

/// The text up to what only explains it.
fn first_clause(text: &str) -> String {
    let ends = text.match_indices([':', ';', '.']).filter(|(end, _)| {
        let (before, after) = (&text[..*end], &text[end + 1..]);
        after.starts_with(' ') && !before.ends_with("e.g")
    });
    let end = ends.map(|(end, _)| end).next().unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::command;
    use crate::cli::help::visible_command;

    fn text(shell: Shell) -> String {
        String::from_utf8(script(shell, visible_command(&command()))).unwrap()
    }

    #[test]
    fn every_shell_gets_commands_and_settings_and_nothing_that_is_hidden() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = text(shell);
            for part in ["doctor", "passwd", "password-stdin", "turn-addr", "no-tls"] {
                assert!(script.contains(part), "{shell} lacks {part}");
            }
            assert!(!script.contains("data-folder"), "{shell}");
        }
    }

    #[test]
    fn a_command_gets_its_own_flags_and_the_data_folder() {
        let fish = text(Shell::Fish);
        let of_list = |flag: &str| fish.lines().any(|line| line.contains("from list") && line.contains(&format!("-l {flag} ")));
        assert!(of_list("data-dir") && of_list("json") && !of_list("turn-addr"), "{fish}");
    }

    #[test]
    fn a_shell_shows_the_first_clause_of_a_help() {
        for (text, clause) in [
            ("Turn TLS off because a proxy terminates it: true or false", "Turn TLS off because a proxy terminates it"),
            ("TURN realm; after a change users must set their passwords again", "TURN realm"),
            ("Another address, e.g. [::]:8089", "Another address, e.g. [::]:8089"),
        ] {
            assert_eq!(first_clause(text), clause);
        }
    }
}
