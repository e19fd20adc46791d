//! `castway user …`.

use std::collections::HashSet;
use std::io::BufRead;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::database::with_store;
use super::error::CliError;
use super::installation::Installation;
use super::output::{Json, print, print_json, print_warning};
use super::quota;
use super::scope::scope_parser;
use super::shared_settings::SharedSetting;
use super::table::table;
use crate::config::Config;
use crate::turn::Scope;
use crate::users::{
    BanTarget, KnownKeys, OperatorInfo, OperatorPassword, PasswordKeys, Store, StoreError, UserInfo, UserName, generate_password,
    scope_name,
};

/// Characters of the shortest password without a warning. Somebody who records one TURN login can try passwords offline.
const SAFE_PASSWORD_CHARS: usize = 8;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; asks for a password
    Add(New),
    /// List all users, with a note where the password has to be set again
    List(Json),
    /// Disable a user until enabled again; credentials already issued stop working
    Disable(Named),
    /// Enable a disabled user
    Enable(Named),
    /// Make a user an administrator of RTCMultiConnection's admin page; operators are something else (castway user add --operator)
    Promote(Named),
    /// Make an administrator of RTCMultiConnection's admin page an ordinary user again
    Demote(Named),
    /// Change which peers a user's credentials reach; credentials already issued stop working
    Scope(Scoped),
    /// Show or set how many bytes a user may relay in a month
    Quota(quota::Arguments),
    /// Remove a user; credentials already issued stop working
    Remove(Named),
    /// Change a user's password; asks for it
    Passwd(WithPassword),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The user's name
    name: UserName,
}

#[derive(Debug, Args)]
pub(super) struct New {
    #[command(flatten)]
    user: WithPassword,
    /// Make the user an administrator of RTCMultiConnection's admin page
    #[arg(long)]
    admin: bool,
    /// Add an operator, who signs in at /admin and has no relay credentials
    #[arg(long, conflicts_with_all = ["admin", "scope"])]
    operator: bool,
    /// Which peers the user's credentials reach: clients (relayed addresses of this server; for a password that stands in public pages)
    /// or anyone
    #[arg(long, value_name = "SCOPE", default_value = scope_name(Scope::Anyone), value_parser = scope_parser())]
    scope: Scope,
}

#[derive(Debug, Args)]
pub(super) struct Scoped {
    #[command(flatten)]
    user: Named,
    /// clients (relayed addresses of this server) or anyone
    #[arg(value_parser = scope_parser())]
    scope: Scope,
}

#[derive(Debug, Args)]
pub(super) struct WithPassword {
    /// The user's name, 1 to 128 characters
    name: UserName,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Generate a strong password and print it
    #[arg(long)]
    generate: bool,
}

pub(super) async fn run(command: Command, installation: &Installation) -> Result<(), CliError> {
    let makes_keys = matches!(command, Command::Add(New { operator: false, .. }) | Command::Passwd(_));
    let shared: &[SharedSetting] = if makes_keys { &[SharedSetting::Realm] } else { &[] };
    with_store(installation, shared, async |store: &Store, config: &Config| {
        let now = SystemTime::now();
        match command {
            Command::Add(arguments) => add(store, &arguments, config).await,
            Command::List(arguments) => list(store, &arguments, config).await,
            Command::Disable(Named { name }) if store.is_operator(&name).await? => {
                store.set_operator_enabled(&name, false, now).await?;
                print(format_args!("Disabled {name}, whose sessions at /admin end."))
            }
            Command::Enable(Named { name }) if store.is_operator(&name).await? => {
                store.set_operator_enabled(&name, true, now).await?;
                print(format_args!("Enabled {name}."))
            }
            Command::Remove(Named { name }) if store.is_operator(&name).await? => {
                store.remove_operator(&name).await?;
                print(format_args!("Removed {name}, whose sessions at /admin end."))
            }
            Command::Promote(Named { name })
            | Command::Demote(Named { name })
            | Command::Scope(Scoped { user: Named { name }, .. })
                if store.is_operator(&name).await? =>
            {
                Err(StoreError::IsOperator(name.to_string()).into())
            }
            Command::Disable(Named { name }) => {
                store.set_enabled(&name, false, now).await?;
                print(format_args!("Disabled {name}. Credentials already issued stop working, until you enable {name} again."))
            }
            Command::Enable(Named { name }) => {
                store.set_enabled(&name, true, now).await?;
                print(format_args!("Enabled {name}."))
            }
            Command::Quota(arguments) => quota::run(store, config, installation.data_dir(), &arguments).await,
            Command::Promote(Named { name }) => {
                store.set_admin(&name, true, now).await?;
                print(format_args!("{name} is an administrator of RTCMultiConnection's admin page."))
            }
            Command::Demote(Named { name }) => {
                store.set_admin(&name, false, now).await?;
                print(format_args!("{name} is an ordinary user."))
            }
            Command::Scope(Scoped { user: Named { name }, scope }) => {
                store.set_scope(&name, scope, now).await?;
                print(format_args!("{name} is of scope {}. Credentials of another scope stop working.", scope_name(scope)))
            }
            Command::Remove(Named { name }) => {
                store.remove(&name, now).await?;
                print(format_args!("Removed {name}. Credentials already issued stop working."))
            }
            Command::Passwd(arguments) => passwd(store, &arguments, config).await,
        }
    })
    .await
}

async fn add(store: &Store, New { user: arguments, admin, operator, scope }: &New, config: &Config) -> Result<(), CliError> {
    let name = &arguments.name;
    // Checked before the user has to type a password twice.
    if find(store, name).await?.is_some() {
        return Err(StoreError::Exists(name.to_string()).into());
    }
    if store.is_operator(name).await? {
        return Err(StoreError::OperatorExists(name.to_string()).into());
    }
    if *operator {
        let password = typed(arguments)?;
        store.add_operator(name, &OperatorPassword::new(&password)?, SystemTime::now()).await?;
        print(format_args!("Added the operator {name}, who signs in at /admin."))?;
        return reveal(arguments, &password);
    }
    if let Some(warning) = looks_like_a_pair(name) {
        print_warning(&warning);
    }
    let password = password(arguments)?;
    let keys = PasswordKeys::new(name, &config.relay.realm, &password)?;
    store.add(name, &keys, *scope, SystemTime::now()).await?;
    if *admin {
        store.set_admin(name, true, SystemTime::now()).await?;
    }
    print(format_args!("Added {name}."))?;
    reveal(arguments, &password)
}

async fn passwd(store: &Store, arguments: &WithPassword, config: &Config) -> Result<(), CliError> {
    let name = &arguments.name;
    if store.is_operator(name).await? {
        let password = typed(arguments)?;
        store.set_operator_password(name, &OperatorPassword::new(&password)?, SystemTime::now()).await?;
        print(format_args!("Changed the password of {name}, whose sessions at /admin end."))?;
        return reveal(arguments, &password);
    }
    if find(store, name).await?.is_none() {
        return Err(StoreError::NoUser(name.to_string()).into());
    }
    let password = password(arguments)?;
    let keys = PasswordKeys::new(name, &config.relay.realm, &password)?;
    store.passwd(name, &keys, SystemTime::now()).await?;
    print(format_args!("Changed the password of {name}."))?;
    reveal(arguments, &password)
}

async fn find(store: &Store, name: &UserName) -> Result<Option<UserInfo>, CliError> {
    Ok(store.list().await?.into_iter().find(|user| user.name == name.as_str()))
}

async fn list(store: &Store, arguments: &Json, config: &Config) -> Result<(), CliError> {
    let (users, operators) = (store.list().await?, store.operators().await?);
    let blocked: HashSet<String> = store.bans(SystemTime::now()).await?.into_iter().map(|ban| ban.target).collect();
    let users = users.into_iter().map(|user| {
        let blocked = blocked.contains(&BanTarget::User(user.name.clone()).to_string());
        ListedUser { user, blocked }
    });
    let users: Vec<_> = users.collect();
    if arguments.json {
        let all: Vec<_> = users.into_iter().map(Listed::User).chain(operators.into_iter().map(Listed::Operator)).collect();
        return print_json(&all);
    }
    if users.is_empty() && operators.is_empty() {
        return print("There are no users yet. Add one with: castway user add NAME");
    }
    let rows = users.into_iter().map(|user| row(user, &config.relay.realm));
    let rows: Vec<_> = rows.chain(operators.into_iter().map(operator_row)).collect();
    print(table(["NAME", "STATE", "SCOPE", "CREATED", ""], &rows))
}

/// A row of the list in JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    User(ListedUser),
    Operator(OperatorInfo),
}

#[derive(Serialize)]
struct ListedUser {
    #[serde(flatten)]
    user: UserInfo,
    blocked: bool,
}

fn operator_row(operator: OperatorInfo) -> [String; 5] {
    let state = if operator.enabled { "operator" } else { "disabled" };
    let note = if operator.enabled { "" } else { "an operator" };
    [operator.name, state.to_owned(), String::new(), operator.created, note.to_owned()]
}

fn row(ListedUser { user, blocked }: ListedUser, realm: &str) -> [String; 5] {
    let state = match (blocked, user.enabled, user.admin) {
        (true, true, _) => "blocked",
        (true, false, _) => "blocked, disabled",
        (false, true, false) => "enabled",
        (false, true, true) => "admin",
        (false, false, _) => "disabled",
    };
    let note = if user.realm != realm {
        format!("the password was set for realm {:?}; set it again to log in to the relay with it", user.realm)
    } else if user.known_keys == KnownKeys::Md5 {
        "imported with its key; the relay knows it by MD5 alone, until the password is set again".to_owned()
    } else if user.known_keys == KnownKeys::Sha256 {
        "imported with its key; the relay knows it by SHA-256 alone, which browsers don't use, until the password is set again"
            .to_owned()
    } else if user.has_typed_key {
        String::new()
    } else {
        "set with an older castway; a password of other characters than ASCII must be set again to log in to the relay with it"
            .to_owned()
    };
    [user.name, state.to_owned(), scope_name(user.scope).to_owned(), user.created, note]
}

fn password(arguments: &WithPassword) -> anyhow::Result<String> {
    let password = typed(arguments)?;
    if let Some(warning) = weakness(&arguments.name, &password) {
        print_warning(&warning);
    }
    Ok(password)
}

/// The password that was typed or generated.
fn typed(arguments: &WithPassword) -> anyhow::Result<String> {
    if arguments.generate {
        return Ok(generate_password());
    }
    if arguments.password_stdin { first_line(std::io::stdin().lock()) } else { ask(&arguments.name) }
}

/// A warning where the name looks like a user and a password, as coturn writes them. A name such as `@alice:example.org` has a colon, too.
fn looks_like_a_pair(name: &UserName) -> Option<String> {
    let (user, _) = name.as_str().split_once(':').filter(|(user, _)| !user.starts_with('@'))?;
    Some(format!(
        "{:?} is the whole name of this user. coturn writes a user and a password as flyer:123456; here, give only the name (castway user \
         add {user}) and type the password when asked",
        name.as_str()
    ))
}

/// A warning about a short password; `None`: it is long enough. Short ones are accepted, because tutorials use them.
fn weakness(name: &UserName, password: &str) -> Option<String> {
    let length = password.chars().count();
    (1..SAFE_PASSWORD_CHARS).contains(&length).then(|| {
        format!(
            "the password of {name} is accepted, but shorter than {SAFE_PASSWORD_CHARS} characters. Somebody who records one login to the relay \
             can find it by trying, and then send data through this server. `castway user passwd {name} --generate` makes a password \
             that can't be guessed"
        )
    })
}

fn ask(name: &UserName) -> anyhow::Result<String> {
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|error| match error.raw_os_error() {
            // /dev/tty can't be opened.
            Some(_) => anyhow!("there is no terminal to ask for a password; use --password-stdin or --generate"),
            None => anyhow!("the terminal gives no password ({error}); use --password-stdin or --generate"),
        })
    };
    let password = ask(format!("Password for {name}: "))?;
    if ask("Repeat the password: ".to_owned())? != password {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(password)
}

fn first_line(mut input: impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    let bytes = input.read_line(&mut line).context("standard input can't be read as a password")?;
    if bytes == 0 {
        return Err(anyhow!("there is no password on standard input"));
    }
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

fn reveal(arguments: &WithPassword, password: &str) -> Result<(), CliError> {
    if !arguments.generate {
        return Ok(());
    }
    print(format_args!("Password: {password}\nKeep it now: it is not stored and can't be shown again."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_password_in_one_are_noticed() {
        let warning = |name: &str| looks_like_a_pair(&name.parse().unwrap());
        assert!(warning("flyer:123456").is_some_and(|warning| warning.contains("(castway user add flyer)")));
        assert_eq!((warning("flyer"), warning("@alice:example.org")), (None, None));
    }

    #[test]
    fn a_short_password_is_worth_a_warning() {
        let name = "flyer".parse().unwrap();
        for short in ["123456", "12345", "x~", "密码密码"] {
            let warning = weakness(&name, short).unwrap();
            assert!(warning.contains("passwd flyer --generate") && !warning.contains(short), "{warning}");
        }
        assert_eq!(weakness(&name, "12345678"), None);
        assert_eq!(weakness(&name, ""), None, "that is refused");
    }

    #[test]
    fn the_first_line_is_the_password() {
        assert_eq!(first_line("pass word \r\nnext\n".as_bytes()).unwrap(), "pass word ");
        assert_eq!(first_line("no end".as_bytes()).unwrap(), "no end");
        assert!(first_line("".as_bytes()).is_err());
    }
}
