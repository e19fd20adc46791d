//! `castway user quota`: how many bytes a user may relay in a month.

use std::path::Path;
use std::time::SystemTime;

use anyhow::bail;
use clap::Args;

use super::error::CliError;
use super::figures;
use super::output::print;
use super::scope::scope_parser;
use super::usage;
use crate::config::Config;
use crate::turn::Scope;
use crate::users::usage::{UsageRecord, day_of, month_of};
use crate::users::{Directory, Store, check_requested, scope_name};
use crate::whole_number;

const EXPECTED: &str = "expected none, or a number of bytes such as 50G, 1500M or 1Ti";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The user's name, or with --scope anyone also a name that an API key or another issuer signs
    name: String,
    /// Bytes of payload in a month (UTC), in both directions: a number with K, M, G or T (Ki, Mi, Gi or Ti), or none. Without it, the
    /// quota is shown
    #[arg(value_parser = quota)]
    quota: Option<Quota>,
    /// The scope of the name [default: that of the user]
    #[arg(long, value_name = "SCOPE", value_parser = scope_parser())]
    scope: Option<Scope>,
}

/// `None`: no quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quota(Option<u64>);

fn quota(text: &str) -> Result<Quota, &'static str> {
    if text == "none" {
        return Ok(Quota(None));
    }
    let text = text.strip_suffix('B').unwrap_or(text);
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(EXPECTED),
    };
    let bytes = whole_number::read(digits).and_then(|number: u64| number.checked_mul(unit));
    // SQLite has no larger number.
    bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).map(|bytes| Quota(Some(bytes))).ok_or(EXPECTED)
}

pub(super) async fn run(
    store: &Store,
    config: &Config,
    data_dir: &Path,
    Arguments { name, quota, scope }: &Arguments,
) -> Result<(), CliError> {
    check_requested(name).map_err(anyhow::Error::from)?;
    let scope = scope_of(store, name, *scope).await?;
    if *quota != Some(Quota(None)) {
        let directory = Directory::open(store, &config.credentials).await?;
        directory.check_quota_name(scope, name).map_err(anyhow::Error::from)?;
    }
    if let Some(Quota(quota)) = quota {
        store.set_quota(scope, name, *quota).await?;
        return print(match quota {
            Some(bytes) => {
                format!("{name} may relay {} in a month. A running server follows within a second.", figures::bytes(*bytes))
            }
            None => format!("{name} has no quota."),
        });
    }
    let quotas = store.quotas().await?;
    let found = quotas.iter().find(|(of, named, _)| *of == scope && named == name);
    let month = month_of(day_of(SystemTime::now()));
    let rows = usage::rows(store, data_dir, Some(name), true).await?;
    let of_name = |row: &&UsageRecord| row.period == month && row.owner.scope_name() == scope_name(scope);
    let used = figures::bytes(rows.iter().find(of_name).map_or(0, |row| row.bytes));
    print(match found {
        Some((_, _, bytes)) => format!("{name} has relayed {used} of {} in this month.", figures::bytes(*bytes)),
        None => format!("{name} has no quota, and has relayed {used} in this month."),
    })
}

/// The scope whose name is meant.
async fn scope_of(store: &Store, name: &str, asked: Option<Scope>) -> anyhow::Result<Scope> {
    if store.operators().await?.iter().any(|operator| operator.name == name) {
        bail!("{name:?} is an operator, who relays nothing and has no quota");
    }
    let users = store.list().await?;
    match (users.iter().find(|user| user.name == name), asked) {
        (Some(user), None) => Ok(user.scope),
        (Some(user), Some(asked)) if user.scope == asked => Ok(asked),
        (Some(user), Some(_)) => bail!("the user {name:?} has the scope {}", scope_name(user.scope)),
        (None, Some(Scope::Anyone)) => Ok(Scope::Anyone),
        (None, Some(_)) => bail!("there is no user {name:?}, and strangers have no quotas"),
        (None, None) => bail!(
            "there is no user {name:?}. For a name that an API key or another issuer signs, say so: castway user quota {name} … --scope anyone"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_with_a_unit() {
        for (text, bytes) in [
            ("none", None),
            ("0", Some(0)),
            ("50G", Some(50_000_000_000)),
            ("50GB", Some(50_000_000_000)),
            ("1500M", Some(1_500_000_000)),
            ("1Ti", Some(1_099_511_627_776)),
            ("2KiB", Some(2048)),
            ("7", Some(7)),
        ] {
            assert_eq!(quota(text), Ok(Quota(bytes)), "{text}");
        }
        for bad in ["", "G", "-1G", "1.5G", "50 G", "50g", "1P", "99999999999T", "9223372036854775808", "１G", "0x10"] {
            assert_eq!(quota(bad), Err(EXPECTED), "{bad:?}");
        }
    }
}
