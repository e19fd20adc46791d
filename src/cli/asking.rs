//! Asks the server that runs with the data folder of an installation.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use super::data_folder::{DataFolder, NoAnswer};
use super::error::CliError;
use super::installation::Installation;
use crate::control::client::ANSWER_TIMEOUT;

/// How much longer than an answer at hand an answer may take for which the server has work to do.
const WORK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the server gave no answer.
#[derive(Debug)]
pub(super) enum AskingError {
    /// A sentence that names the folder and says what to do.
    NotRunning(String),
    /// The server's sentence, or what is in the way.
    Because(String),
}

/// The running server.
#[derive(Debug)]
pub(super) struct AskedServer {
    folder: DataFolder,
}

impl AskedServer {
    /// # Errors
    /// There is no data folder, or this user may not look into it.
    pub(super) fn find(installation: &Installation) -> Result<Self, CliError> {
        Ok(Self { folder: DataFolder::open(installation.data_dir())? })
    }

    /// The answer, whose texts are as clients have sent them.
    pub(super) fn ask(&mut self, question: Value) -> Result<Value, AskingError> {
        match self.folder.ask_verbatim(question, ANSWER_TIMEOUT + WORK_TIMEOUT) {
            Ok(answer) => Ok(answer),
            Err(NoAnswer::NotRunning) => Err(AskingError::NotRunning(format!(
                "no server runs with the data folder {}: start one (castway, or sudo systemctl start castway), or name the folder of the one \
                 that runs with --data-dir DIR",
                self.folder.path().display()
            ))),
            Err(NoAnswer::Because(why)) if why.contains("does not know the question") => Err(AskingError::Because(
                "the running server is of an older version, which does not know this command: restart it".to_owned(),
            )),
            Err(NoAnswer::Because(why)) => Err(AskingError::Because(why)),
        }
    }
}

impl From<AskingError> for CliError {
    fn from(error: AskingError) -> Self {
        match error {
            AskingError::NotRunning(why) | AskingError::Because(why) => Self::Failed(anyhow!(why)),
        }
    }
}
