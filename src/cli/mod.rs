//! The command line: `castway` runs the server, its subcommands manage users, secrets and credentials.
//!
//! - Inputs: the arguments, the environment, `.env`, and for commands the settings of the service and of the server's last start.
//! - Outputs: a checked [`Config`](crate::config::Config) for the server, or a command's output on standard output. Warnings and errors
//!   go to standard error.
//! - Exit status: 0 done, 1 failed, 64 the command line or a setting can't be used (`EX_USAGE` of sysexits.h).
//!
//! A command passes from `run` through `command_line` (arguments; `flags` and `help` complete what clap derives), `installation` (which data
//! folder, whose settings), `owner` (become the owner of the data) and `database` (open, agree with the server by `shared_settings`, close)
//! to its own file: `user`, `secret`, `credentials` or `health`. `doctor`, `status`, `sessions`, `end`, `backup`, `restore` and `config check`
//! are different: they stay root where root runs them, and touch the data only through `data_folder`, a process with the rights of their
//! owner; `status`, `sessions` and `end` ask the server alone (`asking`). `completions` and `man` need neither settings nor data.
//!
//! What commands print goes through `escape`, tables through `table`. `new_name` renames a file and replaces none. `running_server` asks the
//! server through its control socket. Files of settings are read by `env_file` (`.env`) and `systemd_env_file` (the service's), both
//! through `trusted_file`; `sources` says where a setting comes from, and `unknown_variables` warns of misspelled names; `near_names` keeps
//! what clap suggests to what is near.
//!
//! A server whose log is JSON says everything as records of that log, also what keeps it from starting (`output`); commands print text.

mod asking;
mod backup;
mod block;
mod command_line;
mod completions;
mod config_check;
mod credentials;
mod data_folder;
mod database;
mod doctor;
mod end;
mod env_file;
mod error;
mod escape;
mod expansion;
mod figures;
mod flags;
mod health;
mod help;
mod import;
mod installation;
mod man;
mod near_names;
mod new_folder;
mod new_name;
mod output;
mod owner;
mod quota;
mod run;
mod running_server;
mod scope;
mod secret;
mod sessions;
mod shared_settings;
mod sources;
mod status;
mod systemd_env_file;
mod table;
mod trusted_file;
mod unknown_variables;
mod usage;
mod user;

pub use command_line::{SettingHelp, setting_help, variables};
pub use import::coturn_options::{COTURN_OPTIONS, CoturnOption, Counterpart};
pub use run::run;
