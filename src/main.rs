//! `castway`: config → build → run → drain.

use std::process::ExitCode;

use castway::app::App;
use castway::config::Config;
use castway::signals::Stop;
use castway::{cli, telemetry};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    cli::run(|config| {
        telemetry::start(&config.log);
        serve(config)
    })
}

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let app = App::build(config).await?;
    println!("{}", app.greeting());
    app.run(first_of(stop)).await
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
