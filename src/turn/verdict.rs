//! What an engine answers: a verdict for each packet, and outputs that are drained.

use std::net::SocketAddr;
use std::ops::Range;

use super::codec::error_code::ErrorCode;
use super::codec::framing::{ChannelNumber, Framing};
use super::codec::header::Method;
use super::codec::message::ParseError;
use super::five_tuple::{FiveTuple, PeerTransport};
use super::ids::{PeerConnectionId, RelayedAddressId};

/// What to do with the packet just handed in. Ranges are within its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Drop(DropReason),
    /// It was taken in; the answer, if any, comes as an [`Output`].
    Accepted,
    /// Send [`super::Engine::reply`] to `to.client`, from `to.server`.
    Reply {
        to: FiveTuple,
        answer: Answer,
    },
    ToPeer {
        relayed: RelayedAddressId,
        peer: SocketAddr,
        payload: Range<usize>,
        /// Send with the DF bit (DONT-FRAGMENT).
        dont_fragment: bool,
    },
    /// Send to a client, with `framing` written in front.
    ToClient {
        to: FiveTuple,
        framing: Framing,
        payload: Range<usize>,
    },
    /// This message, and the connection it came over, belongs to another engine of this server.
    ToShard {
        shard: u8,
    },
}

/// What a message of the engine says, so that the shell never parses its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Success {
        method: Method,
    },
    Error {
        method: Method,
        code: ErrorCode,
        /// A 401 to a request that named a user. Without a user, a 401 is the challenge that every client begins with.
        failed_authentication: bool,
    },
    /// A Data indication for an ICMP error, or a ConnectionAttempt.
    Indication {
        method: Method,
    },
}

/// Why a packet was dropped. For counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Neither STUN nor ChannelData, or a STUN message that does not parse.
    Malformed(ParseError),
    /// ChannelData with a reserved number, or a length beyond the packet.
    MalformedChannelData,
    /// An indication without what it must have, or with attributes that we do not know.
    MalformedIndication,
    /// A STUN response.
    Response,
    /// An indication that a client does not send, or a Binding indication, which only keeps a NAT binding alive.
    Indication,
    UnsupportedMethod,
    /// Too short to be answered without amplifying.
    Bare,
    /// Too many unauthenticated or Binding requests from this source address.
    RateLimited,
    /// Too many failed authentications of this port, this client or at this user.
    Throttled,
    /// A wrong password that is not told: too many of this client were wrong before.
    Withheld,
    /// A retransmission of a request that is being worked on.
    Pending,
    NoAllocation,
    NoPermission,
    NoChannel,
    /// The allocation has no relayed transport address of the peer's family.
    NoRelay,
    /// The policy, or an address of ours that is no live relay.
    DeniedPeer,
    /// A client whose address is one of our relays.
    Loop,
    Bandwidth,
    TooLong,
}

/// What the shell does besides forwarding. Drain after every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// An answer that had to wait, or an indication.
    Transmit {
        to: FiveTuple,
        bytes: Vec<u8>,
        answer: Answer,
    },
    /// Open a socket bound to `address` and say `handle_relayed_address_opened`. For TCP, one that listens.
    OpenRelayedAddress {
        relayed: RelayedAddressId,
        address: SocketAddr,
        transport: PeerTransport,
    },
    CloseRelayedAddress {
        relayed: RelayedAddressId,
    },
    ChannelBound {
        relayed: RelayedAddressId,
        channel: ChannelNumber,
        peer: SocketAddr,
        to: FiveTuple,
    },
    ChannelUnbound {
        relayed: RelayedAddressId,
        channel: ChannelNumber,
        peer: SocketAddr,
    },
    /// The client of an allocation has moved (RFC 8016): what arrives from `to` is this engine's from now on.
    ClientMoved {
        from: FiveTuple,
        to: FiveTuple,
    },
    /// An allocation whose client had moved has ended: what arrives from there is no longer this engine's.
    MovedClientEnded {
        client: FiveTuple,
    },
    /// Connect to the peer from the relayed transport address, and say `handle_peer_connected` (RFC 6062 §5.2).
    ConnectPeer {
        relayed: RelayedAddressId,
        connection: PeerConnectionId,
        peer: SocketAddr,
    },
    /// Once the reply to ConnectionBind is written: pass bytes between this client connection and the peer connection.
    Splice {
        connection: PeerConnectionId,
        client: FiveTuple,
    },
    /// Close the peer connection, and the client connection that it is spliced with.
    ClosePeerConnection {
        connection: PeerConnectionId,
    },
}

/// Why a relayed socket could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// Another program has the port: the engine tries others.
    PortInUse,
    /// No descriptors, no buffers, no such address: 508.
    Failed,
}
