//! What `-h`, `--help` and the man pages say.
//!
//! `-h` fits a terminal: the commands by kind, and the settings that most people set. `--help` has all settings under their headings. The help
//! of a subcommand has no settings, which would hide its own few arguments.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::LazyLock;

use clap::Arg;
use clap::error::ErrorKind;

use crate::config::{COMPUTED_DEFAULTS, SETTING_GROUPS, SettingGroup, Settings, variable_of};

/// Commands that belong together, in the help.
pub(super) struct CommandKind {
    heading: &'static str,
    commands: &'static [&'static str],
}

/// Every command that is not hidden is in one of them.
pub(super) const COMMAND_KINDS: [CommandKind; 4] = [
    CommandKind { heading: "The server", commands: &["run", "config", "doctor", "health"] },
    CommandKind { heading: "Users and their credentials", commands: &["user", "credentials", "secret", "usage"] },
    CommandKind { heading: "While it runs", commands: &["status", "sessions", "end", "block", "unblock", "blocks"] },
    CommandKind { heading: "Set up, keep and move", commands: &["backup", "restore", "import", "completions", "man"] },
];

/// The settings that most people set, each in one line.
const COMMON_SETTINGS: [(&str, &str); 8] = [
    ("domain", "This server's name, for which it gets a certificate"),
    ("http_addr", "Where the pages and the API are served without TLS"),
    ("public_url", "The address that people type, behind a proxy"),
    ("no_tls", "No TLS here, because a proxy terminates it"),
    ("turn_addr", "Where the relay listens"),
    ("external_ip", "The relay's public address, behind NAT; or auto"),
    ("turn_access", "Who gets relay credentials: open, key or users"),
    ("data_dir", "Folder of the database and the certificates"),
];
const COMMON_HEADING: &str = "Settings that most people set";

const SHORT_NOTE: &str = "\
Each setting is a flag, a variable (CASTWAY_TURN_ADDR) or a line of .env.
All settings: castway --help. The help of a command: castway COMMAND --help.";

const LONG_NOTE: &str = "\
Without a command, castway runs the server: open /tv on the receiving screen and /cast on the sharing one.

Each setting can come from its flag, from the environment or from a file .env in the current folder; the first of these that \
has it wins. `castway config check` shows the values in force, and where each comes from; `castway config check --all` lists all settings.";

/// Below the help of each command that reads settings.
const SETTINGS_NOTE: &str = "The settings that `castway --help` lists can be given here too, for example --data-dir.";
const FOLDER_NOTE: &str = "\
Without a data folder the command takes ./data of the current folder or that of the service (/etc/castway/castway.env, \
/var/lib/castway), whichever exists.";
const RECORD_NOTE: &str = "Realm, secrets and the other settings come from what the server there was last started with.";
const ADDRESS_NOTE: &str = "The command asks the address that flags, the environment, .env or the settings of the service name.";
/// Commands that follow what the server recorded of its settings.
const RECORD_COMMANDS: [&str; 8] = ["doctor", "user", "credentials", "secret", "usage", "block", "unblock", "blocks"];

/// Below the help of a command and its subcommands; `None`: it reads no settings.
fn note(command: &str) -> Option<String> {
    Some(match command {
        "completions" | "man" => return None,
        "health" => format!("{SETTINGS_NOTE}\n\n{ADDRESS_NOTE}"),
        _ if RECORD_COMMANDS.contains(&command) => format!("{SETTINGS_NOTE}\n\n{FOLDER_NOTE} {RECORD_NOTE}"),
        _ => format!("{SETTINGS_NOTE}\n\n{FOLDER_NOTE}"),
    })
}

static DEFAULTS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| Settings::defaults().set_fields().collect());

/// The flag of a setting with its help. clap itself gets no defaults and no variables: what is not on the command line may come from
/// `.env` or from the server's record, and clap would print the variables' values as given.
pub(super) fn describe(flag: Arg) -> Arg {
    let field = flag.get_id().to_string();
    let text = flag.get_help().map(ToString::to_string).unwrap_or_default();
    let default = DEFAULTS.iter().find(|(name, _)| *name == field).map(|(_, default)| format!("[default: {default}] "));
    // In a line of its own, so that the name of the variable is never broken.
    let computed = COMPUTED_DEFAULTS.iter().find(|computed| computed.field == field);
    let computed = computed.map(|computed| format!("[default: {}]\n", computed.text));
    let default = default.or(computed).unwrap_or_default();
    let long = format!("{text}\n{default}[env: {}]", variable_of(&field));
    let (group, order) = position(&field);
    let flag = flag.long_help(long).help_heading(group.heading).display_order(order);
    match COMMON_SETTINGS.iter().find(|(common, _)| *common == field) {
        Some((_, line)) => flag.help(*line),
        None => flag.hide_short_help(true),
    }
}

/// The group of a setting, and its place in the order of all.
fn position(field: &str) -> (&'static SettingGroup, usize) {
    let fields = SETTING_GROUPS.iter().flat_map(|group| group.fields.iter().map(move |field| (group, *field)));
    let found = fields.enumerate().find(|(_, (_, known))| *known == field);
    found.map(|(order, (group, _))| (group, order)).expect("a test checks that every setting is in a group")
}

/// The help that `args` ask `command` for, where that is what `error` is; clap derives another one.
pub(super) fn instead_of(error: clap::Error, args: &[OsString], command: &clap::Command) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        return error;
    }
    let all = command.clone();
    let form = match command_in(args, command).as_deref() {
        None | Some("run") if args.iter().any(|arg| arg == "-h") => short(all),
        None | Some("run") => with_kinds(all).after_help(LONG_NOTE),
        Some(_) => with_notes(all.mut_args(|arg| arg.hide(true))),
    };
    form.try_get_matches_from(args).err().unwrap_or(error)
}

/// The command of `all` that `args` name, even where the rest of them can't be read.
pub(super) fn command_in(args: &[OsString], all: &clap::Command) -> Option<String> {
    let lenient = all.clone().disable_help_flag(true).ignore_errors(true);
    let asks = |arg: &OsString| ["--help", "-h", "help"].iter().any(|help| arg == help);
    let matches = lenient.try_get_matches_from(args.iter().filter(|arg| !asks(arg))).ok()?;
    matches.subcommand_name().map(str::to_owned)
}

fn short(all: clap::Command) -> clap::Command {
    let common = |flag: Arg| {
        let order = COMMON_SETTINGS.iter().position(|(common, _)| *common == flag.get_id().as_str());
        flag.help_heading(COMMON_HEADING).display_order(order.unwrap_or_default())
    };
    with_kinds(all.mut_args(common)).after_help(SHORT_NOTE)
}

/// The command line as completions and man pages show it: without what is hidden, and with the settings only where they start a server;
/// commands have `--data-dir` alone of them.
pub(super) fn visible_command(all: &clap::Command) -> clap::Command {
    let is_data_dir = |flag: &&Arg| flag.get_id() == "data_dir";
    let settings = all.get_arguments().map(|flag| flag.clone().hide_short_help(false).global(is_data_dir(&flag)));
    let settings: Vec<_> = settings.collect();
    let subcommands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let subcommands = subcommands.map(|command| match command.get_name() {
        "run" => command.args(settings.iter().filter(|flag| !is_data_dir(flag)).cloned()),
        _ => command,
    });
    clap::Command::new("castway")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .override_usage("castway [OPTIONS] [COMMAND]")
        .args(&settings)
        .subcommands(subcommands)
}

/// The command with its subcommands under the headings of their kinds.
fn with_kinds(command: clap::Command) -> clap::Command {
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\n{{all-args}}{{after-help}}", kinds(&command));
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let hidden = names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |command| command.hide(true)));
    hidden.override_usage("castway [OPTIONS] [COMMAND]").help_template(template)
}

/// The commands under the headings of their kinds, a line each.
fn kinds(command: &clap::Command) -> String {
    let (header, literal) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let width = command.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or_default();
    let mut text = String::new();
    for kind in COMMAND_KINDS {
        let _ = writeln!(text, "\n{header}{}:{header:#}", kind.heading);
        for name in kind.commands {
            let about = command.find_subcommand(name).and_then(|command| command.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
    }
    text
}

/// Adds a note about the omitted settings below the help of each command that reads some.
fn with_notes(command: clap::Command) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |all, name| match note(&name) {
        Some(note) => all.mut_subcommand(name, |command| with_note(command, &note)),
        None => all,
    })
}

/// Adds the note to a command and its subcommands, at any depth.
fn with_note(command: clap::Command, note: &str) -> clap::Command {
    let own = command.get_after_help().map(|own| format!("{own}\n\n")).unwrap_or_default();
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = command.after_help(format!("{own}{note}"));
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |command| with_note(command, note)))
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::cli::command_line::{command, said as help};

    #[test]
    fn every_command_is_in_one_kind() {
        let command = command();
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        let mut names: Vec<_> = visible.map(|command| command.get_name().to_owned()).collect();
        let mut listed: Vec<_> = COMMAND_KINDS.iter().flat_map(|kind| kind.commands).map(|name| (*name).to_owned()).collect();
        names.sort();
        listed.sort();
        assert_eq!(names, listed);
    }

    #[test]
    fn the_short_help_fits_a_terminal() {
        let short = help("castway -h");
        assert!(short.lines().count() <= 48, "{} lines: {short}", short.lines().count());
        assert!(short.lines().all(|line| line.width() <= 80), "{short}");
        for part in
            ["castway [OPTIONS] [COMMAND]", "  doctor       Say why", "--external-ip <LIST>", "--no-tls[=<BOOL>]", "--help"]
        {
            assert!(short.contains(part), "{part}: {short}");
        }
        assert!(!short.contains("--max-bitrate") && !short.contains("data-folder"), "{short}");
    }

    #[test]
    fn the_long_help_has_every_setting_under_its_heading_with_its_default() {
        let long = help("castway --help");
        // clap begins a heading at the first setting that has it.
        let headings = SETTING_GROUPS.map(|group| long.find(&format!("\n{}:\n", group.heading)));
        assert!(headings.is_sorted(), "the settings begin the groups in another order: {long}");
        for group in &SETTING_GROUPS {
            let start = long.find(&format!("\n{}:\n", group.heading)).unwrap_or_else(|| panic!("{}: {long}", group.heading));
            let mut of_group = &long[start + 1..];
            for field in group.fields {
                let flag = format!("      --{}", field.replace('_', "-"));
                let start = of_group.find(&flag).unwrap_or_else(|| panic!("{flag} in {of_group}"));
                of_group = &of_group[start..];
                assert!(of_group.contains(&format!("[env: {}]", variable_of(field))), "{field}");
            }
        }
        assert!(long.contains("[default: [::]:3478] [env: CASTWAY_TURN_ADDR]"), "{long}");
        assert!(long.contains("[default: the number of processor cores, 4 at most]\n"), "{long}");
        assert!(long.contains("  doctor       Say why"), "{long}");
        assert_eq!(help("castway help"), long);
    }

    #[test]
    fn a_subcommands_help_has_its_own_arguments_and_no_settings() {
        for line in [
            "castway user --help",
            "castway user",
            "castway user add -h",
            "castway help secret",
            "castway --data-dir x user add -h",
        ] {
            let help = help(line);
            assert!(!help.contains("HTTP_ADDR") && !help.contains("--http-addr"), "{line}: {help}");
            assert!(help.contains(SETTINGS_NOTE), "{line}: {help}");
        }
        assert!(help("castway user add --help").contains("--generate"));
        assert!(help("castway run --help").contains("--http-addr"));
    }

    #[test]
    fn a_commands_help_says_what_is_true_of_that_command() {
        // What clap has wrapped is compared in one line.
        let help = |line: &str| help(line).split_whitespace().collect::<Vec<_>>().join(" ");
        for (line, notes) in [
            ("castway user add --help", &[SETTINGS_NOTE, FOLDER_NOTE, RECORD_NOTE][..]),
            ("castway doctor --help", &[SETTINGS_NOTE, FOLDER_NOTE, RECORD_NOTE]),
            ("castway config check --help", &[SETTINGS_NOTE, FOLDER_NOTE]),
            ("castway backup --help", &[SETTINGS_NOTE, FOLDER_NOTE]),
            ("castway health --help", &[SETTINGS_NOTE, ADDRESS_NOTE]),
            ("castway completions --help", &[]),
            ("castway man --help", &[]),
        ] {
            let help = help(line);
            for note in [SETTINGS_NOTE, FOLDER_NOTE, RECORD_NOTE, ADDRESS_NOTE] {
                assert_eq!(help.contains(note), notes.contains(&note), "{line}: {help}");
            }
        }
        assert!(help("castway health --help").contains("The exit status is 0 if it is ready, and 1 if it is not"));
        assert!(
            command().get_subcommands().all(|command| !RECORD_COMMANDS.contains(&command.get_name()) || !command.is_hide_set())
        );
    }
}
