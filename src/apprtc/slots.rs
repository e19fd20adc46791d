//! A room as Collider sees it: two slots, each of a client with or without a socket. PURE.
//!
//! Owner: the room. Invariants: a slot without a socket is removed after [`SLOT_GRACE`]; a slot owns the queue of its client's
//! messages, which is delivered when the other client registers. A slot knows whether the last message of its client was a bye.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::model::{ClientDetails, ListedClient, Output, SlotError};
use super::queue::{Allowance, Queue};

pub(super) const MAX_SLOTS: usize = 2;
/// How long a slot is kept without a socket.
pub(super) const SLOT_GRACE: Duration = Duration::from_secs(10);
/// A client sends it when it hangs up: its peer becomes the initiator, and offers again.
pub(super) const BYE: &str = r#"{"type":"bye"}"#;

/// Whether a message is a bye: a JSON object with the `type` `bye`, in any notation.
pub(super) fn is_bye(message: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    // serde would accept an array with one element, too.
    message.trim_start().starts_with('{') && serde_json::from_str::<Typed<'_>>(message).is_ok_and(|typed| typed.kind == "bye")
}

#[derive(Debug)]
pub(super) struct Slots<S>(Vec<Slot<S>>);

#[derive(Debug)]
pub(super) struct Slot<S> {
    client: String,
    /// Where its socket came from; `None`: it has never had one.
    from: Option<IpAddr>,
    details: Option<Box<ClientDetails>>,
    registration: Registration<S>,
    /// The messages that the client sent while the other one had no socket.
    queue: Queue,
    /// The client's last message was a bye.
    said_bye: bool,
    /// The client was a member of the room, and has left.
    has_left: bool,
}

#[derive(Debug)]
enum Registration<S> {
    Socket(S),
    None { until: Instant },
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Clone + PartialEq> Slots<S> {
    /// The registered sockets.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &S> {
        self.0.iter().filter_map(Slot::socket)
    }

    /// Registers `socket` for `client`, and returns the messages that the other client has queued.
    pub(super) fn register(
        &mut self,
        client: &str,
        socket: &S,
        from: IpAddr,
        now: Instant,
    ) -> Result<impl Iterator<Item = String> + use<S>, SlotError> {
        let slot = self.slot(client, now)?;
        if matches!(slot.registration, Registration::Socket(_)) {
            return Err(SlotError::Duplicated);
        }
        slot.registration = Registration::Socket(socket.clone());
        slot.said_bye = false;
        slot.from = Some(from);
        let others = self.0.iter_mut().filter(|slot| slot.client != client);
        let queued: Vec<_> = others.map(|other| other.queue.take()).collect();
        Ok(queued.into_iter().flatten())
    }

    /// Sends a message of `client` to the other client's socket, or queues it.
    pub(super) fn send(
        &mut self,
        client: &str,
        message: String,
        allowance: Allowance,
        now: Instant,
    ) -> Result<Option<Output<S>>, SlotError> {
        self.slot(client, now)?.said_bye = is_bye(&message);
        let socket = self.0.iter().filter(|slot| slot.client != client).find_map(|slot| slot.socket().cloned());
        if let Some(to) = socket {
            return Ok(Some(Output::Send { to, message }));
        }
        let queued = self.slot(client, now)?.queue.push(message, allowance);
        queued.map(|()| None).map_err(|_| SlotError::TooManyWaiting)
    }

    /// What is known of a client besides.
    pub(super) fn describe(&mut self, client: &str, details: Box<ClientDetails>) {
        self.0.iter_mut().filter(|slot| slot.client == client).for_each(|slot| slot.details = Some(details.clone()));
    }

    /// The clients with a socket as an operator sees them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, ListedClient<'_>)> {
        let connected = self.0.iter().filter(|slot| slot.socket().is_some());
        connected.map(|slot| (slot.client.as_str(), ListedClient { address: slot.from, details: slot.details.as_deref() }))
    }

    /// `socket` is closed; `false` if it is not registered for `client`.
    pub(super) fn drop_socket(&mut self, client: &str, socket: &S, now: Instant) -> bool {
        let slot = self.0.iter_mut().find(|slot| slot.client == client && slot.socket() == Some(socket));
        slot.map(|slot| slot.registration = Registration::None { until: now + SLOT_GRACE }).is_some()
    }

    pub(super) fn remove(&mut self, client: &str) -> Option<Slot<S>> {
        let at = self.0.iter().position(|slot| slot.client == client)?;
        Some(self.0.remove(at))
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|slot| !matches!(slot.registration, Registration::None { until } if until <= now));
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let times = self.0.iter().filter_map(|slot| match slot.registration {
            Registration::Socket(_) => None,
            Registration::None { until } => Some(until),
        });
        times.min()
    }

    /// `client` has left the room server. The messages to it would confuse the next client.
    pub(super) fn note_leave(&mut self, client: &str) {
        for slot in &mut self.0 {
            match slot.client == client {
                true => slot.has_left = true,
                false => drop(slot.queue.take()),
            }
        }
    }

    pub(super) fn of(&self, client: &str) -> Option<&Slot<S>> {
        self.0.iter().find(|slot| slot.client == client)
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|slot| slot.client.as_str())
    }

    pub(super) fn is_registered(&self, client: &str, socket: &S) -> bool {
        self.of(client).is_some_and(|slot| slot.socket() == Some(socket))
    }

    /// The only slot; `None` where there are none or two.
    pub(super) fn only(&self) -> Option<&Slot<S>> {
        if let [only] = &self.0[..] { Some(only) } else { None }
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_SLOTS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn socket_count(&self) -> usize {
        self.sockets().count()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.0.iter().map(|slot| &slot.queue)
    }

    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        self.0.iter_mut().map(|slot| slot.queue.drop_from(address)).sum()
    }

    /// Removes all slots.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = Output<S>> + use<S> {
        std::mem::take(&mut self.0).into_iter().filter_map(Slot::into_socket).map(|socket| Output::Close { socket })
    }

    fn slot(&mut self, client: &str, now: Instant) -> Result<&mut Slot<S>, SlotError> {
        let at = match self.0.iter().position(|slot| slot.client == client) {
            Some(at) => at,
            None if self.is_full() => return Err(SlotError::Full),
            None => {
                let registration = Registration::None { until: now + SLOT_GRACE };
                self.0.reserve_exact(MAX_SLOTS - self.0.len());
                self.0.push(Slot {
                    client: client.to_owned(),
                    from: None,
                    details: None,
                    registration,
                    queue: Queue::default(),
                    said_bye: false,
                    has_left: false,
                });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at])
    }
}

impl<S> Slot<S> {
    pub(super) const fn has_left(&self) -> bool {
        self.has_left
    }

    pub(super) const fn said_bye(&self) -> bool {
        self.said_bye
    }

    pub(super) const fn has_queued(&self) -> bool {
        self.queue.text_bytes() > 0
    }

    pub(super) fn into_socket(self) -> Option<S> {
        match self.registration {
            Registration::Socket(socket) => Some(socket),
            Registration::None { .. } => None,
        }
    }

    pub(super) const fn socket(&self) -> Option<&S> {
        match &self.registration {
            Registration::Socket(socket) => Some(socket),
            Registration::None { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bye_is_recognized_in_any_notation() {
        for bye in [BYE, "{ \"type\" : \"bye\" }\r\n", r#"{"why":{"type":"x"},"type":"bye"}"#, r#"{"\u0074ype":"b\u0079e"}"#] {
            assert!(is_bye(bye), "{bye}");
        }
        for other in [
            "",
            "bye",
            r#""bye""#,
            r#"["bye"]"#,
            r#"{"type":"Bye"}"#,
            r#"{"type":["bye"]}"#,
            r#"{"type":"offer","sdp":"{\"type\":\"bye\"}"}"#,
            r#"{"message":{"type":"bye"}}"#,
            r#"{"type":"bye""#,
            r#"{"type":"bye"} x"#,
        ] {
            assert!(!is_bye(other), "{other}");
        }
    }
}
