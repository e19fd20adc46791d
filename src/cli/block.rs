//! `castway block`, `castway unblock` and `castway blocks`: through the running server, or in the database where none runs.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::database::with_store;
use super::error::CliError;
use super::figures::time;
use super::installation::Installation;
use super::output::{Json, print, print_json, terminal_width};
use super::table::{Column, fitted_table};
use crate::addresses::interfaces;
use crate::config::Config;
use crate::control::client::{ANSWER_TIMEOUT, AskError, ask};
use crate::operator::bans::{BY_COMMAND, BanRow, ThrottledRow};
use crate::users::blocking::{self, BlockError};
use crate::users::credentials::unix_seconds;
use crate::users::{ProtectedNetworks, Store};
use crate::whole_number;

const BLOCK_HELP_NOTE: &str = "\
A single IPv6 address stands for its /64, in which a household changes its address every day; ADDRESS/128 is that address alone. \
Loopback, trusted proxies and this machine's own addresses can't be blocked.";

#[derive(Debug, Args)]
#[command(after_help = BLOCK_HELP_NOTE)]
pub(super) struct Block {
    /// An address, a network such as 198.51.100.0/24, or user:NAME
    target: String,
    /// How long: 45s, 30m, 1h, 2d or 1w [default: until somebody unblocks it]
    #[arg(long = "for", value_name = "TIME", value_parser = read_time)]
    time: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Unblock {
    /// What was blocked, the id of the ban, or an address that is throttled
    target: String,
}

pub(super) async fn block(Block { target, time }: Block, installation: &Installation) -> Result<(), CliError> {
    with_store(installation, &[], async |store: &Store, config: &Config| {
        let seconds = time.map(|time| time.as_secs());
        if let Some(answer) = asked(installation, &json!({ "ask": "block", "target": target, "seconds": seconds }))? {
            return print(answer["done"].as_str().unwrap_or_default());
        }
        let protected = ProtectedNetworks::new(&config.http.trusted_proxies, interfaces::addresses());
        let blocked = blocking::block(store, &protected, &target, time, BY_COMMAND, SystemTime::now()).await;
        print(blocked.map_err(why)?.1)
    })
    .await
}

pub(super) async fn unblock(Unblock { target }: Unblock, installation: &Installation) -> Result<(), CliError> {
    with_store(installation, &[], async |store: &Store, _: &Config| {
        if let Some(answer) = asked(installation, &json!({ "ask": "unblock", "target": target }))? {
            return print(answer["done"].as_str().unwrap_or_default());
        }
        let ended = blocking::unblock(store, &target, SystemTime::now()).await.map_err(why)?;
        if ended.is_empty() {
            let hint = blocking::hint_of_user(store, &target).await?;
            return Err(anyhow!("{target:?} is not blocked{hint}").into());
        }
        print(format_args!("Unblocked {}.", ended.join(" and ")))
    })
    .await
}

pub(super) async fn blocks(format: Json, installation: &Installation) -> Result<(), CliError> {
    with_store(installation, &[], async |store: &Store, _: &Config| {
        let now = SystemTime::now();
        let bans: Vec<_> = store.bans(now).await?.into_iter().map(BanRow::from).collect();
        let throttled: Vec<ThrottledRow> = match asked(installation, &json!({ "ask": "throttled" }))? {
            Some(mut answer) => serde_json::from_value(answer["rows"].take())?,
            None => Vec::new(),
        };
        if format.json {
            return print_json(&json!({ "bans": bans, "throttled": throttled }));
        }
        print(tables(&bans, &throttled, unix_seconds(now), terminal_width()))
    })
    .await
}

/// The answer of the running server; `None`: none runs.
fn asked(installation: &Installation, question: &Value) -> Result<Option<Value>, CliError> {
    match ask(installation.data_dir(), question, ANSWER_TIMEOUT) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::NotRunning) => Ok(None),
        Err(AskError::Refused(why)) => Err(anyhow!(why).into()),
        Err(error @ AskError::Broken(_)) => Err(anyhow!("the running server can't be asked: {error}").into()),
    }
}

fn why(error: BlockError) -> CliError {
    match error {
        BlockError::Refused(why) => anyhow!(why).into(),
        BlockError::Failed(error) => error.into(),
    }
}

fn tables(bans: &[BanRow], throttled: &[ThrottledRow], now: u64, width: usize) -> String {
    if bans.is_empty() && throttled.is_empty() {
        return "Nobody is blocked, and nobody has to wait because of wrong guesses.".to_owned();
    }
    let ban = |ban: &BanRow| {
        let left = ban.until.map_or_else(|| "no end".to_owned(), |until| time(until.saturating_sub(now)));
        [ban.id.clone(), ban.target.clone(), time(now.saturating_sub(ban.since)), left, ban.by.clone()]
    };
    let mut tables = Vec::new();
    if !bans.is_empty() {
        let columns = [
            Column::whole("ID"),
            Column::text("BLOCKED", 20),
            Column::whole("SINCE"),
            Column::whole("LEFT"),
            Column::text("BY", 8),
        ];
        tables.push(fitted_table(columns, &bans.iter().map(ban).collect::<Vec<_>>(), width));
    }
    if !throttled.is_empty() {
        let row = |row: &ThrottledRow| [row.address.clone(), row.kind.clone(), time(row.wait)];
        let columns = [Column::whole("THROTTLED"), Column::whole("GUESSES"), Column::whole("WAITS")];
        tables.push(fitted_table(columns, &throttled.iter().map(row).collect::<Vec<_>>(), width));
    }
    tables.join("\n\n")
}

fn read_time(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let seconds = || {
        let unit = text.chars().last()?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let digits = text.strip_suffix(unit)?;
        whole_number::read::<u64>(digits)?.checked_mul(seconds)
    };
    let time = seconds().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    time.ok_or_else(|| "expected a number from 1 with a unit: 45s, 30m, 1h, 2d or 1w".to_owned())
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        for (text, seconds) in [("45s", 45), ("30m", 1800), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)] {
            assert_eq!(read_time(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in
            ["", "1", "h", "0h", "-1h", "+1h", "1 h", "1.5h", "1H", "1y", "99999999999999999999d", "18446744073709551615w", "1时"]
        {
            assert!(read_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tables_fit_80_columns_and_nothing_in_them_steers_the_terminal() {
        let ban = |target: &str, by: &str, until| BanRow {
            id: "ban-10000".to_owned(),
            target: target.to_owned(),
            since: 1000,
            until,
            by: by.to_owned(),
        };
        let bans = [
            ban(&format!("user:\u{1b}[2J\u{202e}{}", "客".repeat(120)), &"by\n".repeat(40), Some(4600)),
            ban("2001:db8:1111:2222:3333:4444:5555:6666/128", "command line", None),
        ];
        let address = "2001:db8:1111:2222::/64".to_owned();
        let throttled = [ThrottledRow { address, kind: "turn_password_udp".to_owned(), wait: 59 }];
        let shown = tables(&bans, &throttled, 4000, 80);
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.lines().count() == 6, "{shown}");
        assert!(shown.contains("50m    10m") && shown.contains("no end") && shown.contains("turn_password_udp  59s"), "{shown}");
        assert!(tables(&[], &[], 0, 80).starts_with("Nobody is blocked"));
    }
}
