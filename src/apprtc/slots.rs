//! A room as Collider sees it: two slots, each of a client with a socket or without one. PURE.
//!
//! Owner: the room. Invariants: a slot without a socket goes after [`GRACE`]; a queue lives with its sender, is delivered when
//! the other one registers, and goes with its slot. A slot knows whether the last message of its client was a bye.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::queue::{Allowance, Queue};

pub(super) const CAPACITY: usize = 2;
/// How long a slot is kept without a socket.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// What a client says when it hangs up: its peer becomes the initiator and offers again.
pub(super) const BYE: &str = r#"{"type":"bye"}"#;

/// Whether a message is a bye: a JSON object whose `type` is `bye`, however it is written.
pub(super) fn is_bye(message: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    // An array of one would do for serde, too.
    message.trim_start().starts_with('{') && serde_json::from_str::<Typed<'_>>(message).is_ok_and(|typed| typed.kind == "bye")
}

/// `S` is a handle of a client's socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<S> {
    Send { to: S, message: String },
    Close { socket: S },
}

/// The texts are Collider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("Duplicated registration")]
    Duplicated,
    #[error("Max room capacity reached")]
    Full,
    #[error("Too many messages queued for the client")]
    TooManyWaiting,
    #[error("Client not registered")]
    NotRegistered,
}

#[derive(Debug)]
pub(super) struct Slots<S>(Vec<Slot<S>>);

#[derive(Debug)]
pub(super) struct Slot<S> {
    client: String,
    presence: Presence<S>,
    /// What this client sent while the other was not there.
    queue: Queue,
    /// Its last message was a bye.
    said_bye: bool,
    /// It was a member of the room and is none any more.
    has_left: bool,
}

#[derive(Debug)]
enum Presence<S> {
    Live(S),
    Away { until: Instant },
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Clone + PartialEq> Slots<S> {
    /// Those that are registered.
    pub(super) fn live_sockets(&self) -> impl Iterator<Item = &S> {
        self.0.iter().filter_map(Slot::socket)
    }

    /// `socket` becomes that of `client`; what is returned is what the other one sent meanwhile.
    pub(super) fn register(
        &mut self,
        client: &str,
        socket: &S,
        now: Instant,
    ) -> Result<impl Iterator<Item = String> + use<S>, SlotError> {
        let slot = self.slot(client, now)?;
        if matches!(slot.presence, Presence::Live(_)) {
            return Err(SlotError::Duplicated);
        }
        slot.presence = Presence::Live(socket.clone());
        slot.said_bye = false;
        let others = self.0.iter_mut().filter(|slot| slot.client != client);
        let waiting: Vec<_> = others.map(|other| other.queue.take()).collect();
        Ok(waiting.into_iter().flatten())
    }

    /// A message of `client` to the other one: for its socket, or into the queue.
    pub(super) fn send(
        &mut self,
        client: &str,
        message: String,
        allowance: Allowance<'_>,
        now: Instant,
    ) -> Result<Option<Output<S>>, SlotError> {
        self.slot(client, now)?.said_bye = is_bye(&message);
        let live = self.0.iter().filter(|slot| slot.client != client).find_map(|slot| slot.socket().cloned());
        if let Some(to) = live {
            return Ok(Some(Output::Send { to, message }));
        }
        let queued = self.slot(client, now)?.queue.push(message, allowance);
        queued.map(|()| None).map_err(|_| SlotError::TooManyWaiting)
    }

    /// `socket` is gone; `false`: it is not that of `client`.
    pub(super) fn drop_socket(&mut self, client: &str, socket: &S, now: Instant) -> bool {
        let slot = self.0.iter_mut().find(|slot| slot.client == client && slot.socket() == Some(socket));
        slot.map(|slot| slot.presence = Presence::Away { until: now + GRACE }).is_some()
    }

    pub(super) fn remove(&mut self, client: &str) -> Option<Slot<S>> {
        let at = self.0.iter().position(|slot| slot.client == client)?;
        Some(self.0.remove(at))
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|slot| !matches!(slot.presence, Presence::Away { until } if until <= now));
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let times = self.0.iter().filter_map(|slot| match slot.presence {
            Presence::Live(_) => None,
            Presence::Away { until } => Some(until),
        });
        times.min()
    }

    /// `client` has left the room server, and what was said to it would confuse the next one.
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

    pub(super) fn is_live(&self, client: &str, socket: &S) -> bool {
        self.of(client).is_some_and(|slot| slot.socket() == Some(socket))
    }

    /// The one slot that there is.
    pub(super) fn only(&self) -> Option<&Slot<S>> {
        if let [only] = &self.0[..] { Some(only) } else { None }
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= CAPACITY
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn sockets(&self) -> usize {
        self.0.iter().filter(|slot| slot.socket().is_some()).count()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.0.iter().map(|slot| &slot.queue)
    }

    pub(super) fn drop_from(&mut self, address: IpAddr) -> usize {
        self.0.iter_mut().map(|slot| slot.queue.drop_from(address)).sum()
    }

    /// Ends all of them.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = Output<S>> + use<S> {
        std::mem::take(&mut self.0).into_iter().filter_map(Slot::into_socket).map(|socket| Output::Close { socket })
    }

    fn slot(&mut self, client: &str, now: Instant) -> Result<&mut Slot<S>, SlotError> {
        let at = match self.0.iter().position(|slot| slot.client == client) {
            Some(at) => at,
            None if self.is_full() => return Err(SlotError::Full),
            None => {
                let presence = Presence::Away { until: now + GRACE };
                self.0.reserve_exact(CAPACITY - self.0.len());
                self.0.push(Slot {
                    client: client.to_owned(),
                    presence,
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

    /// Whether the other one has not heard everything yet.
    pub(super) const fn is_unheard(&self) -> bool {
        self.queue.bytes() > 0
    }

    pub(super) fn into_socket(self) -> Option<S> {
        match self.presence {
            Presence::Live(socket) => Some(socket),
            Presence::Away { .. } => None,
        }
    }

    pub(super) const fn socket(&self) -> Option<&S> {
        match &self.presence {
            Presence::Live(socket) => Some(socket),
            Presence::Away { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bye_is_a_bye_however_it_is_written() {
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
