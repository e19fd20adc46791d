//! The log: one record a line on standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts the log. Both formats escape control characters in fields, so that no value forges a line.
pub fn start(config: &LogConfig) {
    // Frames and packets contain secrets, SQL is noise, and stray packets concern only their senders, so no setting enables
    // these.
    let quiet = "turn=off,stun=off,webrtc_util=off,tungstenite=off,tokio_tungstenite=off,hyper=info,sqlx=warn";
    let filter = EnvFilter::new(format!("{},{quiet}", config.filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
