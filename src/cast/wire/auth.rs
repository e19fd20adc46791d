//! What a front end shows of its user, in a member `auth` of an object among an event's arguments.

use serde_json::Value;

use super::arguments::{Arguments, members};
use super::failure::Failure;
use crate::admission::Proof;

/// Arguments among which the object may be.
const MAX_ARGUMENTS: usize = 3;

/// The last `auth` that is an object counts: front ends of others add an argument of their own behind those of the event.
pub(super) fn read(arguments: &Arguments<'_>) -> Result<Option<Proof>, Failure> {
    let given = arguments.0.iter().take(MAX_ARGUMENTS).rev();
    let objects = given.filter(|json| json.get().starts_with('{')).filter_map(|json| Some(*members(json)?.get("auth")?));
    let auth = objects.filter_map(|json| serde_json::from_str::<Value>(json.get()).ok()).find(Value::is_object);
    match auth {
        Some(auth) => Proof::read(&auth).map_err(|wrong| Failure::malformed(&wrong.to_string())),
        None => Ok(None),
    }
}
