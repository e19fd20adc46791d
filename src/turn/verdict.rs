//! What an engine answers: a verdict for each packet, and outputs that are drained.

use std::net::SocketAddr;
use std::ops::Range;

use super::allocation::RelayTransport;
use super::codec::framing::{ChannelNumber, Framing};
use super::codec::message::ParseError;
use super::five_tuple::{FiveTuple, PeerConnectionId, RelayedAddressId};

/// What to do with the packet just handed in. Ranges are within its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Forward {
    Drop(DropReason),
    /// It was taken in; the answer, if any, comes as an [`Output`].
    Accepted,
    /// Send [`super::Engine::reply`] to `to.client`, from `to.server`.
    Reply {
        to: FiveTuple,
    },
    ToPeer {
        relay: RelayedAddressId,
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
    },
    /// Open a socket bound to `address` and say `relay_opened`. For TCP, one that listens.
    OpenRelay {
        relay: RelayedAddressId,
        address: SocketAddr,
        transport: RelayTransport,
    },
    CloseRelay {
        relay: RelayedAddressId,
    },
    ChannelBound {
        relay: RelayedAddressId,
        channel: ChannelNumber,
        peer: SocketAddr,
        to: FiveTuple,
    },
    ChannelUnbound {
        relay: RelayedAddressId,
        channel: ChannelNumber,
        peer: SocketAddr,
    },
    /// The client of an allocation has moved (RFC 8016): what arrives from `to` is this engine's from now on.
    Moved {
        from: FiveTuple,
        to: FiveTuple,
    },
    /// An allocation whose client had moved has ended: what arrives from there is no longer this engine's.
    MovedEnded {
        client: FiveTuple,
    },
    /// Connect to the peer from the relayed transport address, and say `peer_connected` (RFC 6062 §5.2).
    Connect {
        relay: RelayedAddressId,
        connection: PeerConnectionId,
        peer: SocketAddr,
    },
    /// Once the reply to ConnectionBind is written: pass bytes between this client connection and the peer connection.
    Splice {
        connection: PeerConnectionId,
        client: FiveTuple,
    },
    /// Close the peer connection, and the client connection that it is spliced with.
    CloseConnection {
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
