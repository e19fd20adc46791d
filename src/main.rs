//! `castway`: config → build → run → drain.

use std::io::{self, Write as _};
use std::pin::pin;
use std::process::ExitCode;

use castway::app::App;
use castway::app::signals::Stop;
use castway::app::telemetry;
use castway::cli;
use castway::config::Config;
use tokio::sync::oneshot;

fn main() -> ExitCode {
    cli::run(|config| {
        telemetry::start(&config.log);
        serve(config)
    })
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let mut stop = pin!(first_of(Stop::listen()?));
        let app = tokio::select! {
            app = App::build(config) => app?,
            () = &mut stop => return Ok(()),
        };
        // Whoever reads standard output may have gone; the server is there all the same.
        writeln!(io::stdout(), "{}", app.greeting()).ok();
        app.run(stop).await
    });
    // A look-up or a hash that still runs on a thread of its own is nobody's any more.
    runtime.shutdown_background();
    result
}

/// Ends at the first request to stop; the second ends the program, whatever it is doing.
async fn first_of(mut stop: Stop) {
    let (first, requested) = oneshot::channel();
    tokio::spawn(async move {
        let name = stop.requested().await;
        tracing::info!("{name}: stopping; once more ends at once");
        first.send(()).ok();
        stop.requested().await;
        std::process::exit(130);
    });
    requested.await.ok();
}
