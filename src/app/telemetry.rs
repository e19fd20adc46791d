//! The log: one record a line on standard error, as text or JSON; and the last lines, which operators read at `/admin`.
//!
//! With JSON, what the program says before the log starts and beside it is a record, too: [`say`] is for that.

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config::{LogConfig, LogFormat};
use crate::operator::log::{self, LogLayer};

/// Frames and packets contain secrets, SQL is noise, and stray packets concern only their senders, so no setting enables these.
const QUIET: &str = "turn=off,stun=off,webrtc_util=off,tungstenite=off,tokio_tungstenite=off,hyper=info,sqlx=warn";

/// Of records that are no part of the log.
const TARGET: &str = "castway";

/// Starts the log. All formats escape control characters in fields, so that no value forges a line.
pub fn start(config: &LogConfig) {
    let filter = |what: &str| EnvFilter::new(format!("{what},{QUIET}"));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_target(false).with_ansi(wants_colors(io::stderr().is_terminal())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let kept = LogLayer(log::kept()).with_filter(filter("info"));
    registry().with(lines.with_filter(filter(&config.filter))).with(kept).init();
    if config.format == LogFormat::Json {
        log_panics();
    }
}

/// Whether a stream gets colors: those of no-color.org and bixense.com/clicolors decide, or else whether it is a terminal.
#[must_use]
pub fn wants_colors(is_terminal: bool) -> bool {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if given("NO_COLOR").is_some() {
        return false;
    }
    let forced = given("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    forced || (is_terminal && given("TERM").is_none_or(|term| term != "dumb"))
}

/// Where a record goes that is no part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

/// Writes one record of the form of the JSON log, whatever the filter of the log says.
pub fn say(stream: Stream, level: Level, message: &str) {
    match stream {
        Stream::Output => record(io::stdout, level, message, None),
        Stream::Error => record(io::stderr, level, message, None),
    }
}

/// The same for what a server prints when it runs: its report and each warning.
pub fn say_report(message: &str, report: &str, warnings: &[String]) {
    record(io::stdout, Level::INFO, message, Some(report));
    warnings.iter().for_each(|warning| say(Stream::Output, Level::WARN, warning));
}

fn record(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, level: Level, message: &str, report: Option<&str>) {
    let lines = fmt::layer().with_writer(writer).json().flatten_event(true);
    tracing::subscriber::with_default(registry().with(lines), || match level {
        Level::ERROR => tracing::error!(target: TARGET, report, "{message}"),
        Level::WARN => tracing::warn!(target: TARGET, report, "{message}"),
        _ => tracing::info!(target: TARGET, report, "{message}"),
    });
}

/// Panics are records, too.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(str::to_owned);
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        tracing::error!(panic.location = location, panic.thread = thread, "panicked: {message}");
    }));
}
