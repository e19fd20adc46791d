//! The paths of the relay: packets and requests in the engine, frames of streams, and the decision when a shard wakes.

// The bench compiles the file itself, because the library keeps the type to its relay.
#[path = "../../src/relay/shard/coalescing.rs"]
#[allow(dead_code, unused_imports, reason = "cargo sets cfg(test) for benches, and nothing here runs the file's tests")]
mod coalescing;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use castway::turn::codec::attribute;
use castway::turn::codec::error_code::ErrorCode;
use castway::turn::codec::framing::{Framing, MAX_FRAMING_HEADER_BYTES, StreamFrame, next_frame};
use castway::turn::codec::header::Method;
use castway::turn::{Answer, FiveTuple, RelayedAddressId, Scope, Transport, Verdict};

use crate::allocated::{Allocated, USER, client, shell, unsigned};
use crate::engine::{Shell, channel_data, send_indication, signed, udp};
use crate::hot_path::HotPath;
use coalescing::WakeCoalescer;

pub(crate) const PATHS: [HotPath; 11] = [
    HotPath { name: "channel-to-peer", prepare: channel_to_peer },
    HotPath { name: "peer-to-channel", prepare: || from_peer(Transport::Udp, true) },
    HotPath { name: "send-indication", prepare: send_to_peer },
    HotPath { name: "data-indication", prepare: || from_peer(Transport::Udp, false) },
    HotPath { name: "between-clients", prepare: between_clients },
    HotPath { name: "tcp-channel-to-peer", prepare: frames_to_peer },
    HotPath { name: "tcp-peer-to-channel", prepare: || from_peer(Transport::Tcp, true) },
    HotPath { name: "binding", prepare: binding },
    HotPath { name: "allocate-to-401", prepare: challenge },
    HotPath { name: "refresh", prepare: refresh },
    HotPath { name: "coalescer", prepare: coalescer },
];
const PAYLOAD_BYTES: usize = 1200;
/// Frames that one read of a stream brings.
const FRAMES: usize = 8;
/// A length that needs padding on a stream.
const FRAME_PAYLOAD_BYTES: usize = 1199;
const COALESCING_WINDOW: Duration = Duration::from_micros(100);

fn peer() -> SocketAddr {
    SocketAddr::from(([198, 51, 101, 7], 7000))
}

/// A user with one allocation, who may send to [`peer`]; with a channel if `bound`.
fn user(transport: Transport, bound: bool) -> (Shell, Allocated, RelayedAddressId) {
    let mut shell = shell(Scope::Anyone);
    let user = Allocated::new(&mut shell, client(1, transport));
    if bound {
        user.bind(&mut shell, peer());
    } else {
        user.permit(&mut shell, peer());
    }
    let relayed = shell.relayed[0];
    (shell, user, relayed)
}

fn channel_to_peer() -> Box<dyn FnMut()> {
    let (mut shell, Allocated { from, .. }, _) = user(Transport::Udp, true);
    let message = channel_data(&[7; PAYLOAD_BYTES]);
    Box::new(move || {
        let verdict = shell.engine.handle_client(from, black_box(&message), shell.now);
        assert!(matches!(verdict, Verdict::ToPeer { .. }));
    })
}

fn send_to_peer() -> Box<dyn FnMut()> {
    let (mut shell, Allocated { from, .. }, _) = user(Transport::Udp, false);
    let message = send_indication(peer(), &[7; PAYLOAD_BYTES]);
    Box::new(move || {
        let verdict = shell.engine.handle_client(from, black_box(&message), shell.now);
        assert!(matches!(verdict, Verdict::ToPeer { .. }));
    })
}

/// A peer's datagram, with the header that the client gets it with.
fn from_peer(transport: Transport, bound: bool) -> Box<dyn FnMut()> {
    let (mut shell, _, relayed) = user(transport, bound);
    let mut packet = vec![7; MAX_FRAMING_HEADER_BYTES + FRAME_PAYLOAD_BYTES];
    Box::new(move || {
        let verdict = shell.engine.handle_peer(relayed, peer(), black_box(&packet[MAX_FRAMING_HEADER_BYTES..]), shell.now);
        let Verdict::ToClient { to, framing, payload } = verdict else { panic!("{verdict:?}") };
        assert_eq!(matches!(framing, Framing::Channel(_)), bound);
        black_box(framing.padding(payload.len(), to.transport.is_stream()));
        framing.write_header(&mut packet[..MAX_FRAMING_HEADER_BYTES], payload.len());
        black_box(&packet);
    })
}

/// ChannelData from one client to another, both with credentials of scope clients.
fn between_clients() -> Box<dyn FnMut()> {
    let mut shell = shell(Scope::Clients);
    let [alice, bob] = [1, 2].map(|number| Allocated::new(&mut shell, client(number, Transport::Udp)));
    alice.bind(&mut shell, bob.relayed);
    bob.bind(&mut shell, alice.relayed);
    let message = channel_data(&[7; PAYLOAD_BYTES]);
    // The receiver sends first, so that the sender's address counts as a contact of it.
    let _ = shell.engine.handle_client(bob.from, &message, shell.now);
    let mut header = [0; MAX_FRAMING_HEADER_BYTES];
    Box::new(move || {
        let verdict = shell.engine.handle_client(alice.from, black_box(&message), shell.now);
        let Verdict::ToClient { to, framing, payload } = verdict else { panic!("{verdict:?}") };
        assert_eq!(to, bob.from);
        framing.write_header(&mut header, payload.len());
        black_box(&header);
    })
}

/// One read of a stream, which brings some frames of ChannelData.
fn frames_to_peer() -> Box<dyn FnMut()> {
    let (mut shell, Allocated { from, .. }, _) = user(Transport::Tcp, true);
    let mut frame = channel_data(&[7; FRAME_PAYLOAD_BYTES]);
    frame.resize(frame.len().next_multiple_of(4), 0);
    let read = frame.repeat(FRAMES);
    Box::new(move || {
        let mut bytes = black_box(&read[..]);
        while let StreamFrame::Complete(len) = next_frame(bytes) {
            let (message, rest) = bytes.split_at(len);
            let verdict = shell.engine.handle_client(from, message, shell.now);
            assert!(matches!(verdict, Verdict::ToPeer { .. }));
            bytes = rest;
        }
        assert!(bytes.is_empty());
    })
}

fn replied(mut shell: Shell, from: FiveTuple, request: Vec<u8>, expected: Answer) -> Box<dyn FnMut()> {
    Box::new(move || {
        let verdict = shell.engine.handle_client(from, black_box(&request), shell.now);
        assert_eq!(verdict, Verdict::Reply { to: from, answer: expected });
        black_box(shell.engine.reply());
    })
}

fn binding() -> Box<dyn FnMut()> {
    let request = unsigned(Method::Binding, |_| {});
    let expected = Answer::Success { method: Method::Binding };
    replied(shell(Scope::Anyone), client(1, Transport::Udp), request, expected)
}

fn challenge() -> Box<dyn FnMut()> {
    let expected = Answer::Error { method: Method::Allocate, code: ErrorCode::Unauthenticated, failed_authentication: false };
    replied(shell(Scope::Anyone), client(1, Transport::Udp), unsigned(Method::Allocate, udp), expected)
}

fn refresh() -> Box<dyn FnMut()> {
    let (shell, Allocated { from, nonce, .. }, _) = user(Transport::Udp, true);
    let request = signed(USER, Method::Refresh, &nonce, 4, |writer| {
        writer.number(attribute::LIFETIME, 600);
    });
    replied(shell, from, request, Answer::Success { method: Method::Refresh })
}

/// Wakes at 40,000 a second with one packet each, so that the shard begins and ends pauses.
fn coalescer() -> Box<dyn FnMut()> {
    let mut now = Instant::now();
    let mut coalescer = WakeCoalescer::new(COALESCING_WINDOW, now);
    Box::new(move || {
        now += Duration::from_micros(25);
        coalescer.record_wake(black_box(1), black_box(Duration::from_micros(20)), now);
        black_box(coalescer.pause());
    })
}
