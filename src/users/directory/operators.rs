//! Operators, as the sign-in of `/admin` asks for them.

use super::handle::Directory;
use crate::users::password;

impl Directory {
    /// Whether this is the name of an operator, enabled or not.
    pub fn is_operator(&self, name: &str) -> bool {
        self.0.snapshot.load().operators.contains_key(name)
    }

    /// Whether there is an enabled operator.
    pub fn has_operator(&self) -> bool {
        self.0.snapshot.load().operators.values().any(|operator| operator.enabled)
    }

    /// A number that changes with each new password of the enabled operator of this name, and when the operator was disabled or removed in
    /// between. `None`: there is no such operator, so that all sessions of this name end.
    pub fn operator_stamp(&self, name: &str) -> Option<u64> {
        let snapshot = self.0.snapshot.load();
        snapshot.operators.get(name).filter(|operator| operator.enabled).map(|operator| operator.stamp)
    }

    /// The [`Self::operator_stamp`] of the enabled operator with this password. Takes tens of milliseconds and 19 MiB whatever the answer, so
    /// call it through [`PasswordChecks`](crate::users::PasswordChecks).
    pub fn operator_with_password(&self, name: &str, password: &str) -> Option<u64> {
        let snapshot = self.0.snapshot.load();
        let operator = snapshot.operators.get(name).filter(|operator| operator.enabled);
        let right = password::verify(password, operator.map(|operator| operator.hash.expose().as_str()));
        operator.filter(|_| right).map(|operator| operator.stamp)
    }
}
