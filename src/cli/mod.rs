//! The command line: `castway` runs the server, its subcommands manage users, secrets and credentials.
//!
//! - Inputs: the arguments, the environment, `.env`, and for commands the settings of the service and of the server's last start.
//! - Outputs: a checked [`Config`](crate::config::Config) for the server, or a command's output on standard output. Warnings and errors
//!   go to standard error.
//! - Exit status: 0 done, 1 failed, 64 the command line or a setting can't be used (`EX_USAGE` of sysexits.h).
//!
//! A command passes from `run` through `command_line` (arguments), `installation` (which data folder, whose settings), `owner` (become the
//! owner of the data) and `database` (open, agree with the server by `shared_settings`, close) to its own file: `user`, `secret`,
//! `credentials` or `health`. `doctor` is different: it stays root where root runs it, and touches the data only through `data_folder`, a
//! process with the rights of their owner. `running_server` asks the server through its control socket. Files of settings are read by `env_file` (`.env`) and `systemd_env_file` (the service's), both through
//! `trusted_file`; `unknown_variables` warns of misspelled names.

mod command_line;
mod credentials;
mod data_folder;
mod database;
mod doctor;
mod env_file;
mod error;
mod health;
mod installation;
mod output;
mod owner;
mod run;
mod running_server;
mod scope;
mod secret;
mod shared_settings;
mod systemd_env_file;
mod trusted_file;
mod unknown_variables;
mod user;

pub use command_line::variables;
pub use run::run;
