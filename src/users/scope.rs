//! The names of scopes, as the database, the command line and JSON have them.

use serde::Serializer;

use crate::turn::Scope;

/// All names, for the help of commands.
pub const SCOPE_NAMES: [&str; 2] = [scope_name(Scope::Clients), scope_name(Scope::Anyone)];

#[must_use]
pub const fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Clients => "clients",
        Scope::Anyone => "anyone",
        Scope::OwnAddress => "own-address",
    }
}

/// The scope of this name that a user may have.
#[must_use]
pub fn scope_named(name: &str) -> Option<Scope> {
    [Scope::Clients, Scope::Anyone].into_iter().find(|scope| scope_name(*scope) == name)
}

pub(super) fn serialize<S: Serializer>(scope: &Scope, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scope_name(*scope))
}
