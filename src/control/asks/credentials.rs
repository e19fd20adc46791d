//! `credentials`: short-lived credentials for the allocation that `castway doctor` makes.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::control::ask::{Answer, Ask};
use crate::turn::Scope;
use crate::users::credentials::DOCTOR_USER;
use crate::users::{Directory, check_requested};

/// How long they are good.
const TTL: Duration = Duration::from_secs(300);

/// `{"ask": "credentials", "name": "doctor", "scope": "clients" | "anyone"}`; the scope is *anyone* where it is missing. Whoever may ask
/// can read the secrets in the database too, so this gives nothing away.
pub struct CredentialsAsk(pub Directory);

impl Ask for CredentialsAsk {
    fn name(&self) -> &'static str {
        "credentials"
    }

    fn answer(&self, question: &Value) -> Answer {
        Box::pin(std::future::ready(self.issue(question)))
    }
}

impl CredentialsAsk {
    fn issue(&self, question: &Value) -> Result<Value, String> {
        let name = question["name"].as_str().unwrap_or(DOCTOR_USER);
        check_requested(name).map_err(|error| error.to_string())?;
        let scope = match question["scope"].as_str() {
            None | Some("anyone") => Scope::Anyone,
            Some("clients") => Scope::Clients,
            Some(other) => return Err(format!("there is no scope {other:?}: expected clients or anyone")),
        };
        let issued = self.0.issue(name, scope, Some(TTL), SystemTime::now());
        Ok(json!({ "username": issued.username, "password": issued.password.expose(), "ttl": TTL.as_secs() }))
    }
}
