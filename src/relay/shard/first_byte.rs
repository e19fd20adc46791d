//! Looks at the first byte of a client's stream, and forwards the stream if the ingress serves what it begins with.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::Instant;

use crate::relay::ingress_forwarding::{ForwardedConnection, IngressForwarding};
use crate::relay::io::poll_source::ClientStreamId;
use crate::relay::shard::state::Shard;
use crate::relay::stats::labels::CloseReason;
use crate::relay::tcp::client_streams::ALLOCATION_DEADLINE;

impl Shard {
    /// Forwards a connection of a trusted proxy. Returns the connection if it is of another client.
    pub(super) fn forward_proxied(&self, stream: TcpStream, client: IpAddr, now: Instant) -> Option<TcpStream> {
        let Some(forwarding) = self.context.forwarding.as_ref().filter(|forwarding| forwarding.is_proxy(client)) else {
            return Some(stream);
        };
        let connection = ForwardedConnection { stream, deadline: now + ALLOCATION_DEADLINE, descriptor: None };
        if forwarding.proxied.try_send(connection).is_err() {
            self.context.stats.count_close(CloseReason::Limit);
        }
        None
    }

    /// Whether the first byte of a new connection tells if this shard serves it.
    pub(super) fn forwards_by_first_byte(&self) -> bool {
        self.context.forwarding.as_ref().is_some_and(IngressForwarding::depends_on_first_byte)
    }

    /// Returns `Continue` if the first byte has come and this shard serves the stream, otherwise why to close the stream, if there
    /// is a reason. Where the queue to the ingress is full, the stream waits among those without an allocation.
    pub(super) fn check_first_byte(&mut self, id: ClientStreamId, now: Instant) -> ControlFlow<Option<CloseReason>> {
        let Some(stream) = self.streams.get_mut(id) else { return ControlFlow::Break(None) };
        let first = match stream.peek_first_byte() {
            Ok(Some(first)) => first,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return ControlFlow::Break(None);
            }
            Ok(None) | Err(_) => return ControlFlow::Break(Some(CloseReason::Client)),
        };
        let Some(forwarding) = self.context.forwarding.as_ref().filter(|forwarding| forwarding.takes(first)) else {
            stream.awaits_first_byte = false;
            return ControlFlow::Continue(());
        };
        let Ok(room) = forwarding.others.try_reserve() else {
            // The poller would report the stream again immediately.
            if !self.streams.pause(id, &self.context.poller) {
                return ControlFlow::Break(Some(CloseReason::Limit));
            }
            self.deferred.add(id, now);
            return ControlFlow::Break(None);
        };
        if let Some(stream) = self.streams.take(id, &self.context.poller) {
            let deadline = stream.deadline;
            let (connection, descriptor, ..) = stream.into_parts();
            if let Some(stream) = connection.into_tcp() {
                room.send(ForwardedConnection { stream, deadline, descriptor: Some(descriptor) });
            }
            self.context.stats.count_close(CloseReason::Forwarded);
        }
        ControlFlow::Break(None)
    }
}
