//! What a TV says of itself: its name and its screen.

use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::{Arguments, members};
use super::failure::Failure;
use super::shown_name::shown_name;
use super::small_object;
use crate::cast::model::TvDetails;

/// The string `name` and the object `screen` of the first argument, or of the last one after a token. Members of other types are ignored.
pub(super) fn read(arguments: &Arguments<'_>) -> Result<Option<Arc<TvDetails>>, Failure> {
    let mut details = TvDetails::default();
    for members in arguments.0.iter().take(2).rev().filter_map(|argument| members(argument)) {
        if let Some(name) = members.get("name").and_then(|name| serde_json::from_str::<String>(name.get()).ok()) {
            details.name = shown_name(&name);
        }
        if let Some(screen) = members.get("screen").map(|screen| screen.get()).filter(|screen| screen.starts_with('{')) {
            small_object::check(screen.len())?;
            details.screen = Some(screen.into());
        }
    }
    Ok((details != TvDetails::default()).then(|| Arc::new(details)))
}

/// What a caster is told of its TV.
pub(super) fn written(details: Option<&Arc<TvDetails>>) -> Value {
    let name = details.and_then(|details| details.name.as_deref());
    json!({"name": name, "screen": screen(details)})
}

fn screen(details: Option<&Arc<TvDetails>>) -> Option<Value> {
    serde_json::from_str(details?.screen.as_deref()?).ok()
}
