//! Why a statement failed. [`OpenError`](super::OpenError) is for opening the file, this is for everything after that.

use crate::users::ban::MAX_BANS;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is a user {0:?} already")]
    Exists(String),
    #[error("there is an operator {0:?} already")]
    OperatorExists(String),
    #[error("{0:?} is an operator, who has no credentials for the relay and is no administrator of RTCMultiConnection")]
    IsOperator(String),
    #[error(
        "{0:?} was imported with a key, and this server does not know the password that an administrator needs: set it first"
    )]
    NoPassword(String),
    #[error("there is no user {0:?}")]
    NoUser(String),
    #[error("there are {MAX_BANS} bans already; end some of them first")]
    TooManyBans,
    #[error("there is no secret {0}")]
    NoSecret(i64),
    #[error("secret {0} is the one that signs; rotate first, then remove it")]
    Signs(i64),
    #[error("the database can't be used: {0}")]
    Database(sqlx::Error),
}

// Without a source, which would be said a second time where causes are shown.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
