//! Names that a client may give to nothing that other clients look up, or listen to, by that name. PURE.
//!
//! Clients of JavaScript keep what they know of others in plain objects, as `peers[id]`: there `peers['__proto__']` is the ancestor
//! of every object of the page, and `peers['toString']` is taken for a peer that is there. Names that only contain such a word are
//! free.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

/// What every object inherits, and what every function has.
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

/// What `connection.peers` of RTCMultiConnection has besides peers.
const PROPERTIES_OF_PEERS: [&str; 6] = ["forEach", "getAllParticipants", "getLength", "selectFirst", "send", "streams"];

/// What a socket of socket.io-client 1 to 4 tells its own page.
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

/// Whether every object has a property of that name, so that it can be no room's, no client's and no event's.
#[must_use]
pub fn is_property(name: &str) -> bool {
    PROPERTIES.contains(&name)
}

/// Whether a user of RTCMultiConnection can't have it as an id.
#[must_use]
pub fn is_property_of_peers(name: &str) -> bool {
    is_property(name) || PROPERTIES_OF_PEERS.contains(&name)
}

/// Whether a client can't have another one hear an event of that name.
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
