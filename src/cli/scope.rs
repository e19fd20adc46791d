//! Scopes as arguments of commands.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::turn::Scope;
use crate::users::{SCOPE_NAMES, scope_named};

pub(super) fn scope_parser() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(SCOPE_NAMES).try_map(|name| scope_named(&name).ok_or("not a scope"))
}
