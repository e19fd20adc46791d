//! The whole server.
//!
//! - Owner: `main`, which holds one [`App`].
//! - Inputs: a checked [`Config`](crate::config::Config), then signals.
//! - Outputs: the start-up report on standard output, the log, and the exit of [`App::run`].
//! - Invariants: the ports are bound and the data folder is locked before anything is written to it, and no client is served before everything is
//!   open.
//!
//! The start passes through `open` (ports by `listeners`, database, addresses, certificate, relay), `build` (limits, gateways and
//! their Socket.IO handlers in `flows`, REST API with `metrics`, routes in `router` and `cors`, dispatchers) and
//! `startup_report`. Then `run` serves until a signal asks it to stop, watches the parts that don't report their own problems,
//! and shuts down in order.
//!
//! ```no_run
//! use castway::app::App;
//! use castway::config::{Config, Settings};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let app = App::build(Config::read(&Settings::default())?).await?;
//! println!("{}", app.startup_report());
//! app.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await
//! # }
//! ```

mod admin;
mod asks;
mod bans;
mod build;
mod checks;
mod cors;
mod description;
mod facts;
mod flows;
mod hooks;
mod kept_reports;
mod listeners;
mod memory;
pub mod metrics;
mod open;
mod operator;
mod router;
mod run;
pub mod self_test;
mod server;
pub mod signals;
mod startup_report;
pub mod telemetry;
mod warnings;

pub use server::App;
pub use startup_report::StartupReport;
