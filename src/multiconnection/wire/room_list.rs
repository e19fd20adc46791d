//! Rooms in the lists that clients and admins get.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::arguments::Json;
use crate::multiconnection::model::RoomInfo;

/// A room in the list of public ones.
pub(super) struct PublicRoom<'a>(pub(super) &'a RoomInfo<Json>);

impl Serialize for PublicRoom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(room) = self;
        let mut map = serializer.serialize_map(None)?;
        serialize_common(&mut map, room)?;
        map.serialize_entry("session", &room.session)?;
        map.serialize_entry("sessionid", &*room.id)?;
        map.serialize_entry("isRoomFull", &room.is_full)?;
        map.serialize_entry("isPasswordProtected", &room.is_password_protected)?;
        map.end()
    }
}

/// A room in the list for admins, without its password.
pub(super) struct AdminRoom<'a>(pub(super) &'a RoomInfo<Json>);

impl Serialize for AdminRoom<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(room) = self;
        let mut map = serializer.serialize_map(None)?;
        serialize_common(&mut map, room)?;
        map.serialize_entry("identifier", room.identifier.as_deref().unwrap_or_default())?;
        map.serialize_entry("session", &room.session)?;
        map.serialize_entry("isPasswordProtected", &room.is_password_protected)?;
        map.end()
    }
}

/// The members with which both views begin, in the original's order, which pages show.
fn serialize_common<M: SerializeMap>(map: &mut M, room: &RoomInfo<Json>) -> Result<(), M::Error> {
    map.serialize_entry("maxParticipantsAllowed", &room.max_participants)?;
    map.serialize_entry("owner", &*room.owner)?;
    map.serialize_entry("participants", &room.participants.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;
    map.serialize_entry("extra", &room.extra)
}
