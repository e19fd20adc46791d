//! Names that clients may not use for rooms, users and events, because other clients look them up in JavaScript objects. PURE.
//!
//! Clients in JavaScript keep other users in plain objects, as `peers[id]`. There `peers['__proto__']` is the prototype of every object of the
//! page, and `peers['toString']` looks like a peer. Names that only contain such a word are allowed.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

/// The properties that every object or function has.
const PROPERTIES: [&str; 13] = [
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "prototype",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// The properties of RTCMultiConnection's `connection.peers` that are not peers.
const PEERS_PROPERTIES: [&str; 6] = ["forEach", "getAllParticipants", "getLength", "selectFirst", "send", "streams"];

/// Events that a socket of socket.io-client 1 to 4 emits to its own page.
const SOCKET_EVENTS: [&str; 16] = [
    "connect",
    "connect_error",
    "connect_timeout",
    "connecting",
    "disconnect",
    "disconnecting",
    "error",
    "newListener",
    "ping",
    "pong",
    "reconnect",
    "reconnect_attempt",
    "reconnect_error",
    "reconnect_failed",
    "reconnecting",
    "removeListener",
];

/// Whether every object has a property of that name. Rooms, users and events can't have such a name.
#[must_use]
pub fn is_property(name: &str) -> bool {
    PROPERTIES.contains(&name)
}

/// Whether a user of RTCMultiConnection can't have this id.
#[must_use]
pub fn is_property_of_peers(name: &str) -> bool {
    is_property(name) || PEERS_PROPERTIES.contains(&name)
}

/// Whether a client can't send an event of that name to another client.
#[must_use]
pub fn is_socket_event(name: &str) -> bool {
    is_property(name) || SOCKET_EVENTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_contains_a_reserved_one_is_free() {
        for free in [
            "",
            "constructor-room",
            "proto",
            "__proto",
            "Constructor",
            "to_string",
            "open",
            "message",
            "connected",
            "disconnect-with",
        ] {
            assert!(!is_property_of_peers(free) && !is_socket_event(free), "{free}");
        }
        for reserved in PROPERTIES {
            assert!(is_property(reserved) && is_property_of_peers(reserved) && is_socket_event(reserved), "{reserved}");
        }
        assert!(!is_property("send") && is_property_of_peers("send"), "a room may be called so");
        assert!(!is_property("ping") && is_socket_event("ping"), "a user may be called so");
    }
}
