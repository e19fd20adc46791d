//! The log: one record a line on standard error, as text or JSON; and the last lines, which operators read at `/admin`.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{LogConfig, LogFormat};
use crate::operator::log::{self, LogLayer};

/// Frames and packets contain secrets, SQL is noise, and stray packets concern only their senders, so no setting enables these.
const QUIET: &str = "turn=off,stun=off,webrtc_util=off,tungstenite=off,tokio_tungstenite=off,hyper=info,sqlx=warn";

/// Starts the log. All formats escape control characters in fields, so that no value forges a line.
pub fn start(config: &LogConfig) {
    let filter = |what: &str| EnvFilter::new(format!("{what},{QUIET}"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let kept = LogLayer(log::kept()).with_filter(filter("info"));
    tracing_subscriber::registry().with(lines.with_filter(filter(&config.filter))).with(kept).init();
}
