//! The kinds that are counted separately, with their labels in `/metrics`.

use crate::turn::codec::message::ParseError;
use crate::turn::{Direction, DropReason};

/// Declares an enum whose variants have labels, and a list of all variants in their order.
macro_rules! labelled {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident => $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The name in `/metrics`.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

labelled! {
    /// The direction of a payload.
    pub enum TrafficDirection {
        ToPeer => "to_peer",
        ToClient => "to_client",
        /// The payload went from one client of a shard to another, without passing through the kernel.
        BetweenClients => "between_clients",
    }
}

/// Declares [`DropCause`] from one list: each cause with its label, and with the engine's reasons that are counted as it.
macro_rules! drop_causes {
    ($($(#[$doc:meta])* $cause:ident => $label:literal $(<= $reasons:pat)?,)+) => {
        labelled! {
            /// Why a packet was neither relayed nor answered: the engine's reasons, and those of the sockets.
            pub enum DropCause { $($(#[$doc])* $cause => $label,)+ }
        }

        impl From<DropReason> for DropCause {
            fn from(reason: DropReason) -> Self {
                match reason { $($($reasons => Self::$cause,)?)+ }
            }
        }
    };
}

drop_causes! {
    Malformed => "malformed" <= DropReason::Malformed(
        ParseError::NotStun | ParseError::Length | ParseError::Attribute | ParseError::TooManyAttributes
    ),
    MalformedChannelData => "malformed_channel_data" <= DropReason::MalformedChannelData,
    MalformedIndication => "malformed_indication" <= DropReason::MalformedIndication,
    Response => "response" <= DropReason::Response,
    Indication => "indication" <= DropReason::Indication,
    UnsupportedMethod => "unsupported_method" <= DropReason::UnsupportedMethod,
    Bare => "bare" <= DropReason::Bare,
    RateLimited => "rate_limited" <= DropReason::RateLimited,
    Throttled => "throttled" <= DropReason::Throttled | DropReason::Withheld,
    Pending => "pending" <= DropReason::Pending,
    NoAllocation => "no_allocation" <= DropReason::NoAllocation,
    NoPermission => "no_permission" <= DropReason::NoPermission,
    NoChannel => "no_channel" <= DropReason::NoChannel,
    NoRelayedAddress => "no_relay" <= DropReason::NoRelayedAddress,
    DeniedPeer => "denied_peer" <= DropReason::DeniedPeer,
    Loop => "loop" <= DropReason::Loop,
    /// The receiving client has not sent to the relayed address of the sending one.
    NotContacted => "not_contacted" <= DropReason::NotContacted,
    Bandwidth => "bandwidth" <= DropReason::Bandwidth,
    TooLong => "too_long" <= DropReason::TooLong,
    BadFingerprint => "bad_fingerprint" <= DropReason::Malformed(ParseError::Fingerprint),
    /// The client's address is banned.
    Banned => "banned",
    /// The queue of a client's TCP or TLS stream had no room.
    StreamFull => "stream_full",
    /// Too many packets between relayed addresses waited for another shard.
    QueueFull => "queue_full",
    UnsentUnreachable => "unsent_unreachable",
    UnsentRefused => "unsent_refused",
    UnsentBufferFull => "unsent_buffer_full",
    /// The packet is longer than the path's MTU, or than UDP allows.
    UnsentTooLong => "unsent_too_long",
    UnsentOther => "unsent_other",
}

labelled! {
    /// Why a client's stream was closed, or not taken in.
    pub enum CloseReason {
        Client => "client",
        Garbage => "garbage",
        Deadline => "deadline",
        SlowReader => "slow",
        Ended => "ended",
        Limit => "limit",
        /// The client's address is banned.
        Banned => "banned",
        /// The stream had no allocation, and made room for another one.
        Displaced => "displaced",
        /// The stream began with TLS or HTTP, and went to the ingress. TURN inside TLS comes back as a new connection.
        Forwarded => "forwarded",
    }
}

impl From<Direction> for TrafficDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::ToPeer => Self::ToPeer,
            Direction::ToClient => Self::ToClient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_name() {
        for (reason, name) in [
            (DropReason::Malformed(ParseError::Fingerprint), "bad_fingerprint"),
            (DropReason::DeniedPeer, "denied_peer"),
            (DropReason::TooLong, "too_long"),
        ] {
            assert_eq!(DropCause::from(reason).label(), name);
        }
        assert_eq!([DropCause::StreamFull.label(), DropCause::UnsentOther.label()], ["stream_full", "unsent_other"]);
    }
}
