//! Ctrl-C, SIGTERM and SIGHUP.

use tokio::signal::unix::{SignalKind, signal};

/// The two signals that ask the program to stop.
pub struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// From here on the signals no longer end the program by themselves.
    ///
    /// # Errors
    /// The system's, where it has no signals to give.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next request to stop; its name is for the log.
    pub async fn requested(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// From here on SIGHUP does not end the program. It may come before there is anything to read again, when somebody reloads a service
/// that has just been started.
///
/// # Errors
/// The system's, where it has no signals to give.
pub fn survive_hangup() -> std::io::Result<()> {
    // A handler stays when its runtime is gone, and this runtime has no threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    signal(SignalKind::hangup()).map(drop)
}

/// SIGHUP, which asks the program to read its certificate again.
pub struct Reload(tokio::signal::unix::Signal);

impl Reload {
    /// From here on the signal no longer ends the program.
    ///
    /// # Errors
    /// The system's, where it has no signals to give.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// The next request.
    pub async fn requested(&mut self) {
        self.0.recv().await;
    }
}
