//! Ctrl-C, SIGTERM and SIGHUP.

use tokio::signal::unix::{SignalKind, signal};

/// The two signals that ask the program to stop.
pub struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Listens from now on, so the signals no longer end the program.
    ///
    /// # Errors
    /// The system can't deliver signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next request to stop, and returns its name for the log.
    pub async fn requested(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Keeps SIGHUP from ending the program from now on. If somebody reloads a service that has just been started, the signal may
/// arrive before the server listens for it.
///
/// # Errors
/// The system can't deliver signals.
pub fn survive_hangup() -> std::io::Result<()> {
    // The signal handler outlives its runtime, and this runtime has no threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    signal(SignalKind::hangup()).map(drop)
}

/// SIGHUP, which asks the program to read its certificate again.
pub struct ReloadSignal(tokio::signal::unix::Signal);

impl ReloadSignal {
    /// Listens from now on, so the signal no longer ends the program.
    ///
    /// # Errors
    /// The system can't deliver signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next request.
    pub async fn requested(&mut self) {
        self.0.recv().await;
    }
}
