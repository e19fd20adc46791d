//! What every Socket.IO gateway does for each of its clients: receives its events from the first one on, disconnects it when it doesn't
//! read, and removes it when it is gone.
//!
//! Owner of a gateway's state, behind one lock that is held for a whole event (lock, handle, emit, unlock). Events are handled in the task that
//! has read them: socketioxide would spawn one for each, which costs more than most events, and those of one client would run in any order.
//!
//! The order of calls for one client: [`Connections::register`] before it is told that it is connected, [`Connections::connected`] after that;
//! from then on events go to [`GatewayState::handle_event`], until [`GatewayState::remove_client`].

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use axum::http::header;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::handler::{FromMessageParts as _, MessageHandler};
use socketioxide::socket::{DisconnectReason, Socket};
use socketioxide_core::Value as Packet;

use super::client_id::ClientId;
use super::early_events::EarlyEvents;
use super::event_sender::{EventSender, outgoing_of};
use super::gateway_state::{Disconnect, GatewayState, ReceivedEvent};
use super::packet::EventPacket;
use crate::http::client_info::ClientInfo;
use crate::operator::rows::agent_row;
use crate::room_driver::RoomDriver;

/// A handle to a gateway's connections; clones share them.
pub struct Connections<S>(Arc<Inner<S>>);

struct Inner<S> {
    driver: RoomDriver<S>,
    next_id: AtomicU64,
}

/// A handle that the state itself may keep.
pub struct WeakConnections<S>(Weak<Inner<S>>);

impl<S> WeakConnections<S> {
    /// `None`: the state is gone.
    pub fn upgrade(&self) -> Option<Connections<S>> {
        self.0.upgrade().map(Connections)
    }
}

impl<S> Clone for WeakConnections<S> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<S> Clone for Connections<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: GatewayState> Connections<S> {
    pub fn new(state: S) -> Self {
        Self::with_handle(|_| state)
    }

    /// The state gets a handle to itself, for what it begins and finishes later.
    pub fn with_handle(state: impl FnOnce(WeakConnections<S>) -> S) -> Self {
        let inner = |handle: &Weak<Inner<S>>| {
            let state = state(WeakConnections(handle.clone()));
            Inner { driver: RoomDriver::new(state), next_id: AtomicU64::new(1) }
        };
        Self(Arc::new_cyclic(inner))
    }

    /// Before a client is told that it is connected: from then on its events may come, even before [`Self::connected`] runs. `read` reads each
    /// event by its name.
    pub fn register(&self, socket: &SocketRef, read: impl Fn(String, EventPacket) -> S::Request + Clone + Send + Sync + 'static) {
        let id = ClientId::new(self.0.next_id.fetch_add(1, Ordering::Relaxed));
        let early = EarlyEvents::<S::Request>::default();
        socket.extensions.insert((id, early.clone()));

        let outgoing = outgoing_of(socket).cloned();
        let (connections, held) = (self.clone(), early.clone());
        socket.on_fallback(EventHandler(move |event, packet: EventPacket, ack| {
            // Events that the client sent before it was disconnected for not reading are ignored.
            if outgoing.as_ref().is_some_and(|outgoing| outgoing.account().is_closed()) {
                return;
            }
            let (bytes, ack) = (packet.bytes(), packet.wants_ack.then_some(ack));
            let event = ReceivedEvent { request: read(event, packet), bytes, ack };
            connections.with(|state, sender| {
                if let Some(event) = held.hold(event) {
                    state.handle_event(id, event, sender);
                }
            });
        }));
        let connections = self.clone();
        socket.on_disconnect(move |reason: DisconnectReason| {
            let how = match reason == DisconnectReason::ClientNSDisconnect {
                true => Disconnect::Deliberate,
                false => Disconnect::Dropped,
            };
            connections.with(|state, _| {
                early.take();
                state.remove_client(id, how);
            });
            ready(())
        });
    }

    /// A client is connected: `add` puts it into the table, then its early events are handled.
    pub fn connected(&self, socket: SocketRef, add: impl FnOnce(&mut S, ClientId, SocketRef, &mut EventSender)) {
        let Some((id, early)) = socket.extensions.remove::<(ClientId, EarlyEvents<S::Request>)>() else { return };
        outgoing_of(&socket).inspect(|outgoing| outgoing.join());
        self.with(|state, sender| {
            let Some(held) = early.take() else { return };
            add(state, id, socket, sender);
            state.send_outputs(sender);
            for event in held {
                state.handle_event(id, event, sender);
                state.send_outputs(sender);
            }
        });
    }

    /// Runs one input under the lock, sends the outputs, and disconnects the clients that don't read.
    pub fn with<T>(&self, input: impl FnOnce(&mut S, &mut EventSender) -> T) -> T {
        self.0.driver.with(|state| {
            let mut sender = EventSender::default();
            let result = input(state, &mut sender);
            state.send_outputs(&mut sender);
            // Telling the others that a client is gone may fill the next one's buffer.
            while let Some(id) = sender.to_disconnect.pop() {
                if let Some(socket) = state.remove_client(id, Disconnect::Dropped) {
                    tracing::debug!(from = %address(&socket), "disconnecting");
                    disconnect(socket);
                }
                state.send_outputs(&mut sender);
            }
            result
        })
    }

    /// Ends the connections of the clients at these addresses, who leave their seats at once.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.with(|state, sender| {
            for id in state.clients_of(&is_one) {
                if let Some(socket) = state.remove_client(id, Disconnect::Deliberate) {
                    disconnect(socket);
                }
                state.send_outputs(sender);
            }
        });
    }

    /// Runs `input` whenever the next time-out is due; never returns.
    pub async fn run(&self, input: impl Fn(&mut S, &mut EventSender)) {
        self.0.driver.run(|| self.with(&input)).await;
    }
}

/// Handles the events of a client, each before the next one is read.
struct EventHandler<F>(F);

/// Tells socketioxide's trait that this handler is none of its own kinds.
struct WithoutTask;

impl<A: Adapter, F: Fn(String, EventPacket, AckSender<A>) + Send + Sync + 'static> MessageHandler<A, WithoutTask>
    for EventHandler<F>
{
    fn call(&self, socket: Arc<Socket<A>>, mut packet: Packet, ack: Option<i64>) {
        // socketioxide has read the event's name already, and the others are never refused.
        let Ok(Event(event)) = Event::from_message_parts(&socket, &mut packet, &ack) else { return };
        let Ok(sender) = AckSender::from_message_parts(&socket, &mut packet, &ack);
        let Ok(packet) = EventPacket::from_message_parts(&socket, &mut packet, &ack);
        (self.0)(event, packet, sender);
    }
}

/// The address of a client.
pub fn address(socket: &SocketRef) -> IpAddr {
    socket.req_parts().extensions.get::<ClientInfo>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
}

/// The User-Agent of a client's handshake. The socket keeps it.
pub fn user_agent(socket: &SocketRef) -> Option<String> {
    let agent = socket.req_parts().headers.get(header::USER_AGENT)?;
    agent_row(&String::from_utf8_lossy(agent.as_bytes()))
}

/// Ends a client's connection, in a task of its own: the disconnect handler takes the lock.
pub fn disconnect(socket: SocketRef) {
    tokio::spawn(async move {
        outgoing_of(&socket).inspect(|outgoing| outgoing.send_all());
        // A full send buffer has no room for the disconnect packet either.
        if socket.clone().disconnect().is_err()
            && let Some(outgoing) = outgoing_of(&socket)
        {
            outgoing.account().close("too many events wait for it");
        }
    });
}
