//! The metric families of `/metrics`, each with its name and help text.

use std::time::{Duration, SystemTime};

use crate::api::metric_families::{MetricFamily, MetricKind, Sample};
use crate::apprtc::gateway::AppRtcCounts;
use crate::cast::gateway::CastCounts;
use crate::limits::descriptors::{DescriptorPool, DescriptorPools};
use crate::limits::guesses::{GuessKind, GuessReports};
use crate::limits::kept_buffers::KeptBuffers;
use crate::limits::unfinished::UnfinishedCounts;
use crate::limits::waiting_bytes::Ledger;
use crate::multiconnection::gateway::MultiConnectionCounts;
use crate::outcomes::counts::ResultCounts;
use crate::outcomes::reporter::Reporter;
use crate::relay::RelayStats;
use crate::relay::stats::labels::{CloseReason, DropCause, TrafficDirection};
use crate::room_driver;
use crate::socketio::sessions::{RefusalReason, SessionCounts};
use crate::socketio::stream::Traffic;
use crate::tls::Certificates;
use crate::turn::Transport;
use crate::turn::codec::error_code::ErrorCode;
use crate::websocket::frame_counts::FrameCounts;

/// The certificate: its expiry and failed renewals.
#[must_use]
pub fn certificate(certificates: &Certificates) -> Vec<MetricFamily> {
    let current = certificates.current();
    let expiry = current.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    vec![
        MetricFamily {
            name: "castway_certificate_expiry_timestamp_seconds",
            help: "Expiry of the certificate; its kind is self_signed, files, untrusted_files or acme",
            kind: MetricKind::Gauge,
            samples: vec![Sample { labels: vec![("kind", current.kind.name().to_owned())], value: expiry.as_secs_f64() }],
        },
        MetricFamily::single(
            "castway_certificate_failures",
            "How often the certificate could not be renewed or reloaded",
            MetricKind::Counter,
            certificates.failures() as f64,
        ),
    ]
}

/// The traffic on the WebSockets of Socket.IO, in both directions.
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
        family("castway_websocket_bytes", "Bytes on Socket.IO's WebSockets, by direction", MetricKind::Counter, |counts| {
            counts.bytes
        }),
        family(
            "castway_websocket_messages",
            "Complete messages on Socket.IO's WebSockets, by direction",
            MetricKind::Counter,
            |counts| counts.messages,
        ),
        family(
            "castway_websocket_incomplete_bytes",
            "Bytes of messages on Socket.IO's WebSockets that are not complete yet",
            MetricKind::Gauge,
            |counts| counts.incomplete,
        ),
    ]
}

/// What waits for clients that are slow to read or are away.
#[must_use]
pub fn waiting(ledger: &Ledger) -> Vec<MetricFamily> {
    let (bytes, closed) = (ledger.bytes() as f64, ledger.closed() as f64);
    vec![
        MetricFamily::single(
            "castway_waiting_bytes",
            "Bytes of events and answers that clients have not read yet",
            MetricKind::Gauge,
            bytes,
        ),
        MetricFamily::single(
            "castway_unread_clients",
            "Clients that were disconnected, or lost what waited while they were away, because too many bytes were unread",
            MetricKind::Counter,
            closed,
        ),
    ]
}

/// The memory that the buffers of WebSockets keep.
#[must_use]
pub fn kept(buffers: &KeptBuffers) -> Vec<MetricFamily> {
    let (bytes, ended) = (buffers.bytes() as f64, buffers.ended() as f64);
    vec![
        MetricFamily::single(
            "castway_kept_buffer_bytes",
            "Bytes beyond 32 KiB that the buffers of WebSockets keep after large messages",
            MetricKind::Gauge,
            bytes,
        ),
        MetricFamily::single(
            "castway_ended_buffers",
            "WebSockets that were closed because all buffers together kept too much and theirs kept the most",
            MetricKind::Counter,
            ended,
        ),
    ]
}

/// The sessions of Engine.IO, and the messages that clients have not finished sending.
#[must_use]
pub fn incoming(sessions: &SessionCounts, unfinished: &UnfinishedCounts) -> Vec<MetricFamily> {
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
    let refused: Vec<_> =
        RefusalReason::ALL.map(RefusalReason::label).into_iter().zip(sessions.refused.map(|count| count as f64)).collect();
    let ended = [("late", unfinished.late as f64), ("too_much", unfinished.too_much as f64)];
    vec![
        labelled("castway_sessions", "Sessions of Engine.IO, by transport", MetricKind::Gauge, "transport", &transports),
        labelled(
            "castway_refused_sessions",
            "Handshakes of Engine.IO that were refused, by reason",
            MetricKind::Counter,
            "reason",
            &refused,
        ),
        MetricFamily::single(
            "castway_unfinished_bytes",
            "Bytes of WebSocket messages and request bodies that are not complete yet",
            MetricKind::Gauge,
            unfinished.bytes as f64,
        ),
        labelled(
            "castway_ended_messages",
            "WebSocket messages and request bodies that were given up before they were complete, by reason",
            MetricKind::Counter,
            "reason",
            &ended,
        ),
    ]
}

/// AppRTC: rooms, clients, errors and refusals.
#[must_use]
pub fn calls(apprtc: &AppRtcCounts) -> Vec<MetricFamily> {
    let gauge = |name, help, value: f64| MetricFamily::single(name, help, MetricKind::Gauge, value);
    let errors = [("websocket", apprtc.socket_errors), ("http", apprtc.http_errors)];
    let by = |label| move |(name, count): (&str, u64)| Sample { labels: vec![(label, name.to_owned())], value: count as f64 };
    let evictions = &apprtc.evictions;
    let gave_way = [("idle_room", evictions.idle_rooms), ("room", evictions.rooms), ("message", evictions.messages)];
    let refused = [("rate", apprtc.rate_limited), ("room", evictions.refused_rooms), ("message", evictions.refused_messages)];
    vec![
        gauge("castway_running_calls", "AppRTC calls that go on", apprtc.calls as f64),
        gauge("castway_call_rooms", "AppRTC rooms", apprtc.now.rooms as f64),
        gauge("castway_call_members", "Clients in AppRTC rooms", apprtc.now.members as f64),
        gauge("castway_call_sockets", "WebSockets registered with Collider", apprtc.now.sockets as f64),
        gauge("castway_call_waiting_bytes", "Bytes of AppRTC messages that wait for a peer", apprtc.now.waiting as f64),
        MetricFamily::single(
            "castway_call_registrations",
            "Registrations of WebSockets with Collider",
            MetricKind::Counter,
            apprtc.registered as f64,
        ),
        MetricFamily {
            name: "castway_call_errors",
            help: "Errors that Collider answered, over a WebSocket or HTTP",
            kind: MetricKind::Counter,
            samples: errors.map(by("way")).into(),
        },
        MetricFamily {
            name: "castway_call_given_up",
            help: "AppRTC rooms and messages that were dropped to make space: idle rooms first, then those of the address that had the most",
            kind: MetricKind::Counter,
            samples: gave_way.map(by("kind")).into(),
        },
        MetricFamily {
            name: "castway_call_refusals",
            help: "AppRTC requests that were refused because an address sent too many, and rooms and messages that no space was left for",
            kind: MetricKind::Counter,
            samples: refused.map(by("reason")).into(),
        },
    ]
}

/// The casts and calls that have ended, and why attempts to connect have failed.
#[must_use]
pub fn outcomes(reporter: &Reporter) -> Vec<MetricFamily> {
    let results = |name, help, counts: &ResultCounts| {
        let sample = |([route, protocol, result], count): ([&str; 3], u64)| Sample {
            labels: vec![("route", route.to_owned()), ("protocol", protocol.to_owned()), ("result", result.to_owned())],
            value: count as f64,
        };
        MetricFamily { name, help, kind: MetricKind::Counter, samples: counts.all().map(sample).collect() }
    };
    let failures = reporter.failures_by_verdict().into_iter();
    vec![
        results(
            "castway_casts",
            "Casts that have ended, by route, protocol and result as their pages have reported them",
            reporter.casts(),
        ),
        results(
            "castway_calls",
            "AppRTC calls that have ended, by route, protocol and result as their pages have reported them",
            reporter.calls(),
        ),
        MetricFamily {
            name: "castway_failures",
            help: "Attempts to connect a cast or a call that have failed, by verdict",
            kind: MetricKind::Counter,
            samples: failures
                .map(|(code, count)| Sample { labels: vec![("verdict", code.to_owned())], value: count as f64 })
                .collect(),
        },
    ]
}

/// The cast flow and RTCMultiConnection: TVs, users and rooms.
#[must_use]
pub fn signaling(cast: CastCounts, multiconnection: MultiConnectionCounts) -> Vec<MetricFamily> {
    let gauge = |name, help, value: usize| MetricFamily::single(name, help, MetricKind::Gauge, value as f64);
    vec![
        gauge("castway_tvs", "TVs that show a code", cast.tvs),
        gauge("castway_running_casts", "Casts that run", cast.casts),
        gauge("castway_waiting_tvs", "TVs that wait for a code", cast.waiting),
        MetricFamily::single(
            "castway_evicted_tvs",
            "TVs that lost their place to another TV because all places were taken",
            MetricKind::Counter,
            cast.evicted as f64,
        ),
        gauge("castway_clients", "Clients connected over Socket.IO", cast.clients + multiconnection.clients),
        gauge(
            "castway_multi_users",
            "Users of RTCMultiConnection, including those in their grace period",
            multiconnection.rooms.users,
        ),
        gauge("castway_multi_away_users", "Users of RTCMultiConnection in their grace period", multiconnection.rooms.away),
        gauge("castway_multi_rooms", "Rooms of RTCMultiConnection", multiconnection.rooms.rooms),
        MetricFamily::single(
            "castway_multi_limited_events",
            "Events of RTCMultiConnection's clients that were refused because they sent too many",
            MetricKind::Counter,
            multiconnection.rate_limited as f64,
        ),
    ]
}

/// The locks of the rooms, with the time for which each was held.
#[must_use]
pub fn locks(times: [(&str, Duration); 3]) -> MetricFamily {
    let sample = |(protocol, time): (&str, Duration)| Sample {
        labels: vec![("protocol", protocol.to_owned())],
        value: time.as_secs_f64(),
    };
    MetricFamily {
        name: "castway_rooms_locked_seconds",
        help: "Time for which the lock of all rooms of a protocol was held; near one second a second, the lock is the limit",
        kind: MetricKind::Counter,
        samples: times.map(sample).into(),
    }
}

/// The process as a whole: panics and descriptors.
#[must_use]
pub fn process(descriptors: &DescriptorPools) -> Vec<MetricFamily> {
    let family = |name, help, kind, number: fn(&DescriptorPool) -> f64| {
        let sample = |pool: &&DescriptorPool| Sample { labels: vec![("kind", pool.kind().to_owned())], value: number(pool) };
        MetricFamily { name, help, kind, samples: descriptors.all().iter().map(sample).collect() }
    };
    vec![
        MetricFamily::single(
            "castway_core_resets",
            "How often the rooms of a protocol were reset after a panic",
            MetricKind::Counter,
            room_driver::resets() as f64,
        ),
        family("castway_descriptors", "File descriptors in use, by kind", MetricKind::Gauge, |pool| pool.taken() as f64),
        family("castway_descriptors_limit", "Maximum number of file descriptors, by kind", MetricKind::Gauge, |pool| {
            pool.most() as f64
        }),
        family("castway_descriptors_refused", "How often a kind had no file descriptors left", MetricKind::Counter, |pool| {
            pool.refused() as f64
        }),
    ]
}

/// Wrong codes, passwords and API keys.
#[must_use]
pub fn wrong_guesses(reports: &GuessReports) -> MetricFamily {
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
        gauge("castway_relay_connections", "Open connections with peers over TCP (RFC 6062)", relay.peer_connections as f64),
        counter("castway_relay_refused_peers", "TCP connections from peers that no client had permitted", relay.refused_peers),
        gauge(
            "castway_relay_moved_clients",
            "Clients that have moved, and whose packets another shard forwards",
            relay.moved as f64,
        ),
        by_direction(
            "castway_relay_packets",
            "Relayed payloads, by direction and by the transport of the client",
            |direction, client| relay.packets(direction, client),
        ),
        by_direction(
            "castway_relay_bytes",
            "Bytes of relayed payloads, without TURN, UDP and IP headers, by direction and by the transport of the client",
            |direction, client| relay.bytes(direction, client),
        ),
        listed(
            "castway_relay_drops",
            "Packets that were neither relayed nor answered, by reason",
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
        counter("castway_relay_accepted_connections", "Connections accepted from TURN clients over TCP", relay.accepted),
        counter(
            "castway_relay_accept_failures",
            "How often a connection could not be accepted because no file descriptor was left",
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
            "Peers that were refused because they are in a network of this machine",
            relay.refused_neighbours,
        ),
        counter(
            "castway_relay_denied_requests",
            "Requests that named a peer which the policy denies (403); a few are usual at the beginning of each cast",
            relay.denied_requests,
        ),
        counter(
            "castway_relay_displaced_allocations",
            "Allocations of strangers that ended for others, because capacity was scarce",
            relay.displaced_allocations,
        ),
        counter("castway_relay_receive_errors", "Failed receives; the socket is read again", relay.receive_errors),
        counter("castway_relay_icmp_errors", "ICMP errors for packets sent to peers", relay.icmp_errors),
        counter("castway_relay_shard_restarts", "Restarts of a shard of the relay after a panic", relay.panics),
        listed(
            "castway_relay_shard_busy_seconds",
            "Seconds that each shard was busy; their rate is its load, from 0 to 1",
            "shard",
            shards.collect(),
        ),
    ]
}

fn by_direction(name: &'static str, help: &'static str, count: impl Fn(TrafficDirection, Transport) -> u64) -> MetricFamily {
    let mut samples = Vec::new();
    for direction in TrafficDirection::ALL {
        for transport in Transport::ALL {
            let labels = vec![("direction", direction.label().to_owned()), ("transport", transport.label().to_owned())];
            samples.push(Sample { labels, value: count(direction, transport) as f64 });
        }
    }
    MetricFamily { name, help, kind: MetricKind::Counter, samples }
}
