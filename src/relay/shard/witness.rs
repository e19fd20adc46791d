//! What the shard notes about clients that somebody watches ([`Watch`](crate::diagnosis::watch::Watch)).
//!
//! While nobody is watched, a packet costs one relaxed load. Otherwise requests and answers are counted, and of the relayed packets those
//! that look like STUN: they are few, and they decide whether a pair of candidates works.

use std::time::Instant;

use crate::diagnosis::observation::Path;
use crate::diagnosis::watch::Seen;
use crate::relay::shard::datagrams::PacketSource;
use crate::relay::shard::state::Shard;
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::{Method, is_request, is_stun};
use crate::turn::{Answer, FiveTuple, RefusalReason, RefusedRequest, Transport, Verdict};
use crate::users::credentials::TimeLimitedUsername;

impl Shard {
    /// The engine's verdict on a packet of a client.
    pub(super) fn note_verdict(&self, from: &FiveTuple, packet: &[u8], verdict: &Verdict, now: Instant) {
        match verdict {
            Verdict::Reply { answer, .. } => self.note_reply(from, *answer, now),
            Verdict::Accepted | Verdict::Drop(_) if self.context.watch.is_open() && is_request(packet) => {
                self.note(from, self.engine.user_of(from), Seen::Request, now);
            }
            Verdict::Accepted
            | Verdict::Drop(_)
            | Verdict::ToPeer { .. }
            | Verdict::ToClient { .. }
            | Verdict::ToRelayedAddress { .. }
            | Verdict::ToShard { .. } => {}
        }
    }

    fn note_reply(&self, from: &FiveTuple, answer: Answer, now: Instant) {
        if let Answer::Success { method } = answer
            && method != Method::Binding
        {
            self.note_authenticated(from, now);
        }
        if !self.context.watch.is_open() {
            return;
        }
        let user = self.engine.user_of(from);
        self.note(from, user, Seen::Request, now);
        match answer {
            Answer::Success { .. } => self.note(from, user, Seen::Answer, now),
            Answer::Error { code: ErrorCode::StaleNonce, .. }
            | Answer::Error { code: ErrorCode::Unauthenticated, failed_authentication: false, .. } => {
                self.note(from, user, Seen::Challenge, now);
            }
            Answer::Error { code: ErrorCode::BadRequest, .. } => {
                self.note(from, user, Seen::Refused(RefusalReason::BadRequest), now);
            }
            // The engine's output has the reason.
            Answer::Error { .. } | Answer::Indication { .. } => {}
        }
    }

    /// A late answer: that to an Allocate, whose request was noted when it came.
    pub(super) fn note_late_answer(&self, to: &FiveTuple, answer: Answer, now: Instant) {
        if answer != (Answer::Success { method: Method::Allocate }) {
            return;
        }
        self.note_authenticated(to, now);
        if self.context.watch.is_open() {
            let user = self.engine.user_of(to);
            self.note(to, user, Seen::Allocated, now);
            self.note(to, user, Seen::Answer, now);
        }
    }

    /// A refusal with its reason. Peers that policy denies are part of every healthy cast, and so is an end that comes twice.
    pub(super) fn note_refused(&self, refused: &RefusedRequest, now: Instant) {
        if !self.context.watch.is_open() || matches!(refused.reason, RefusalReason::DeniedPeer(_) | RefusalReason::NothingToEnd) {
            return;
        }
        let username = &*refused.username;
        let user = TimeLimitedUsername::parse(username).map_or(username, |name| name.user);
        let user = Some(if user.is_empty() { username } else { user });
        if !matches!(refused.reason, RefusalReason::Credentials(_) | RefusalReason::PasswordAlgorithm) {
            self.note(&refused.client, user, Seen::Authenticated, now);
        }
        self.note(&refused.client, user, Seen::Refused(refused.reason), now);
    }

    /// A packet that is relayed. `packet`: what was received, of which the verdict names the payload.
    pub(super) fn note_relayed(&self, verdict: &Verdict, packet: &[u8], from: PacketSource) {
        let (payload, to) = match verdict {
            Verdict::ToPeer { payload, .. } | Verdict::ToRelayedAddress { payload, .. } => (payload, None),
            Verdict::ToClient { to, payload, .. } => (payload, Some(to)),
            Verdict::Reply { .. } | Verdict::Drop(_) | Verdict::Accepted | Verdict::ToShard { .. } => return,
        };
        if !packet.get(payload.clone()).is_some_and(is_stun) {
            return;
        }
        let now = Instant::now();
        if let PacketSource::Client(from) = &from {
            self.note(from, None, Seen::RelayedOut, now);
        }
        if let Some(to) = to {
            self.note(to, None, Seen::RelayedIn, now);
        }
    }

    /// The client had an answer and went on to use it. Clients on this machine say nothing about any firewall.
    fn note_authenticated(&self, from: &FiveTuple, now: Instant) {
        let ip = from.client.ip().to_canonical();
        if !ip.is_loopback() && ip != from.server.ip().to_canonical() {
            self.context.watch.note_reached(ip, path(from.transport), now);
        }
        if self.context.watch.is_open() {
            self.note(from, self.engine.user_of(from), Seen::Authenticated, now);
        }
    }

    fn note(&self, client: &FiveTuple, user: Option<&str>, seen: Seen, now: Instant) {
        self.context.watch.note(client.client, user, path(client.transport), seen, now);
    }
}

const fn path(transport: Transport) -> Path {
    match transport {
        Transport::Udp => Path::Udp,
        Transport::Tcp => Path::Tcp,
        Transport::Tls => Path::Tls,
    }
}
