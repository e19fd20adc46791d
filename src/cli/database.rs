//! Runs the work of a command on the database of an installation.

use std::time::SystemTime;

use super::error::CliError;
use super::installation::Installation;
use super::owner;
use super::shared_settings::SharedSetting;
use crate::config::Config;
use crate::users::Store;

/// Runs `work` as the owner of the data.
pub(super) fn block_on(installation: &Installation, work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    owner::become_owner(installation.data_dir())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Opens the database, runs `work` with it and with settings that agree with the server in the `shared` ones, and closes it, so that
/// the file is in order when the command ends.
pub(super) async fn with_store<T>(
    installation: &Installation,
    shared: &[SharedSetting],
    work: impl AsyncFnOnce(&Store, &Config) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let store = Store::open_existing(installation.data_dir(), SystemTime::now()).await?;
    let done = match installation.settle(&store, shared).await {
        Ok(config) => work(&store, &config).await,
        Err(error) => Err(error),
    };
    store.close().await;
    done
}
