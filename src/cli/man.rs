//! `castway man`: castway(1) and a page for each command, from the description of the command line that parses it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::error::CliError;
use super::output::{print, print_bytes};
use crate::users::usage::{day_name, day_of};
use crate::whole_number;

/// The time that a page is said to be of, in builds that must not depend on the clock (reproducible-builds.org).
const DATE_VARIABLE: &str = "SOURCE_DATE_EPOCH";
/// The last second of the year 9999: a page has four digits for the year.
const LATEST_DATE_SECONDS: u64 = 253_402_300_799;

const ENVIRONMENT: &str = "\
Each setting is a variable as well: --turn-addr is CASTWAY_TURN_ADDR. A flag wins over the environment, and the environment over the file \
.env in the current folder. NO_COLOR turns colors off, and CLICOLOR_FORCE turns them on where there is no terminal.";

const FILES: [(&str, &str); 4] = [
    (".env", "Settings of a server that is started in this folder, one NAME=value a line."),
    ("/etc/castway/castway.env", "Settings of the service castway.service."),
    ("/var/lib/castway", "The data folder of the service."),
    ("data", "The data folder of a server that is started in this folder, unless --data-dir names another."),
];

const EXITS: [(&str, &str); 3] = [
    ("0", "It is done, or the server has stopped because it was asked to."),
    ("1", "It failed. Standard error says why."),
    ("64", "The command line or a setting can't be used. Nothing was started."),
];

const EXAMPLES: [(&str, &str); 4] = [
    ("castway", "Run the server. The pages are at http://localhost:8080/."),
    ("castway --domain cast.example.org", "Run it with a certificate of Let's Encrypt for this name, at the ports 80 and 443."),
    ("castway user add alice", "Add a user, who may use the relay."),
    ("castway doctor", "Say why casts don't work and what to do."),
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write all pages into this folder, which is made where it is missing
    folder: Option<PathBuf>,
}

/// Prints or writes the pages of `command`.
pub(super) fn run(arguments: &Arguments, command: clap::Command) -> Result<(), CliError> {
    let date = date(std::env::var_os(DATE_VARIABLE).as_deref(), SystemTime::now())?;
    let mut pages = pages(command, &date);
    match &arguments.folder {
        None => print_bytes(&pages.remove(0).1),
        Some(folder) => write(&pages, folder),
    }
}

fn write(pages: &[(String, Vec<u8>)], folder: &Path) -> Result<(), CliError> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
    for (name, page) in pages {
        let path = folder.join(name);
        fs::write(&path, page).with_context(|| format!("{} can't be written", path.display()))?;
    }
    print(format_args!("Wrote {} man pages into {}.", pages.len(), folder.display()))
}

/// The pages by the names of their files; castway(1) is the first.
fn pages(command: clap::Command, date: &str) -> Vec<(String, Vec<u8>)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, date, &mut pages);
    pages
}

fn add_pages(command: &clap::Command, date: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let man = Man::new(command.clone()).date(date).source(concat!("castway ", env!("CARGO_PKG_VERSION"))).manual("Castway");
    pages.push((man.get_filename(), page(&man, command).expect("a Vec takes what is written")));
    command.get_subcommands().for_each(|command| add_pages(command, date, pages));
}

fn page(man: &Man, command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let is_main = command.get_name() == "castway";
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    sections(is_main, command).to_writer(&mut page)?;
    Ok(without_repeated_preambles(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Each section comes with the same definition of the apostrophe, of which a page needs one.
fn without_repeated_preambles(page: &str) -> String {
    let is_preamble = |line: &str| line.starts_with(".ie \\n(.g .ds") || line.starts_with(".el .ds");
    let lines = page.lines().enumerate().filter(|(index, line)| *index < 2 || !is_preamble(line));
    lines.fold(String::new(), |text, (_, line)| text + line + "\n")
}

fn sections(is_main: bool, command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    if let Some(note) = command.get_after_help() {
        roff.control("SH", ["NOTES"]);
        let note = note.to_string();
        let mut lines = note.lines().peekable();
        while let Some(line) = lines.next() {
            if line.is_empty() {
                roff.control("PP", []);
                continue;
            }
            roff.text([roman(line.trim_end())]);
            if lines.peek().is_some_and(|next| !next.is_empty()) {
                roff.control("br", []);
            }
        }
    }
    if is_main {
        roff.control("SH", ["ENVIRONMENT"]);
        roff.text([roman(ENVIRONMENT)]);
        for (heading, rows) in [("FILES", &FILES[..]), ("EXIT STATUS", &EXITS), ("EXAMPLES", &EXAMPLES)] {
            roff.control("SH", [heading]);
            for (term, text) in rows {
                roff.control("TP", []);
                roff.text([bold(*term)]);
                roff.text([roman(*text)]);
            }
        }
    } else {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("castway"), roman("(1), which lists the settings")]);
    }
    roff
}

/// The day in the head of each page: that of the variable, if it is set. A value that can't be read is an error, because the build would
/// depend on the clock after all.
fn date(given: Option<&OsStr>, now: SystemTime) -> Result<String, CliError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(day_name(day_of(now))) };
    let seconds = given.to_str().and_then(|text| whole_number::read_in(text, &(0..=LATEST_DATE_SECONDS)));
    let seconds = seconds.ok_or_else(|| {
        let expected = whole_number::expected(&(0..=LATEST_DATE_SECONDS), "of seconds");
        CliError::Usage(format!("{DATE_VARIABLE}={given:?}: expected {expected}"))
    })?;
    Ok(day_name(day_of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::command;
    use crate::cli::help::visible_command;

    fn visible() -> clap::Command {
        visible_command(&command())
    }

    fn all() -> Vec<(String, String)> {
        let pages = pages(visible(), "2026-01-31");
        pages.into_iter().map(|(name, page)| (name, String::from_utf8(page).unwrap())).collect()
    }

    #[test]
    fn each_command_has_a_page_and_what_is_hidden_has_none() {
        let pages = all();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "castway.1");
        for name in ["castway-run.1", "castway-user.1", "castway-user-add.1", "castway-config-check.1", "castway-man.1"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("data-folder") || name.contains("help")), "{names:?}");
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{names:?}");
    }

    #[test]
    fn the_main_page_has_the_settings_and_a_commands_page_has_not() {
        let pages = all();
        let page = |name: &str| pages.iter().find(|(known, _)| known == name).map(|(_, page)| page.as_str()).unwrap();
        let main = page("castway.1");
        for part in ["2026-01-31", "CASTWAY_TURN_ADDR", ".SH \"RELAY: LIMITS\"", "castway\\-doctor(1)", "EXIT STATUS"] {
            assert!(main.contains(part), "{part} in {main}");
        }
        let add = page("castway-user-add.1");
        assert!(add.contains("generate") && add.contains("data\\-dir") && !add.contains("TURN_ADDR"), "{add}");
    }

    #[test]
    fn a_date_that_is_given_counts_and_one_that_cannot_be_read_is_an_error() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let date = |given: Option<&str>| date(given.map(OsStr::new), now);
        assert_eq!((date(None).unwrap(), date(Some("")).unwrap()), ("1970-01-02".to_owned(), "1970-01-02".to_owned()));
        assert_eq!(date(Some("1800000000")).unwrap(), "2027-01-15");
        assert_eq!(date(Some("253402300799")).unwrap(), "9999-12-31");
        for bad in ["soon", "-1", "253402300800", "99999999999999999999"] {
            match date(Some(bad)) {
                Err(CliError::Usage(why)) => assert!(why.contains("expected a whole number of seconds from 0"), "{why}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }

    #[test]
    fn pages_are_written_into_a_new_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("share/man1");
        run(&Arguments { folder: Some(folder.clone()) }, visible()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), all().len());
        let blocked = parent.path().join("file");
        fs::write(&blocked, "").unwrap();
        match run(&Arguments { folder: Some(blocked.join("man1")) }, visible()) {
            Err(CliError::Failed(error)) => assert!(error.to_string().contains("can't be made"), "{error:#}"),
            other => panic!("{other:?}"),
        }
    }
}
