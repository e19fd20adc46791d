//! The names of RTCMultiConnection's events.

use crate::limits::reserved_names;

/// The ack for a name that no event of a client may have.
pub(super) const RESERVED_NAME: &str = "This event name is reserved, choose another one";

/// The events that only the server sends.
const SERVER_EVENTS: [&str; 15] = [
    "user-connected",
    "user-disconnected",
    "extra-data-updated",
    "userid-already-taken",
    "set-isInitiator-true",
    "user-not-found",
    "closed-entire-session",
    "start-broadcasting",
    "join-broadcaster",
    "rejoin-broadcast",
    "broadcast-stopped",
    "number-of-broadcast-viewers-updated",
    "scalable-broadcast-message",
    "logs",
    "admin",
];

/// Whether no client may send another client an event of that name.
pub(super) fn is_reserved(event: &str) -> bool {
    SERVER_EVENTS.contains(&event) || reserved_names::is_socket_event(event)
}
