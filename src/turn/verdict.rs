//! The results of an engine: a verdict for each packet, and outputs that the shell drains.

use std::net::SocketAddr;
use std::ops::Range;

use super::codec::error_code::ErrorCode;
use super::codec::framing::Framing;
use super::codec::header::Method;
use super::codec::message::ParseError;
use super::five_tuple::{FiveTuple, PeerTransport};
use super::ids::{AllocationId, PeerConnectionId, RelayedAddressId};
use super::refusal::RefusedRequest;

/// Tells the shell what to do with the packet that it has just handed in. Ranges refer to the bytes of that packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Drop(DropReason),
    /// The shell has nothing to do now: the answer comes as an [`Output`].
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
    /// Send the payload to a client, with `framing` in front of it.
    ToClient {
        to: FiveTuple,
        framing: Framing,
        payload: Range<usize>,
    },
    /// Hand the payload to another engine of this server, with [`super::Engine::handle_relayed`]: its client uses a stream, which
    /// has one owner. `from` and `to` are relayed addresses of this server. Payloads from one address to another must keep their
    /// order; the sender has been charged for them, and a bound on those that wait must be the sender's own.
    ToRelayedAddress {
        shard: u8,
        from: SocketAddr,
        to: SocketAddr,
        payload: Range<usize>,
    },
    /// The message, and the stream it came over, belong to another engine of this server.
    ToShard {
        shard: u8,
    },
}

/// The content of a message to a client, so that the shell never parses the bytes.
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

/// Why a packet was dropped. The metrics have a counter for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Neither STUN nor ChannelData, or a STUN message that does not parse.
    Malformed(ParseError),
    /// ChannelData shorter than its header, or with a length beyond the packet. Every datagram whose first byte is 0x40 to 0x7F
    /// is taken for ChannelData, so text is counted here, too.
    MalformedChannelData,
    /// An indication without a required attribute, or with an unknown one.
    MalformedIndication,
    /// A STUN response.
    Response,
    /// An indication that a client does not send, or a Binding indication, which only keeps a NAT binding alive.
    Indication,
    /// A method that this server does not serve, or one that is turned off.
    UnsupportedMethod,
    /// An unauthenticated request so short that an answer would amplify it.
    Bare,
    /// Too many unauthenticated or Binding requests from this source address.
    RateLimited,
    /// Too many failed authentications of this port, this client or at this user.
    Throttled,
    /// A wrong password that gets no answer, because the client has sent too many wrong ones before.
    Withheld,
    /// A retransmission of a request whose answer is still to come.
    Pending,
    /// The five-tuple has no live allocation.
    NoAllocation,
    /// No live permission for the peer's address, in either direction.
    NoPermission,
    /// ChannelData for a number that is not bound, or no longer.
    NoChannel,
    /// The allocation has no relayed transport address of the peer's family.
    NoRelayedAddress,
    /// The policy denies the peer, or the peer is an address of this server that is not a live relayed address.
    DeniedPeer,
    /// The client address is a relayed address of this server.
    Loop,
    /// The sender is a relayed address of this server to which the receiving client has not sent.
    NotContacted,
    /// A byte limit is exhausted.
    Bandwidth,
    /// The payload does not fit behind the header of ChannelData or of a Data indication.
    TooLong,
}

/// A consequence that the shell carries out. The shell drains these after every input, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A late answer, or an indication.
    Transmit {
        to: FiveTuple,
        bytes: Vec<u8>,
        answer: Answer,
    },
    /// A request was refused whose sender has proved its address: the operator may want to know why.
    Refused(Box<RefusedRequest>),
    /// An allocation of a stranger has ended for another one, because capacity is scarce.
    Displaced {
        client: FiveTuple,
        user: Box<str>,
    },
    /// Open a socket bound to `address`, a listening one for TCP, and call `handle_relayed_address_opened`.
    OpenRelayedAddress {
        relayed: RelayedAddressId,
        address: SocketAddr,
        transport: PeerTransport,
    },
    CloseRelayedAddress {
        relayed: RelayedAddressId,
    },
    /// The client of an allocation has moved (RFC 8016): packets from `to` belong to this engine from now on.
    ClientMoved {
        from: FiveTuple,
        to: FiveTuple,
    },
    /// An allocation whose client had moved has ended: packets from `client` no longer belong to this engine.
    MovedClientEnded {
        client: FiveTuple,
    },
    /// Capacity is scarce: call [`super::Engine::displace`] of another engine of this server. Each allocation is displaced at most
    /// once.
    DisplaceAllocation {
        shard: u8,
        allocation: AllocationId,
    },
    /// Connect to the peer from the relayed transport address, and call `handle_peer_connected` (RFC 6062 §5.2).
    ConnectPeer {
        relayed: RelayedAddressId,
        connection: PeerConnectionId,
        peer: SocketAddr,
    },
    /// After the reply to ConnectionBind is written, pass bytes between this client connection and the peer connection.
    Splice {
        connection: PeerConnectionId,
        client: FiveTuple,
    },
    /// Close the peer connection, and the client connection that is spliced with it.
    ClosePeerConnection {
        connection: PeerConnectionId,
    },
}
