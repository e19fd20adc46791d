//! Rooms as lists of them show them.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::arguments::Json;
use crate::multiconnection::room::RoomInfo;

/// A room in the list of public ones.
pub(super) struct Public<'a>(pub(super) &'a RoomInfo<Json>);

impl Serialize for Public<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(room) = self;
        let mut map = serializer.serialize_map(None)?;
        begin(&mut map, room)?;
        map.serialize_entry("session", &room.session)?;
        map.serialize_entry("sessionid", &*room.id)?;
        map.serialize_entry("isRoomFull", &room.is_full)?;
        map.serialize_entry("isPasswordProtected", &room.is_password_protected)?;
        map.end()
    }
}

/// A room as admins see it: without its password.
pub(super) struct ForAdmin<'a>(pub(super) &'a RoomInfo<Json>);

impl Serialize for ForAdmin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(room) = self;
        let mut map = serializer.serialize_map(None)?;
        begin(&mut map, room)?;
        map.serialize_entry("identifier", room.identifier.as_deref().unwrap_or_default())?;
        map.serialize_entry("session", &room.session)?;
        map.serialize_entry("isPasswordProtected", &room.is_password_protected)?;
        map.end()
    }
}

/// What both views of a room begin with: the original's order of keys, which its clients' pages show.
fn begin<M: SerializeMap>(map: &mut M, room: &RoomInfo<Json>) -> Result<(), M::Error> {
    map.serialize_entry("maxParticipantsAllowed", &room.max_participants)?;
    map.serialize_entry("owner", &*room.owner)?;
    map.serialize_entry("participants", &room.participants.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;
    map.serialize_entry("extra", &room.extra)
}
