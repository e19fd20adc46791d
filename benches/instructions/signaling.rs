//! The paths of signaling: frames of WebSockets, a candidate that is read, passed through a room and written.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use castway::cast::model::{Output, Signal};
use castway::cast::room::Rooms;
use castway::cast::wire::{self, Content, Request};
use castway::socketio::gateway::client_id::ClientId;
use castway::websocket::frame_filter::FrameFilter;

use crate::hot_path::HotPath;
use crate::seats;

pub(crate) const PATHS: [HotPath; 5] = [
    HotPath { name: "frame-received", prepare: frame_received },
    HotPath { name: "frame-sent", prepare: frame_sent },
    HotPath { name: "candidate-read", prepare: candidate_read },
    HotPath { name: "candidate-through-room", prepare: candidate_through_room },
    HotPath { name: "candidate-read-passed-written", prepare: candidate_read_passed_written },
];
const EVENT: &str = "RTC_Candidate_Exchange";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Bytes of a candidate, as those of browsers.
const CANDIDATE_BYTES: usize = 160;

/// The argument of an event with a candidate.
fn candidate() -> String {
    let text = "candidate:1 1 udp 2122260223 192.0.2.1 50001 typ host generation 0 ufrag x network-id 1 ";
    let padding = "x".repeat(CANDIDATE_BYTES - text.len());
    format!(r#"{{"iceCandidate":{{"candidate":"{text}{padding}","sdpMid":"0","sdpMLineIndex":0}}}}"#)
}

/// The event as Socket.IO has it on the wire.
fn event() -> String {
    format!(r#"["{EVENT}",{}]"#, candidate())
}

/// A frame of less than 64 KiB with a packet of Socket.IO.
fn frame(mask: Option<[u8; 4]>) -> Vec<u8> {
    let text = format!("42{}", event());
    let mut frame = vec![0x81, 126 | if mask.is_some() { 0x80 } else { 0 }];
    frame.extend(u16::try_from(text.len()).expect("a short event").to_be_bytes());
    frame.extend(mask.iter().flatten());
    frame.extend(text.bytes().zip(mask.unwrap_or_default().into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn filtered(mut filter: FrameFilter, frame: Vec<u8>) -> Box<dyn FnMut()> {
    let mut output = Vec::new();
    Box::new(move || {
        assert_eq!(filter.handle(black_box(&frame), &mut output), frame.len());
        black_box((filter.unfinished(), filter.counts()));
    })
}

fn frame_received() -> Box<dyn FnMut()> {
    filtered(FrameFilter::fragmenting(None), frame(Some(MASK)))
}

fn frame_sent() -> Box<dyn FnMut()> {
    filtered(FrameFilter::new(None), frame(None))
}

fn read(event: &str) -> Signal<Content> {
    match wire::read(EVENT, event, VecDeque::new()) {
        Some(Ok(Request::Signal(signal))) => signal,
        _ => panic!("{event} is a candidate"),
    }
}

fn candidate_read() -> Box<dyn FnMut()> {
    let event = event();
    Box::new(move || drop(black_box(read(black_box(&event)))))
}

/// Rooms with one cast, whose caster has this id, after its offer.
fn rooms<P: Send + 'static>(offer: P) -> (Rooms<P>, ClientId) {
    let now = Instant::now();
    let mut rooms = seats::rooms(1000, now);
    let (tv, caster, from) = (ClientId::new(1), ClientId::new(2), IpAddr::from([192, 0, 2, 1]));
    let seated = seats::open(&mut rooms, tv, from, now);
    seats::join(&mut rooms, caster, from, seated.code.as_str(), now);
    rooms.handle_signal(caster, Signal::Offer(offer), 8).expect("the TV is there");
    seats::drain(&mut rooms);
    (rooms, caster)
}

fn candidate_through_room() -> Box<dyn FnMut()> {
    let (mut rooms, caster) = rooms(0_u64);
    Box::new(move || {
        rooms.handle_signal(caster, Signal::Candidate(black_box(1)), CANDIDATE_BYTES).expect("the TV is there");
        let delivered = rooms.poll_output();
        assert!(matches!(delivered, Some(Output::Deliver { .. })));
        assert!(rooms.poll_output().is_none() && rooms.poll_cast_event().is_none());
        black_box(rooms.next_timeout());
    })
}

fn candidate_read_passed_written() -> Box<dyn FnMut()> {
    let event = event();
    let Signal::Candidate(offer) = read(&event) else { panic!("a candidate") };
    let ((mut rooms, caster), mut written) = (rooms(offer), Vec::new());
    Box::new(move || {
        let signal = read(black_box(&event));
        let bytes = signal.payload().bytes();
        rooms.handle_signal(caster, signal, bytes).expect("the TV is there");
        let Some(Output::Deliver { dialect, signal, .. }) = rooms.poll_output() else { panic!("the TV gets it") };
        let delivery = wire::delivery(dialect, signal);
        written.clear();
        serde_json::to_writer(&mut written, &(delivery.event, &delivery.payload)).expect("JSON is written to memory");
        black_box(&written);
    })
}
