//! Whether the running server signs credentials with the secrets that a command uses.

use std::path::Path;

use serde_json::json;

use super::output::print_warning;
use crate::config::secret::Secret;
use crate::control::client::{self, ANSWER_TIMEOUT};
use crate::turn::Scope;
use crate::users::credentials::verify;
use crate::users::scope_name;

/// Warns where the server that runs with `data_dir` signs with another secret than `secret`, which has signed credentials for `user`. Where no
/// server runs, or one that does not answer, there is nothing to say.
pub(super) fn warn_of_another_secret(data_dir: &Path, user: &str, scope: Scope, secret: &Secret<String>) {
    let question = json!({ "ask": "credentials", "name": user, "scope": scope_name(scope) });
    let Ok(theirs) = client::ask(data_dir, &question, ANSWER_TIMEOUT) else { return };
    let (Some(username), Some(password)) = (theirs["username"].as_str(), theirs["password"].as_str()) else { return };
    if !verify(secret.expose(), scope, username, password) {
        let source = source(data_dir).unwrap_or_else(|| "its database".to_owned());
        print_warning(&format!(
            "the running server signs with another secret, which comes from {source}, and may refuse these credentials: start it \
             with the secrets of this command, or give this command those of the server"
        ));
    }
}

/// Warns where the server that runs with `data_dir` has its secrets from the settings, so that a change of the database means nothing to it.
pub(super) fn warn_of_configured_secrets(data_dir: &Path) {
    if let Some(source) = source(data_dir) {
        print_warning(&format!(
            "the running server has its secrets from {source}, and not from the database that this command has changed: change them \
             there, or restart the server without {source}"
        ));
    }
}

/// The variable that the running server has its secrets from.
fn source(data_dir: &Path) -> Option<String> {
    client::facts(data_dir).ok()?.secrets_variable
}
