//! `castway end`: ends a cast, a call, a room, an allocation, or what a user has.

use clap::Args;
use serde_json::json;

use super::asking::AskedServer;
use super::error::CliError;
use super::installation::Installation;
use super::output::print;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An id of `castway sessions` (cast-3, call-1, room-2, alloc-17), the code of a TV, or the name of a user, whose allocations, casts
    /// and calls all end; if the name has something in several scopes, an id has to say which
    target: String,
}

pub(super) fn run(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let answer = AskedServer::find(installation)?.ask(json!({ "ask": "end", "target": arguments.target }))?;
    print(answer["done"].as_str().unwrap_or_default())
}
