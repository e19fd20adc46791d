//! The STUN and TURN server as a state machine (RFC 8489, RFC 8656; RFC 5780, RFC 6062, RFC 8016). It has no socket, no clock and
//! no task.
//!
//! **Owner.** One [`Engine`] is one shard. The thread that owns the shard's sockets owns the engine by value, so nothing in it is
//! locked.
//!
//! **Inputs.** [`Engine::handle_client`] takes each datagram of a client, or each frame of a client's stream (see
//! [`codec::framing::next_frame`]). [`Engine::handle_peer`] takes each datagram of a peer, [`Engine::handle_icmp`] each ICMP
//! error, and [`Engine::handle_relayed`] each payload that another engine passes on. [`Engine::handle_relayed_address_opened`]
//! takes the result of each [`Output::OpenRelayedAddress`]. [`Engine::handle_timeout`] is due when [`Engine::next_timeout`] says
//! so, and [`Engine::handle_client_closed`] when a client's stream has ended. TCP allocations add
//! [`Engine::handle_peer_connected`], [`Engine::handle_peer_accepted`], [`Engine::handle_peer_connection_bytes`] and
//! [`Engine::handle_peer_connection_closed`]. [`Engine::end_users`], [`Engine::end_addresses`], [`Engine::replace_policy`] and
//! [`Engine::replace_addresses`] come from the operator. Inputs that depend on time take `now`.
//!
//! **Outputs.** Each packet gets a [`Verdict`]. Payloads are forwarded as ranges of the received bytes, without a queue, a copy
//! or a heap allocation; the answer to a request is in [`Engine::reply`] until the next call, and the verdict says what it is
//! ([`Answer`]). All other consequences are an [`Output`]: after each input the shell drains [`Engine::poll_output`], in order.
//! An Allocate is answered by an output, once its relayed sockets are open.
//!
//! **Errors.** A packet that is not answered has a [`DropReason`]; a refused request has an error code
//! ([`codec::error_code::ErrorCode`]), and a [`RefusalReason`] for the operator ([`Output::Refused`]). The shell reports an
//! [`OpenError`]. Inside `requests`, a handler returns a `Refusal`.
//! Nothing else fails.
//!
//! # The run loop
//! A shell for UDP with one socket for its clients. A real one also polls the relayed sockets and passes their datagrams to
//! `handle_peer`.
//!
//! ```no_run
//! use std::collections::HashMap;
//! use std::io::{self, ErrorKind};
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant};
//!
//! use castway::turn::codec::framing::MAX_FRAMING_HEADER_BYTES;
//! use castway::turn::{Engine, FiveTuple, OpenError, Output, Transport, Verdict};
//!
//! fn serve(clients: &UdpSocket, mut engine: Engine) -> io::Result<()> {
//!     let server = clients.local_addr()?;
//!     let mut sockets = HashMap::new();
//!     let mut buffer = vec![0; MAX_FRAMING_HEADER_BYTES + 65_535];
//!     loop {
//!         // 1. Wait for an input, but no longer than the engine allows.
//!         let left = engine.next_timeout().map(|at| at.saturating_duration_since(Instant::now()));
//!         clients.set_read_timeout(left.map(|left| left.max(Duration::from_millis(1))))?;
//!         let received = clients.recv_from(&mut buffer[MAX_FRAMING_HEADER_BYTES..]);
//!         let now = Instant::now();
//!         // 2. Hand it in, and do what the verdict says.
//!         match received {
//!             Ok((len, client)) => {
//!                 let from = FiveTuple { client, server, transport: Transport::Udp };
//!                 match engine.handle_client(from, &buffer[MAX_FRAMING_HEADER_BYTES..][..len], now) {
//!                     Verdict::Reply { to, .. } => drop(clients.send_to(engine.reply(), to.client)),
//!                     Verdict::ToPeer { relayed, peer, payload, .. } => {
//!                         let socket: &UdpSocket = &sockets[&relayed];
//!                         drop(socket.send_to(&buffer[MAX_FRAMING_HEADER_BYTES..][payload], peer));
//!                     }
//!                     // Another client of this server: the header goes in front of the payload, where it lies.
//!                     Verdict::ToClient { to, framing, payload } => {
//!                         let (start, end) = (MAX_FRAMING_HEADER_BYTES + payload.start, MAX_FRAMING_HEADER_BYTES + payload.end);
//!                         let header = framing.write_header(&mut buffer[..start], payload.len());
//!                         let padding = framing.padding(payload.len(), false);
//!                         buffer[end..end + padding].fill(0);
//!                         drop(clients.send_to(&buffer[start - header..end + padding], to.client));
//!                     }
//!                     // The others belong to a server with several engines.
//!                     Verdict::Drop(_) | Verdict::Accepted | Verdict::ToShard { .. } | Verdict::ToRelayedAddress { .. } => {}
//!                 }
//!             }
//!             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
//!             Err(error) => return Err(error),
//!         }
//!         engine.handle_timeout(now);
//!         // 3. Drain the outputs, in order.
//!         while let Some(output) = engine.poll_output() {
//!             match output {
//!                 Output::Transmit { to, bytes, .. } => drop(clients.send_to(&bytes, to.client)),
//!                 Output::OpenRelayedAddress { relayed, address, .. } => {
//!                     let result = match UdpSocket::bind(address) {
//!                         Ok(socket) => Ok(drop(sockets.insert(relayed, socket))),
//!                         Err(error) if error.kind() == ErrorKind::AddrInUse => Err(OpenError::PortInUse),
//!                         Err(_) => Err(OpenError::Failed),
//!                     };
//!                     engine.handle_relayed_address_opened(relayed, result, now);
//!                 }
//!                 Output::CloseRelayedAddress { relayed } => drop(sockets.remove(&relayed)),
//!                 _ => {} // Moved clients, TCP allocations and the operator's log.
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # How a packet passes through the files
//! - A request: `inputs` (STUN or ChannelData) → `requests::dispatch` → `requests::authentication` → the file of its method →
//!   `requests::response`. Allocate continues in `requests::opening`, Connect in `tcp_peers`.
//! - Data to a peer: `inputs` → `data` → `peer_location` (may it go there) → `peers` (permission, channel) → `bandwidth`.
//! - Data between two clients of this server: the same, and then `delivery` (may the receiver get it) → `bandwidth`.
//! - Data to a client: `inputs` → `peer_location` → `data` → `peers` → `bandwidth`; the shell writes the header
//!   ([`codec::framing`]).
//! - The state is in `engine`: `allocation_table` with each `allocation`, `peer_connection_table`, and [`SharedState`].
//!
//! # Shards
//! One engine owns every map, and an allocation never leaves the engine that made it. State of the whole server is in
//! [`SharedState`], and each piece of it is as small as possible:
//!
//! | What | Why it is shared | How |
//! |---|---|---|
//! | taken and live ports | a peer may be a relayed address of another shard; a client may claim a reserved port at another shard | one bit and one word a port; each engine starts to search at a random port, so that no engine waits |
//! | keys of nonces and of tickets | a client that moves arrives at another shard | read only |
//! | total of allocations | 508 | one atomic |
//! | the number of the last allocation | an operator names an allocation by it | one atomic |
//! | allocations of a user | 486 must hold in a burst to all shards | a mutex, taken when an allocation begins or ends |
//! | bandwidth of a user, of all strangers, and of the server | the limits are not a shard's | one atomic for each direction; untouched where no limit is set |
//! | allocations of strangers, by site | 486 and 508; above the capacity, an engine displaces an allocation of any other ([`Output::DisplaceAllocation`]) | a mutex, taken when an allocation of a stranger begins or ends, and when one of a user begins while capacity is scarce |
//! | bytes that a site of strangers has sent lately | the site that sends the most yields first | one atomic for each direction |
//! | descriptors of relayed sockets in use | strangers yield before they run out | two atomics that the shell writes |
//! | deliveries | the client of a relayed address may be sent to by any engine | a mutex, taken when a relayed address begins or ends, and when a client names another one for the first time; packets read what was published without a lock |
//! | reservations | RESERVATION-TOKEN may come to another shard | a mutex, taken only for EVEN-PORT with R = 1 |
//! | challenges and Binding replies of a source, and the sources that have authenticated lately | the limit of a source must not grow with the shards | tables of fixed size: a mutex for each four sources, taken for an unsigned answer over UDP, and atomics |
//! | challenges and failed authentications of a port | the same | tables of fixed size, made of atomics |
//! | wrong passwords of a client, of a site and at a user | the same | a mutex each for UDP and streams, taken where the key of an allocation does not verify |
//!
//! A message that arrives at the wrong engine gets [`Verdict::ToShard`]: a Refresh with another engine's MOBILITY-TICKET, or a
//! ConnectionBind with another engine's CONNECTION-ID (its first byte names the engine). The later packets of a moved client may
//! still arrive at the wrong shard; [`Output::ClientMoved`] tells the shell which five-tuple to redirect. A payload for a relayed
//! address of another engine is delivered without that engine, as it has published (`delivery`), unless the client uses a stream:
//! then the verdict is [`Verdict::ToRelayedAddress`].
//!
//! # Invariants
//! - Nothing is remembered for a stranger: there is no state before a valid nonce and credentials.
//! - A refusal is reported to the operator only if its client has proved its address, as every client with a valid nonce has.
//! - Guessing is bounded, and does not lock out a user whose password cannot be guessed. A nonce is valid for one address and
//!   port and is checked before the credentials, so the address of a failure is proven. Ten failures exhaust a port. Twenty a
//!   minute exhaust a client (an IPv4 address or an IPv6 /64; a /48 has four times as many), counted for UDP and for streams
//!   separately, so that a forged datagram with an old nonce keeps no stream out. Beyond that no wrong password gets an answer,
//!   and credentials that may be a guess ([`CredentialSource::is_guessable`]) are checked once in 3 s: over a stream the request
//!   waits, over UDP the client repeats it. Always checked are signed credentials, the key of an allocation on its five-tuple,
//!   and the first attempt at a user that has had no wrong password from this site within a day, so that others behind the same
//!   NAT get in. All addresses together have a hundred wrong attempts a minute at one user, first attempts excepted. See
//!   [`crate::limits::guesses`].
//! - Challenges and Binding replies over UDP are limited by source, because the source of a datagram may be forged. A source gets 10
//!   challenges a second, and 200 answers once a request from it has been authenticated, so that a classroom behind one address
//!   gets in together: the first few clients open the way for the others. One port gets at most half of the 10 in two seconds, so
//!   that one client that fails in a loop starves no other. See `answer_limits`.
//! - What strangers (credentials of the scope *clients*) hold and send is bounded, and they yield to each other and to users: the
//!   rules are in `strangers` (allocations) and `stranger_bandwidth`.
//! - `Engine::end` is the one way an allocation ends, and it gives back everything; `audit` (tests and fuzzing) checks that
//!   indices agree.
//! - The timers are an index with one entry an allocation. An entry may be early, never late: when it fires, the allocation is
//!   swept, and the entry is set anew. Only `end_all` visits every allocation. What else concerns all of them (`end_users`,
//!   `end_addresses`, `settle`, `close_denied`) takes the places of a part, so that the shell serves its sockets between two parts.
//! - The peer policy is evaluated when a request names a peer, and for every permission after the policy was replaced (`close_denied`). Which of our
//!   own ports are live relayed addresses can change at any time, so that is evaluated for every packet.
//!
//! # Decisions
//! - **A codec of our own**, not the crate `stun`: the crate copies every attribute to the heap, and the data paths and the
//!   answers to strangers must not allocate. Measured by `benches/turn.rs` (ns, heap allocations, on a shared 2-core machine):
//!
//!   | | ours | crates `stun`, `turn` |
//!   |---|---|---|
//!   | read a Send indication of 1200 B | 16, 0 | 155, 5 |
//!   | read ChannelData of 1200 B | 2, 0 | 60, 2 |
//!   | read and verify a signed Refresh | 263, 0 | 981, 6 |
//!   | write a Binding reply | 9, 0 | 73, 7 |
//!
//!   With 10,000 allocations, a verdict on ChannelData takes 64 ns, on a Send indication 84, on a peer's datagram 31; a 401 takes
//!   223, and an idle allocation 569 B in all indices. Only requests with a valid nonce allocate. The crates stay as a cross-check:
//!   property tests read with one what the other wrote.
//! - **The permission that a ChannelBind installs lives as long as the channel** (600 s), as in coturn, and one of CreatePermission for
//!   300 s. By RFC 8656 §9 each lives for 300 s, but aioice and werift refresh nothing except their channels, every 500 s.
//! - **SHA-256 is offered where it does not amplify** ([`PasswordAlgorithms::Both`]): the nonce cookie and PASSWORD-ALGORITHMS
//!   would make the 401 three times the smallest Allocate.
//! - **Credentials of the same user replace earlier ones** on Refresh, although RFC 8656 §5 asks for the same username: the
//!   username of TURN REST credentials contains their expiry. Another user gets 441.
//! - **A reservation ends with the allocation that made it**, after 30 s otherwise, so that quotas bound the ports of a user.
//! - **Errors carry no reason phrase**, for the same limit on amplification.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod allocation;
mod allocation_table;
mod answer_limits;
mod bandwidth;
pub mod codec;
mod credentials;
mod data;
mod delivery;
mod engine;
mod five_tuple;
mod ids;
mod inputs;
mod internal_ports;
mod listing;
mod mobility;
mod nonce;
mod peer_connection_table;
mod peer_location;
mod peers;
mod policy;
mod ports;
mod rate_limit;
mod refusal;
mod requests;
mod settings;
mod shared;
mod source_limits;
mod stranger_bandwidth;
mod stranger_table;
mod strangers;
mod stream_payload;
mod tcp_peers;
mod user_account;
mod user_usage;
mod verdict;

pub use bandwidth::Direction;
pub use credentials::{CredentialEvidence, CredentialSource, Scope, UserKeys};
pub use engine::{Engine, ShardSettings};
pub use five_tuple::{FiveTuple, PeerTransport, STANDARD_PORT, Transport};
pub use ids::{AllocationId, PeerConnectionId, RelayedAddressId};
pub use internal_ports::internal_ports;
pub use listing::{ListedAllocation, MAX_LISTED_PEERS};
pub use policy::PeerPolicy;
pub use refusal::{CredentialRefusal, OpenError, RefusalReason, RefusedRequest};
pub use settings::{DefaultFamily, EngineSettings, Limits, MachineAddresses, NatDiscovery, PasswordAlgorithms, RelayedIp};
pub use shared::SharedState;
pub use user_account::UserAccount;
pub use verdict::{Answer, DropReason, Output, Verdict};

// The fuzz targets run histories with the kit of the tests.
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code, unused_imports))]
pub mod tests;
