//! `castway usage`: what users have relayed, by day or month.
//!
//! The database has it, up to the last minute of a running server; the server has the current day and month as they are now.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::database::with_store;
use super::error::CliError;
use super::figures;
use super::installation::Installation;
use super::output::{Json, print, print_json, print_styled, print_warning, terminal_width};
use super::table::{Column, fitted_table};
use crate::config::Config;
use crate::control::client::{self, ANSWER_TIMEOUT, AskError};
use crate::turn::Scope;
use crate::users::usage::{UsageOwner, UsageRecord, UsageTotals, day_name, day_of, month_name, with_current};
use crate::users::{MAX_USAGE_ROWS, Store, scope_named};

const HELP_NOTE: &str = "\
Bytes are those of payloads, in both directions, by day or month of UTC. Users of the database have rows of their own, and at most 1000 \
names on a day that an API key or another issuer signs (CASTWAY_USAGE_NAME groups them); all others are in one row. The list has the \
newest 10000 rows.";

#[derive(Debug, Args)]
#[command(after_help = HELP_NOTE)]
pub(super) struct Arguments {
    /// Only this user
    user: Option<String>,
    /// By month instead of by day
    #[arg(long)]
    months: bool,
    #[command(flatten)]
    json: Json,
}

pub(super) async fn run(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let (user, months) = (arguments.user.as_deref(), arguments.months);
    let rows =
        with_store(installation, &[], async |store: &Store, _: &Config| rows(store, installation.data_dir(), user, months).await);
    let rows = rows.await?;
    let period = |row: &UsageRecord| if months { month_name(row.period) } else { day_name(row.period) };
    if arguments.json.json {
        let row = |row: &UsageRecord| json!({ "period": period(row), "scope": row.owner.scope_name(), "name": row.owner.name(), "bytes": row.bytes });
        return print_json(&rows.iter().map(row).collect::<Vec<Value>>());
    }
    if rows.is_empty() {
        return print(match user {
            Some(user) => format!("Nothing was relayed for {user:?}."),
            None => "Nothing was relayed yet.".to_owned(),
        });
    }
    let columns = [Column::whole("PERIOD"), Column::text("NAME", 12), Column::whole("SCOPE"), Column::whole("RELAYED")];
    let cells: Vec<_> = rows.iter().map(|row| cells(row, period(row))).collect();
    print_styled(fitted_table(columns, &cells, terminal_width()))?;
    if rows.len() as i64 >= MAX_USAGE_ROWS {
        print_warning("older rows are left out");
    }
    Ok(())
}

/// By day or month, of one user or of all, up to the last minute, or as the running server has it now.
pub(super) async fn rows(store: &Store, data_dir: &Path, user: Option<&str>, months: bool) -> Result<Vec<UsageRecord>, CliError> {
    let kept = if months { store.usage_by_month(user).await? } else { store.usage_by_day(user).await? };
    Ok(match current(data_dir, user) {
        Some((day, current)) => with_current(kept, day, current, user, months),
        None => kept,
    })
}

fn cells(row: &UsageRecord, period: String) -> [String; 4] {
    let name = if row.owner == UsageOwner::Others { "(all others)" } else { row.owner.name() };
    [period, name.to_owned(), row.owner.scope_name().to_owned(), figures::bytes(row.bytes)]
}

/// The current day, and what the running server has of it and its month; `None`: no server runs, or it does not say.
fn current(data_dir: &Path, user: Option<&str>) -> Option<(i64, HashMap<UsageOwner, UsageTotals>)> {
    let mut found = HashMap::new();
    let mut offset = 0;
    loop {
        let question = json!({ "ask": "usage", "user": user.unwrap_or_default(), "offset": offset });
        let answer = match client::ask(data_dir, &question, ANSWER_TIMEOUT) {
            Ok(answer) => answer,
            Err(AskError::NotRunning) => return None,
            Err(error) => {
                print_warning(&format!("the running server does not say what was relayed in the last minute: {error}"));
                return None;
            }
        };
        let day = day_of(SystemTime::now());
        let rows = answer["rows"].as_array().filter(|_| answer["day"] == day_name(day))?;
        found.extend(rows.iter().filter_map(live));
        offset += rows.len();
        if rows.is_empty() || offset as u64 >= answer["total"].as_u64().unwrap_or(0) {
            return Some((day, found));
        }
    }
}

fn live(row: &Value) -> Option<(UsageOwner, UsageTotals)> {
    let (scope, name) = (row["scope"].as_str()?, row["name"].as_str()?);
    let owner = match scope_named(scope) {
        Some(scope @ (Scope::Anyone | Scope::Clients)) => UsageOwner::User { scope, name: name.into() },
        Some(Scope::OwnAddress) | None => UsageOwner::Others,
    };
    Some((owner, UsageTotals { today: row["today"].as_u64()?, month: row["month"].as_u64()? }))
}
