//! What `/metrics` shows: the numbers of the relay and of the signaling, with names and help.

use std::time::SystemTime;

use crate::api::metric_families::{MetricFamily, MetricKind, Sample};
use crate::apprtc::gateway::CallStats;
use crate::cast::gateway::CastCounts;
use crate::limits::descriptors::{DescriptorPool, DescriptorPools};
use crate::limits::guesses::{GuessKind, GuessReports};
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::unfinished::UnfinishedCounts;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::MultiConnectionCounts;
use crate::relay::RelayStats;
use crate::relay::stats::labels::{CloseReason, DropCause, TRANSPORTS, TrafficDirection};
use crate::socketio::FrameCounts;
use crate::socketio::room_driver;
use crate::socketio::{REFUSAL_REASONS, SessionCounts, Traffic};
use crate::tls::Certificates;
use crate::turn::Transport;
use crate::turn::codec::error_code::ErrorCode;

/// Of the certificate.
#[must_use]
pub fn certificate(certificates: &Certificates) -> Vec<MetricFamily> {
    let current = certificates.current();
    let expiry = current.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    vec![
        MetricFamily {
            name: "castway_certificate_expiry_timestamp_seconds",
            help: "When the certificate ends, and its kind: self_signed, files, untrusted_files or acme",
            kind: MetricKind::Gauge,
            samples: vec![Sample { labels: vec![("kind", current.kind.name().to_owned())], value: expiry.as_secs_f64() }],
        },
        MetricFamily::single(
            "castway_certificate_failures",
            "Times that the certificate could not be renewed or read again",
            MetricKind::Counter,
            certificates.failures() as f64,
        ),
    ]
}

/// What the WebSockets of Socket.IO carry, both ways.
#[must_use]
pub fn websockets(traffic: &Traffic) -> Vec<MetricFamily> {
    let ways = [("received", traffic.received.counts()), ("sent", traffic.sent.counts())];
    let family = |name, help, kind, number: fn(&FrameCounts) -> u64| {
        let sample = |(way, counts): &(&str, FrameCounts)| Sample {
            labels: vec![("direction", (*way).to_owned())],
            value: number(counts) as f64,
        };
        MetricFamily { name, help, kind, samples: ways.iter().map(sample).collect() }
    };
    vec![
        family("castway_websocket_bytes", "Bytes on Socket.IO's WebSockets", MetricKind::Counter, |counts| counts.bytes),
        family("castway_websocket_messages", "Complete messages on them", MetricKind::Counter, |counts| counts.messages),
        family(
            "castway_websocket_incomplete_bytes",
            "Bytes of messages that are not complete yet",
            MetricKind::Gauge,
            |counts| counts.incomplete,
        ),
    ]
}

/// What waits for clients that have not read it, or are away.
#[must_use]
pub fn waiting(ledger: &Ledger) -> Vec<MetricFamily> {
    let (bytes, closed) = (ledger.bytes() as f64, ledger.closed() as f64);
    vec![
        MetricFamily::single(
            "castway_waiting_bytes",
            "Bytes of events and answers that clients have not read",
            MetricKind::Gauge,
            bytes,
        ),
        MetricFamily::single(
            "castway_unread_clients",
            "Clients that were disconnected, or lost what waited while they were away, since they had not read too many bytes",
            MetricKind::Counter,
            closed,
        ),
    ]
}

/// What the buffers of WebSockets keep.
#[must_use]
pub fn kept(buffers: &KeptBuffers) -> Vec<MetricFamily> {
    let (bytes, ended) = (buffers.bytes() as f64, buffers.ended() as f64);
    vec![
        MetricFamily::single(
            "castway_kept_buffer_bytes",
            "Bytes that WebSockets keep since so much was sent at once, beyond 32 KiB each",
            MetricKind::Gauge,
            bytes,
        ),
        MetricFamily::single(
            "castway_ended_buffers",
            "WebSockets that were ended since all kept too much and they kept most",
            MetricKind::Counter,
            ended,
        ),
    ]
}

/// The sessions of Engine.IO, and what clients have begun to send and not finished.
#[must_use]
pub fn inward(sessions: &SessionCounts, unfinished: &UnfinishedCounts) -> Vec<MetricFamily> {
    let labelled = |name, help, kind, label, samples: &[(&str, f64)]| MetricFamily {
        name,
        help,
        kind,
        samples: samples
            .iter()
            .map(|(text, value)| Sample { labels: vec![(label, (*text).to_owned())], value: *value })
            .collect(),
    };
    let transports = [("polling", f64::from(sessions.polling)), ("websocket", f64::from(sessions.websockets))];
    let refused: Vec<_> = REFUSAL_REASONS.into_iter().zip(sessions.refused.map(|count| count as f64)).collect();
    let ended = [("late", unfinished.late as f64), ("too_much", unfinished.too_much as f64)];
    vec![
        labelled("castway_sessions", "Sessions of Socket.IO, by transport", MetricKind::Gauge, "transport", &transports),
        labelled(
            "castway_refused_sessions",
            "Handshakes of Socket.IO that were refused",
            MetricKind::Counter,
            "reason",
            &refused,
        ),
        MetricFamily::single(
            "castway_unfinished_bytes",
            "Bytes of WebSocket messages and of bodies that wait for the rest",
            MetricKind::Gauge,
            unfinished.bytes as f64,
        ),
        labelled(
            "castway_ended_messages",
            "WebSocket messages and bodies that were not waited for any longer",
            MetricKind::Counter,
            "reason",
            &ended,
        ),
    ]
}

/// Of AppRTC's clients, what there is and what was counted.
#[must_use]
pub fn calls(calls: &CallStats) -> Vec<MetricFamily> {
    let gauge = |name, help, value: f64| MetricFamily::single(name, help, MetricKind::Gauge, value);
    let errors = [("websocket", calls.socket_errors), ("http", calls.http_errors)];
    let by = |label| move |(name, count): (&str, u64)| Sample { labels: vec![(label, name.to_owned())], value: count as f64 };
    let evictions = &calls.evictions;
    let gave_way = [("idle_room", evictions.idle_rooms), ("room", evictions.rooms), ("message", evictions.messages)];
    let refused = [("rate", calls.too_often), ("room", evictions.refused_rooms), ("message", evictions.refused_messages)];
    vec![
        gauge("castway_call_rooms", "Rooms of AppRTC's clients", calls.now.rooms as f64),
        gauge("castway_call_members", "Clients that have joined such a room", calls.now.members as f64),
        gauge("castway_call_sockets", "WebSockets that are registered with Collider", calls.now.sockets as f64),
        gauge("castway_call_waiting_bytes", "Bytes of messages that wait for a peer", calls.now.waiting as f64),
        MetricFamily::single(
            "castway_call_registrations",
            "WebSockets that registered with Collider",
            MetricKind::Counter,
            calls.registered as f64,
        ),
        MetricFamily {
            name: "castway_call_errors",
            help: "Errors that Collider answered, by the way they went",
            kind: MetricKind::Counter,
            samples: errors.map(by("way")).into(),
        },
        MetricFamily {
            name: "castway_call_given_up",
            help: "For want of room: rooms that nobody was connected in, and rooms and messages of the address that had most",
            kind: MetricKind::Counter,
            samples: gave_way.map(by("kind")).into(),
        },
        MetricFamily {
            name: "castway_call_refusals",
            help: "Requests of an address that came too often, and its rooms and messages that there was no room for",
            kind: MetricKind::Counter,
            samples: refused.map(by("reason")).into(),
        },
    ]
}

/// What the cast flow and RTCMultiConnection serve.
#[must_use]
pub fn signaling(casts: CastCounts, multi: MultiConnectionCounts) -> Vec<MetricFamily> {
    let gauge = |name, help, value: usize| MetricFamily::single(name, help, MetricKind::Gauge, value as f64);
    vec![
        gauge("castway_tvs", "TVs that show a code", casts.tvs),
        gauge("castway_waiting_tvs", "TVs that wait for a code", casts.waiting),
        MetricFamily::single(
            "castway_evicted_tvs",
            "TVs whose place another one got, since there was no more",
            MetricKind::Counter,
            casts.evicted as f64,
        ),
        gauge("castway_clients", "Clients connected over Socket.IO", casts.clients + multi.clients),
        gauge("castway_multi_users", "Users of RTCMultiConnection, those within their grace period included", multi.rooms.users),
        gauge("castway_multi_away_users", "Users of RTCMultiConnection within their grace period", multi.rooms.away),
        gauge("castway_multi_rooms", "Rooms of RTCMultiConnection", multi.rooms.rooms),
        MetricFamily::single(
            "castway_multi_limited_events",
            "Events of RTCMultiConnection's clients that were refused for too much at once",
            MetricKind::Counter,
            multi.rate_limited as f64,
        ),
    ]
}

/// Of the process as a whole: faults, and what is open.
#[must_use]
pub fn process(shares: &DescriptorPools) -> Vec<MetricFamily> {
    let family = |name, help, kind, number: fn(&DescriptorPool) -> f64| {
        let sample = |share: &&DescriptorPool| Sample { labels: vec![("kind", share.kind().to_owned())], value: number(share) };
        MetricFamily { name, help, kind, samples: shares.all().iter().map(sample).collect() }
    };
    vec![
        MetricFamily::single(
            "castway_core_resets",
            "Times that the rooms of one protocol began anew after a fault in the program",
            MetricKind::Counter,
            room_driver::resets() as f64,
        ),
        family("castway_descriptors", "Descriptors in use, by kind", MetricKind::Gauge, |share| share.taken() as f64),
        family("castway_descriptors_limit", "Descriptors that a kind may use", MetricKind::Gauge, |share| share.most() as f64),
        family("castway_descriptors_refused", "Times that a kind had used its descriptors up", MetricKind::Counter, |share| {
            share.refused() as f64
        }),
    ]
}

/// Wrong codes, passwords and keys.
#[must_use]
pub fn wrong(reports: &GuessReports) -> MetricFamily {
    let sample = |(kind, total): (GuessKind, u64)| Sample { labels: vec![("kind", kind.name().to_owned())], value: total as f64 };
    MetricFamily {
        name: "castway_wrong",
        help: "Wrong codes, passwords and API keys, by kind",
        kind: MetricKind::Counter,
        samples: reports.totals().map(sample).collect(),
    }
}

#[must_use]
pub fn relay(relay: &RelayStats) -> Vec<MetricFamily> {
    let counter = |name, help, value: u64| MetricFamily::single(name, help, MetricKind::Counter, value as f64);
    let gauge = |name, help, value: f64| MetricFamily::single(name, help, MetricKind::Gauge, value);
    let listed = |name, help, label, samples: Vec<(String, f64)>| MetricFamily {
        name,
        help,
        kind: MetricKind::Counter,
        samples: samples.into_iter().map(|(text, value)| Sample { labels: vec![(label, text)], value }).collect(),
    };
    let shards = (0..).zip(&relay.busy).map(|(shard, nanos): (u32, _)| (shard.to_string(), *nanos as f64 / 1e9));
    vec![
        gauge("castway_relay_allocations", "Live TURN allocations", relay.allocations as f64),
        gauge("castway_relay_streams", "Open connections of TURN clients over TCP", relay.streams as f64),
        gauge("castway_relay_connections", "Open connections with peers over TCP (RFC 6062)", relay.connections as f64),
        counter("castway_relay_refused_peers", "Connections of TCP peers that nobody had permitted", relay.refused_peers),
        gauge(
            "castway_relay_moved_clients",
            "Clients that have moved, and whose packets another shard passes on",
            relay.moved as f64,
        ),
        by_way(
            "castway_relay_packets",
            "Relayed payloads, by direction and by the transport of the client they went to or came from",
            |direction, client| relay.packets(direction, client),
        ),
        by_way(
            "castway_relay_bytes",
            "Bytes of relayed payloads, without the headers of TURN, UDP and IP",
            |direction, client| relay.bytes(direction, client),
        ),
        listed(
            "castway_relay_drops",
            "Packets that were not relayed or answered, by reason",
            "reason",
            DropCause::ALL.map(|cause| (cause.label().to_owned(), relay.drops(cause) as f64)).into(),
        ),
        listed(
            "castway_relay_errors",
            "STUN error responses, by code; 401 is also the first answer to every client",
            "code",
            ErrorCode::ALL.map(|code| (code.number().to_string(), relay.errors(code) as f64)).into(),
        ),
        counter(
            "castway_relay_failed_authentications",
            "Requests with an unknown user or a wrong password",
            relay.failed_authentications,
        ),
        counter("castway_relay_accepted_connections", "Connections of TURN clients over TCP", relay.accepted),
        counter(
            "castway_relay_accept_failures",
            "Times that no connection could be accepted for want of descriptors",
            relay.accept_failures,
        ),
        listed(
            "castway_relay_closed_connections",
            "Connections of TURN clients that ended, by reason",
            "reason",
            CloseReason::ALL.map(|reason| (reason.label().to_owned(), relay.closes(reason) as f64)).into(),
        ),
        counter(
            "castway_relay_refused_neighbours",
            "Peers that were refused because they are in networks of this machine",
            relay.refused_neighbours,
        ),
        counter("castway_relay_receive_errors", "Receives that failed; the socket is read again", relay.receive_errors),
        counter("castway_relay_icmp_errors", "ICMP errors about packets that were sent to peers", relay.icmp_errors),
        counter("castway_relay_shard_restarts", "Restarts of a shard of the relay after a fault in the program", relay.panics),
        listed(
            "castway_relay_shard_busy_seconds",
            "Seconds of work of each shard; the rate is its load, from 0 to 1",
            "shard",
            shards.collect(),
        ),
    ]
}

fn by_way(name: &'static str, help: &'static str, count: impl Fn(TrafficDirection, Transport) -> u64) -> MetricFamily {
    let mut samples = Vec::new();
    for direction in TrafficDirection::ALL {
        for (transport, label) in TRANSPORTS {
            let labels = vec![("direction", direction.label().to_owned()), ("transport", label.to_owned())];
            samples.push(Sample { labels, value: count(direction, transport) as f64 });
        }
    }
    MetricFamily { name, help, kind: MetricKind::Counter, samples }
}
