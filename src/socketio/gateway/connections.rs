//! What every Socket.IO gateway does for each of its clients: receives its events from the first one on, disconnects it when it doesn't
//! read, and removes it when it is gone.
//!
//! Owner of a gateway's state, behind one lock: lock, handle, queue the outputs, unlock, send them. Events are handled in the task that
//! has read them: socketioxide would spawn one for each, which costs more than most events, and those of one client would run in any order.
//!
//! The order of calls for one client: [`Connections::register`] before it is told that it is connected, [`Connections::connected`] after that;
//! from then on events go to [`GatewayState::handle_event`], until [`GatewayState::remove_client`].

use std::future::ready;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socketioxide::adapter::Adapter;
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::handler::{FromMessageParts as _, MessageHandler};
use socketioxide::socket::{DisconnectReason, Socket};
use socketioxide_core::Value as Packet;

use super::client_connection::{ClientConnection, address, outgoing_of};
use super::client_id::ClientId;
use super::early_events::EarlyEvents;
use super::event_sender::EventSender;
use super::gateway_state::{Disconnect, GatewayState, ReceivedEvent};
use super::packet::EventPacket;
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
            // This is nearly always so, and need not be found out under the lock. From then on `hold` gives every event back.
            let is_over = held.is_over();
            connections.with(|state, sender| {
                if let Some(event) = if is_over { Some(event) } else { held.hold(event) } {
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
    pub fn connected(&self, socket: SocketRef, add: impl FnOnce(&mut S, ClientConnection, &mut EventSender)) {
        let Some((id, early)) = socket.extensions.remove::<(ClientId, EarlyEvents<S::Request>)>() else { return };
        let socket = ClientConnection::new(id, socket);
        socket.outgoing().join();
        self.with(|state, sender| {
            let Some(held) = early.take() else { return };
            add(state, socket, sender);
            state.send_outputs(sender);
            for event in held {
                state.handle_event(id, event, sender);
                state.send_outputs(sender);
            }
        });
    }

    /// Runs one input under the lock, and disconnects the clients that it wants disconnected. Sends the outputs after that, and disconnects the
    /// clients that don't read them.
    pub fn with<T>(&self, input: impl FnOnce(&mut S, &mut EventSender) -> T) -> T {
        let (result, mut sender) = self.handle(input);
        loop {
            let unread = sender.flush();
            if unread.is_empty() {
                return result;
            }
            // Telling the others that these clients are gone may fill the next one's buffer.
            ((), sender) = self.handle(|_, sender| unread.into_iter().for_each(|id| sender.disconnect(id)));
        }
    }

    fn handle<T>(&self, input: impl FnOnce(&mut S, &mut EventSender) -> T) -> (T, EventSender) {
        let mut sender = EventSender::default();
        let result = self.0.driver.with(|state| {
            let result = input(state, &mut sender);
            state.send_outputs(&mut sender);
            while let Some(id) = sender.to_disconnect.pop() {
                if let Some(socket) = state.remove_client(id, Disconnect::Dropped) {
                    tracing::debug!(from = %address(&socket), "disconnecting");
                    socket.disconnect();
                }
                state.send_outputs(&mut sender);
            }
            result
        });
        (result, sender)
    }

    /// See [`RoomDriver::locked_time`].
    pub fn locked_time(&self) -> Duration {
        self.0.driver.locked_time()
    }

    /// Ends the connections of the clients at these addresses, who leave their seats at once.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.with(|state, sender| {
            for id in state.clients_of(&is_one) {
                if let Some(socket) = state.remove_client(id, Disconnect::Deliberate) {
                    socket.disconnect();
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
