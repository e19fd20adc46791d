//! What the clients of a server do, read from random bytes. A history names peers by their client, because the servers that it is
//! applied to give out different ports.

use crate::turn::codec::attribute::AddressFamily;
use crate::turn::tests::input::Input;
use crate::turn::tests::{TCP, UDP};

pub(super) const CLIENTS: usize = 7;
/// The last bytes of the IPv4 addresses that a server is advertised under, one after the other. An engine remembers more former
/// addresses than these.
pub(super) const ADVERTISED: [u8; 4] = [1, 8, 9, 10];
/// A time from which every allocation, nonce and reservation has expired, except allocations with a longer LIFETIME.
const LONG_SECONDS: u64 = 700;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Allocate { client: usize, wish: Wish },
    Retransmit { client: usize },
    Refresh { client: usize, lifetime: Option<u32>, family: Option<u8>, key_of_other_scope: bool },
    Permit { client: usize, peers: Vec<Peer> },
    Bind { client: usize, channel: u16, peer: Peer },
    Send { client: usize, peer: Peer, burst: Burst },
    ChannelData { client: usize, channel: u16, burst: Burst },
    Advance { seconds: u64 },
    Close { client: usize },
    Move { client: usize, ticket_of: usize },
    Revoke { user: usize },
    Advertise { last: u8 },
}

/// The attributes of an Allocate.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) transport: u32,
    pub(super) family: Option<u8>,
    pub(super) additional: Option<u8>,
    /// The flags of EVEN-PORT.
    pub(super) even_port: Option<u8>,
    /// Claims the reservation that this client was given last.
    pub(super) reservation_of: Option<usize>,
    pub(super) lifetime: Option<u32>,
    pub(super) mobile: bool,
}

impl Wish {
    const PLAIN: Self = Self {
        transport: UDP,
        family: None,
        additional: None,
        even_port: None,
        reservation_of: None,
        lifetime: None,
        mobile: false,
    };
}

/// The relayed address that a client was given last, which may be gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) client: usize,
    pub(super) family: AddressFamily,
    pub(super) name: PeerName,
}

/// The ways in which one relayed address can be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum PeerName {
    /// As its client was told.
    Told,
    /// With the IP address that is advertised now.
    Advertised,
    /// With the IP address that sockets are bound to.
    Bound,
    /// An IPv4 address as an IPv4-mapped IPv6 address.
    Mapped,
}

/// Payloads of one length, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) packets: usize,
    pub(super) bytes: usize,
}

pub(super) fn read(bytes: &[u8]) -> Vec<Op> {
    let mut input = Input::new(bytes);
    let mut history = Vec::new();
    // Most histories begin with clients that have allocated.
    if input.byte() % 8 != 7 {
        history.extend((0..CLIENTS).map(|client| Op::Allocate { client, wish: Wish::PLAIN }));
    }
    let mut pairs = Vec::new();
    let mut channels = Vec::new();
    while !input.is_empty() {
        let mut op = op(&mut input);
        // Random packets would mostly be lost, so that most are sent where a client has named a peer before.
        match &mut op {
            Op::Permit { client, peers } => {
                let own = Peer { client: *client, ..peers[0] };
                pairs.push((*client, peers[0]));
                if input.below(4) != 0 {
                    pairs.push((peers[0].client, own));
                    history.push(Op::Permit { client: peers[0].client, peers: vec![own] });
                    history.push(Op::Send { client: peers[0].client, peer: own, burst: Burst { packets: 1, bytes: 8 } });
                }
            }
            Op::Bind { client, channel, peer } => {
                channels.push((*client, *channel));
                pairs.push((peer.client, Peer { client: *client, ..*peer }));
            }
            Op::Send { client, peer, .. } if !pairs.is_empty() && input.below(4) != 0 => {
                (*client, *peer) = pairs[input.below(pairs.len())];
            }
            Op::ChannelData { client, channel, .. } if !channels.is_empty() && input.below(4) != 0 => {
                (*client, *channel) = channels[input.below(channels.len())];
            }
            Op::Send { .. }
            | Op::ChannelData { .. }
            | Op::Allocate { .. }
            | Op::Retransmit { .. }
            | Op::Refresh { .. }
            | Op::Advance { .. }
            | Op::Close { .. }
            | Op::Move { .. }
            | Op::Revoke { .. }
            | Op::Advertise { .. } => {}
        }
        history.push(op);
    }
    history
}

fn op(input: &mut Input<'_>) -> Op {
    let kind = input.byte();
    let client = input.below(CLIENTS);
    match kind % 32 {
        0..=2 => Op::Allocate { client, wish: Wish::PLAIN },
        3..=5 => Op::Allocate { client, wish: wish(input) },
        6 => Op::Retransmit { client },
        7 | 8 => Op::Refresh {
            client,
            lifetime: lifetime(input),
            family: input.one_of(&[None, None, None, Some(1), Some(2)]),
            key_of_other_scope: input.below(8) == 7,
        },
        9..=12 => {
            let count = 1 + input.below(3);
            Op::Permit { client, peers: (0..count).map(|_| peer(input)).collect() }
        }
        13..=16 => Op::Bind { client, channel: channel(input), peer: peer(input) },
        17..=21 => Op::Send { client, peer: peer(input), burst: burst(input) },
        22..=25 => Op::ChannelData { client, channel: channel(input), burst: burst(input) },
        26 => Op::Advance { seconds: u64::from(input.byte() % 64) },
        27 => Op::Advance { seconds: input.one_of(&[0, 1, 20, 100, 300, LONG_SECONDS, 6 * LONG_SECONDS]) },
        28 => Op::Close { client },
        29 => Op::Move { client, ticket_of: input.below(CLIENTS) },
        30 => Op::Revoke { user: client },
        _ => Op::Advertise { last: input.one_of(&ADVERTISED) },
    }
}

fn wish(input: &mut Input<'_>) -> Wish {
    let flags = input.byte();
    let mut wish = Wish { mobile: flags & 1 != 0, ..Wish::PLAIN };
    if flags & 2 != 0 {
        wish.additional = Some(input.one_of(&[2, 2, 2, 1]));
    }
    if flags & 4 != 0 {
        wish.family = Some(input.one_of(&[1, 2, 2, 3]));
    }
    if flags & 8 != 0 {
        wish.even_port = Some(input.one_of(&[0, 0x80]));
    }
    if flags & 16 != 0 {
        wish.reservation_of = Some(input.below(CLIENTS));
    }
    if flags & 32 != 0 {
        wish.lifetime = lifetime(input);
    }
    if flags & 0xC0 == 0xC0 {
        wish.transport = input.one_of(&[TCP, UDP, 0]);
    }
    wish
}

fn lifetime(input: &mut Input<'_>) -> Option<u32> {
    input.one_of(&[None, Some(0), Some(30), Some(1000), Some(3600), Some(u32::MAX)])
}

fn channel(input: &mut Input<'_>) -> u16 {
    0x4000 + u16::from(input.byte() % 4)
}

fn peer(input: &mut Input<'_>) -> Peer {
    let choice = input.byte();
    let family = if choice & 0x38 == 0x38 { AddressFamily::V6 } else { AddressFamily::V4 };
    let name = match choice >> 6 {
        0 | 1 => PeerName::Told,
        2 => PeerName::Advertised,
        _ if choice & 0x10 != 0 => PeerName::Bound,
        _ => PeerName::Mapped,
    };
    Peer { client: usize::from(choice & 7) % CLIENTS, family, name }
}

fn burst(input: &mut Input<'_>) -> Burst {
    let choice = input.byte();
    let packets = [1, 1, 2, 5][usize::from(choice & 3)];
    let bytes = [8, 1200, 1199, 0, 20_000, 65_515, 65_535, 4][usize::from(choice >> 2 & 7)];
    Burst { packets, bytes }
}
