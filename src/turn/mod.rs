//! The STUN and TURN server as a state machine (RFC 8489, RFC 8656; RFC 5780, RFC 6062, RFC 8016): no socket, no clock, no task.
//!
//! **Owner.** One [`Engine`] is one shard: it lives by value on the thread that owns the shard's sockets. Nothing in it is locked.
//!
//! **Inputs.** `handle_client` for each datagram (or frame of a stream, cut by [`codec::framing::next_frame`]) from a client,
//! `handle_peer` for each datagram from a peer, `handle_relayed_address_opened` for each [`Output::OpenRelayedAddress`], `handle_timeout` when `next_timeout` has
//! come; besides `handle_client_closed`, `handle_icmp`, `revoke`, `set_policy`, `set_addresses`, and for TCP relays `handle_peer_connected`,
//! `handle_peer_accepted`, `handle_peer_connection_closed`. Each takes `now`.
//!
//! **Outputs.** Every packet gets a verdict, [`Verdict`]: payloads are forwarded as ranges of what came in, without a queue, a copy or
//! an allocation, and the answer to a request is in [`Engine::reply`] until the next call. Everything else is an [`Output`]; drain
//! `poll_output` after each call, in order. An Allocate is answered by an output once its relayed sockets are open.
//!
//! **The way through a request:** `relay` (dispatch) → `requests` (who asks, what is refused) → `requests::authenticate` → one file a
//! method. Data goes `relay` → `data`. Their state is `allocation` (and `connection` for RFC 6062).
//!
//! # Shards
//! Every map is owned by one engine, and an allocation never leaves the engine that made it. What must hold for the whole server is in
//! [`SharedState`], and each piece of it is as small as it can be:
//!
//! | What | Why it is shared | How |
//! |---|---|---|
//! | taken and live ports | a peer may be a relay of another shard; a reserved port may be claimed at another shard | one bit a port; each engine starts to look at a random one, so nobody waits |
//! | key of nonces, key of tickets | a client that moves lands at another shard | read only |
//! | total of allocations | 508 | one atomic |
//! | allocations of a user | 486 must hold in a burst to all shards | a mutex, taken when an allocation begins or ends |
//! | bandwidth of a user and the server | it is theirs, not a shard's | one atomic each and direction; untouched where there is no limit |
//! | reservations | RESERVATION-TOKEN may come to another shard | a mutex, taken for EVEN-PORT with R = 1 alone |
//! | challenges, Binding replies, failed authentications of a port | a limit a source must not grow with the shards | tables of fixed size, made of atomics |
//! | wrong passwords of a client, a site and at a user | the same | a mutex each for UDP and streams, taken where an allocation's key does not verify |
//!
//! What arrives at the wrong engine gets [`Verdict::ToShard`]: a Refresh with another engine's MOBILITY-TICKET, and a ConnectionBind
//! with another engine's CONNECTION-ID (its first byte names the engine). A moved client's later packets may keep arriving at the wrong
//! shard; [`Output::ClientMoved`] tells the shell which five-tuple to steer. A payload for a relay of another engine goes through the kernel.
//!
//! # Invariants
//! - Nothing is remembered for a stranger: no state before a valid nonce and credentials.
//! - Guessing is bounded and locks nobody out whose password can't be guessed. A nonce is good for one address and port and is checked
//!   before the credentials, so a failure's address is proven. Ten failures spend a port. Twenty a minute spend a client (an IPv4 address, an
//!   IPv6 /64; a /48 has four times that), over UDP and over streams by themselves: a datagram that somebody forges with an old nonce keeps
//!   no stream out. Beyond that no wrong password gets a verdict, and what may be a guess ([`CredentialSource::is_guessable`]) is looked at once
//!   in 3 s, over a stream later, over UDP when the client repeats it. Always looked at are signed credentials, the key of an allocation on
//!   its five-tuple, and the first try at a user who has had no wrong one from this site within a day, so that others behind the same NAT
//!   get in. All addresses together have a hundred wrong tries a minute at one user, first ones aside. See [`crate::limits::guesses`].
//! - Challenges are limited by source address, because a datagram's may be forged; a burst of fifty passes, so that a classroom behind one
//!   address gets in at once, and one port gets a fifth at most, so that one client that fails in a loop starves nobody.
//! - `Engine::end` is the one way an allocation ends, and gives back everything; `audit` (tests and fuzzing) checks that indices agree.
//! - Timers are an index with one entry an allocation. An entry may be early, never late: it fires, the allocation is swept, and the entry is
//!   set anew. `revoke`, `set_policy` and `set_addresses` are the only calls that look at every allocation.
//! - The peer policy is evaluated when a verb names a peer, and for every permission when the policy is replaced. What can change without
//!   that, namely which of our own ports are live relays, is evaluated for every packet.
//!
//! # Decisions
//! - **A codec of our own**, not the crate `stun`: that one copies every attribute to the heap, and the paths of data and the answers to
//!   strangers must not allocate. Measured by `benches/turn.rs` (ns, heap allocations, on a shared 2-core machine):
//!
//!   | | ours | crates `stun`, `turn` |
//!   |---|---|---|
//!   | read a Send indication of 1200 B | 16, 0 | 155, 5 |
//!   | read ChannelData of 1200 B | 2, 0 | 60, 2 |
//!   | read and verify a signed Refresh | 263, 0 | 981, 6 |
//!   | write a Binding reply | 9, 0 | 73, 7 |
//!
//!   With 10,000 allocations, a verdict on ChannelData takes 64 ns, on a Send indication 84, on a peer's datagram 31; a 401 takes 223, and
//!   an idle allocation 569 B in all indices. Only authenticated requests allocate. The crates stay as the cross-check: property tests read with one what the other wrote.
//! - **A channel ends its use with its permission**: ChannelData passes while the permission lives (300 s), as in coturn, though the binding
//!   lives for 600 s.
//! - **SHA-256 is offered where it does not amplify** ([`PasswordAlgorithms::Both`]): the nonce cookie and PASSWORD-ALGORITHMS would make the
//!   401 three times the smallest Allocate.
//! - **CredentialSource of the same user replace earlier ones** on Refresh, although RFC 8656 §5 wants the same username: the username of REST
//!   credentials holds their expiry. Another user gets 441.
//! - **A reservation ends with the allocation that made it**, after 30 s otherwise, so that quotas bound the ports of a user.
//! - **Errors carry no reason phrase**, for the same limit on amplification.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod allocation;
pub mod codec;
mod credentials;
mod data;
mod engine;
mod five_tuple;
mod mobility;
mod nonce;
mod policy;
mod ports;
mod rates;
mod requests;
mod settings;
mod shared;
mod tcp_peers;
mod verdict;

pub use allocation::PeerTransport;
pub use credentials::{
    CredentialSource, MIN_UNGUESSABLE_SECRET_BYTES, RestSecrets, StaticUsers, UserKeys, WallClock, rest_password, userhash,
};
pub use data::Direction;
pub use engine::{AllocationView, Engine, ShardSettings};
pub use five_tuple::{AllocationId, FiveTuple, PeerConnectionId, RelayedAddressId, Transport};
pub use policy::{DENIED, PeerPolicy};
pub use settings::{EngineSettings, Limits, NatDiscovery, PasswordAlgorithms, RelayedIp};
pub use shared::SharedState;
pub use verdict::{Answer, DropReason, OpenError, Output, Verdict};

#[cfg(test)]
mod tests;
