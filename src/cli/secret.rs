//! `castway secret …`.

use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::database::with_store;
use super::error::CliError;
use super::installation::Installation;
use super::output::{Json, print, print_json};
use super::running_server;
use super::shared_settings::SharedSetting;
use super::table::table;
use crate::config::Config;
use crate::config::secret::Secret;
use crate::users::credentials::unix_seconds;
use crate::users::{SecretInfo, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Generate a secret that signs from now on; older ones verify until the credentials they signed have expired
    Rotate(Rotate),
    /// List the secrets, newest first
    List(List),
    /// Remove a secret that no longer signs; credentials it signed stop working
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Remove the older secrets; all credentials already issued stop working
    #[arg(long)]
    revoke_old: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    format: Json,
    /// Show the secrets themselves, to share them with another TURN server
    #[arg(long)]
    reveal: bool,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The number that `castway secret list` shows
    id: i64,
}

pub(super) async fn run(command: Command, installation: &Installation) -> Result<(), CliError> {
    with_store(installation, &[SharedSetting::Secrets, SharedSetting::Ttl], async |store: &Store, config: &Config| {
        let configured = &config.credentials.static_auth_secrets;
        if !configured.is_empty() {
            return configured_secrets(&command, configured, &config.credentials.secrets_variable);
        }
        let now = SystemTime::now();
        store.purge(config.credentials.ttl, now).await?;
        let changes = matches!(command, Command::Rotate(_) | Command::Remove(_));
        let done = match command {
            Command::Rotate(Rotate { revoke_old }) => rotate(store, revoke_old, config.credentials.ttl, now).await,
            Command::List(arguments) => list(store, &arguments, config.credentials.ttl, now).await,
            Command::Remove(Remove { id }) => {
                store.remove_secret(id).await?;
                print(format_args!("Removed secret {id}. Credentials it signed stop working."))
            }
        };
        if changes && done.is_ok() {
            running_server::warn_of_configured_secrets(&config.data_dir);
        }
        done
    })
    .await
}

fn configured_secrets(command: &Command, secrets: &[Secret<String>], variable: &str) -> Result<(), CliError> {
    match command {
        Command::List(List { format, reveal }) if format.json => {
            let secrets = secrets.iter().enumerate().map(|(index, secret)| {
                let mut fields = json!({"id": null, "created": null, "signs": index == 0, "verifies_for": null});
                if *reveal {
                    fields["secret"] = json!(secret.expose());
                }
                fields
            });
            print_json(&Value::Array(secrets.collect()))
        }
        Command::List(_) => {
            print(format_args!("The secrets come from {variable}: there are {}, the first signs and all verify.", secrets.len()))
        }
        Command::Rotate(_) | Command::Remove(_) => {
            Err(anyhow!("the secrets come from {variable}: change them there, newest first, and restart the server").into())
        }
    }
}

async fn rotate(store: &Store, revoke_old: bool, longest: Duration, now: SystemTime) -> Result<(), CliError> {
    let id = store.rotate(revoke_old, now).await?;
    if revoke_old {
        return print(format_args!("Secret {id} signs from now on. All credentials issued before stop working."));
    }
    let longest = words(longest.as_secs());
    print(format_args!(
        "Secret {id} signs from now on. The older ones verify for {longest} more, the longest life of what they signed.",
    ))
}

async fn list(store: &Store, arguments: &List, longest: Duration, now: SystemTime) -> Result<(), CliError> {
    let secrets = store.secrets().await?;
    let left = |secret: &SecretInfo| {
        let retired = u64::try_from(secret.retired_at?).unwrap_or(0);
        Some((retired + longest.as_secs()).saturating_sub(unix_seconds(now)))
    };
    if arguments.format.json {
        let secrets = secrets.iter().map(|secret| as_json(secret, left(secret), arguments.reveal)).collect();
        return print_json(&Value::Array(secrets));
    }
    let rows = secrets.iter().map(|secret| {
        let state = left(secret).map_or_else(|| "signs".to_owned(), |left| format!("verifies for {} more", words(left)));
        let value = if arguments.reveal { secret.value.expose() } else { "" };
        [secret.id.to_string(), secret.created.clone(), state, value.to_owned()]
    });
    let rows: Vec<_> = rows.collect();
    print(table(["ID", "CREATED", "STATE", if arguments.reveal { "SECRET" } else { "" }], &rows))
}

fn as_json(secret: &SecretInfo, left: Option<u64>, reveal: bool) -> Value {
    let mut fields = json!({"id": secret.id, "created": secret.created, "signs": left.is_none(), "verifies_for": left});
    if reveal {
        fields["secret"] = json!(secret.value.expose());
    }
    fields
}

/// A time in its two largest units.
fn words(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")];
    let parts: Vec<_> = parts.into_iter().skip_while(|(count, _)| *count == 0).take(2).collect();
    let said: Vec<_> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_say_them() {
        let cases = [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (86_399, "23 h 59 min"), (604_800, "7 d")];
        for (seconds, said) in cases {
            assert_eq!(words(seconds), said);
        }
    }
}
