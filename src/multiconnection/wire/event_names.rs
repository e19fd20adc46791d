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

/// The events that the server handles itself.
const REQUEST_EVENTS: [&str; 18] = [
    "open-room",
    "join-room",
    "check-presence",
    "is-valid-password",
    "set-password",
    "get-public-rooms",
    "changed-uuid",
    "disconnect-with",
    "extra-data-updated",
    "get-remote-user-extra-data",
    "close-entire-session",
    "set-custom-socket-event-listener",
    "join-broadcast",
    "can-relay-broadcast",
    "can-not-relay-broadcast",
    "check-broadcast-presence",
    "get-number-of-users-in-specific-broadcast",
    "admin",
];

/// Whether the server handles the event itself, rather than forwarding it.
pub(super) fn is_request(event: &str) -> bool {
    REQUEST_EVENTS.contains(&event)
}
