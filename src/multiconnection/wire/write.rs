//! Writes the events that clients get.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::arguments::{Argument, Arguments, Json, arguments};
use super::room_list::AdminRoom;
use crate::multiconnection::model::{Event, RoomInfo};

/// The name and the arguments of an event.
pub fn write(event: Event<Json>) -> (Arc<str>, Arguments) {
    let (name, arguments) = match event {
        Event::UserConnected(user) => ("user-connected", arguments!(user.as_ref())),
        Event::UserDisconnected(user) => ("user-disconnected", arguments!(user.as_ref())),
        Event::ExtraDataUpdated { user, extra } => {
            ("extra-data-updated", Arguments(vec![Json::of(&user.as_ref()).into(), extra.into()]))
        }
        Event::IdTaken { taken, instead } => ("userid-already-taken", arguments!(taken.as_ref(), instead.as_ref())),
        Event::Owner(room) => ("set-isInitiator-true", arguments!(room.as_ref())),
        Event::Message { event, to, sender, message, extra } => {
            return (event, Arguments(vec![Argument::Message { to, sender, message, extra }]));
        }
        Event::Custom { event, message } => return (event, message.into()),
        Event::StartBroadcasting { types } => ("start-broadcasting", types.into()),
        Event::JoinBroadcaster { types, user, broadcast } => {
            ("join-broadcaster", Arguments::one(&JoinBroadcaster { types, user: &user, broadcast: &broadcast }))
        }
        Event::RejoinBroadcast(broadcast) => ("rejoin-broadcast", arguments!(broadcast)),
        Event::BroadcastStopped(broadcast) => ("broadcast-stopped", arguments!(broadcast)),
        Event::BroadcastMessage(message) => ("scalable-broadcast-message", message.into()),
        Event::Viewers { count, broadcast } => (
            "number-of-broadcast-viewers-updated",
            arguments!(json!({"numberOfBroadcastViewers": count, "broadcastId": broadcast})),
        ),
        Event::Log(text) => ("logs", arguments!(text)),
        Event::AdminUpdate { rooms, users, broadcasting } => {
            ("admin", Arguments::one(&AdminUpdate { rooms, users, broadcasting }))
        }
    };
    (name.into(), arguments)
}

#[derive(Serialize)]
struct JoinBroadcaster<'a> {
    #[serde(rename = "typeOfStreams")]
    types: Json,
    #[serde(rename = "userid")]
    user: &'a str,
    #[serde(rename = "broadcastId")]
    broadcast: &'a str,
}

struct AdminUpdate {
    rooms: Option<Vec<RoomInfo<Json>>>,
    users: usize,
    broadcasting: usize,
}

impl Serialize for AdminUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("newUpdates", &self.rooms.is_none())?;
        match &self.rooms {
            Some(rooms) => {
                let listed: BTreeMap<&str, AdminRoom<'_>> = rooms.iter().map(|room| (&*room.id, AdminRoom(room))).collect();
                map.serialize_entry("listOfRooms", &listed)?;
            }
            None => map.serialize_entry("listOfRooms", &[(); 0])?,
        }
        map.serialize_entry("listOfUsers", &self.users)?;
        map.serialize_entry("scalableBroadcastUsers", &self.broadcasting)?;
        map.end()
    }
}
