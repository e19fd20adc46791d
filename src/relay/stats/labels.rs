//! The kinds that are counted separately, with their labels in `/metrics`.

use crate::turn::codec::message::ParseError;
use crate::turn::{DropReason, Transport};

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

labelled! {
    /// Why a packet was neither relayed nor answered: the engine's reasons, and those of the sockets.
    pub enum DropCause {
        Malformed => "malformed",
        MalformedChannelData => "malformed_channel_data",
        MalformedIndication => "malformed_indication",
        Response => "response",
        Indication => "indication",
        UnsupportedMethod => "unsupported_method",
        Bare => "bare",
        RateLimited => "rate_limited",
        Throttled => "throttled",
        Pending => "pending",
        NoAllocation => "no_allocation",
        NoPermission => "no_permission",
        NoChannel => "no_channel",
        NoRelayedAddress => "no_relay",
        DeniedPeer => "denied_peer",
        Loop => "loop",
        Bandwidth => "bandwidth",
        TooLong => "too_long",
        BadFingerprint => "bad_fingerprint",
        /// The queue of a client's TCP or TLS stream had no room.
        StreamFull => "stream_full",
        UnsentUnreachable => "unsent_unreachable",
        UnsentRefused => "unsent_refused",
        UnsentBufferFull => "unsent_buffer_full",
        /// The packet is longer than the path's MTU, or than UDP allows.
        UnsentTooLong => "unsent_too_long",
        UnsentOther => "unsent_other",
    }
}

labelled! {
    /// Why a client's stream was closed, or not taken in.
    pub enum CloseReason {
        Client => "client",
        Garbage => "garbage",
        Deadline => "deadline",
        Slow => "slow",
        Ended => "ended",
        Limit => "limit",
        /// The stream had no allocation, and made room for another one.
        Displaced => "displaced",
    }
}

/// The labels of a client's transport, in the order of [`Transport`].
pub const TRANSPORTS: [(Transport, &str); 3] = [(Transport::Udp, "udp"), (Transport::Tcp, "tcp"), (Transport::Tls, "tls")];

impl From<DropReason> for DropCause {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Malformed(ParseError::Fingerprint) => Self::BadFingerprint,
            DropReason::Malformed(_) => Self::Malformed,
            DropReason::MalformedChannelData => Self::MalformedChannelData,
            DropReason::MalformedIndication => Self::MalformedIndication,
            DropReason::Response => Self::Response,
            DropReason::Indication => Self::Indication,
            DropReason::UnsupportedMethod => Self::UnsupportedMethod,
            DropReason::Bare => Self::Bare,
            DropReason::RateLimited => Self::RateLimited,
            DropReason::Throttled | DropReason::Withheld => Self::Throttled,
            DropReason::Pending => Self::Pending,
            DropReason::NoAllocation => Self::NoAllocation,
            DropReason::NoPermission => Self::NoPermission,
            DropReason::NoChannel => Self::NoChannel,
            DropReason::NoRelayedAddress => Self::NoRelayedAddress,
            DropReason::DeniedPeer => Self::DeniedPeer,
            DropReason::Loop => Self::Loop,
            DropReason::Bandwidth => Self::Bandwidth,
            DropReason::TooLong => Self::TooLong,
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
