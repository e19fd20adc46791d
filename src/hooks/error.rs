//! [`PostError`]: why a request was not answered.

use std::io;

/// None of them names the path of a URL, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("its name can't be looked up ({0})")]
    NameNotFound(#[source] io::Error),
    #[error(
        "its name leads to {}",
        if *.secure { "private addresses only, which CASTWAY_HOOKS_PRIVATE=true allows" } else { "another machine, which needs https" }
    )]
    AddressNotAllowed { secure: bool },
    #[error("it can't be reached ({0})")]
    Unreachable(#[source] io::Error),
    #[error("its certificate or its TLS can't be used ({0})")]
    Tls(#[source] io::Error),
    #[error("it does not answer in HTTP ({0})")]
    Http(#[source] hyper::Error),
    #[error("it does not answer in time")]
    Late,
}
