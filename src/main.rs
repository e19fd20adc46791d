//! `castway`: config → build → run → drain.

use std::process::ExitCode;

use castway::app::App;
use castway::config::{Config, Settings};
use castway::signals::Stop;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let config = match Config::read(&Cli::parse().settings) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(64);
        }
    };
    castway::telemetry::start(&config.log);
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("castway can't run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    let app = App::build(config).await?;
    println!("{}", app.greeting());
    let (first, again) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let name = stop.requested().await;
        tracing::info!("{name}: stopping; once more ends at once");
        first.send(()).ok();
        stop.requested().await;
        // Whoever asks twice does not want to wait for anything.
        std::process::exit(130);
    });
    app.run(async { again.await.unwrap_or_default() }).await
}
