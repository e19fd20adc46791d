//! The log: one record a line on standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts the log. Both formats escape control characters in fields, so that no value forges a line.
pub fn start(config: &LogConfig) {
    // The relay's library logs every stray packet: that is its sender's news, not ours.
    let quiet = "turn=off,stun=off,webrtc_util=off";
    let filter = EnvFilter::new(format!("{quiet},{}", config.filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
