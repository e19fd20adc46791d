//! One line of the log about a refusal.

use std::mem::{Discriminant, discriminant};
use std::net::SocketAddr;

use crate::limits::ip_prefix::canonical;
use crate::relay::refusals::words;
use crate::turn::{CredentialRefusal, FiveTuple, OpenError, RefusalReason, Transport};

/// Characters of a username that are logged.
const MAX_USERNAME_CHARS: usize = 128;

/// What happened to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Refused(RefusalReason),
    /// Its allocation has ended for another one.
    Displaced,
}

/// An event without its numbers and addresses.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum EventKind {
    Refused(Discriminant<RefusalReason>),
    Credentials(Discriminant<CredentialRefusal>),
    Socket(OpenError),
    Displaced,
}

/// A line that waits for being written.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) event: Event,
    client: SocketAddr,
    transport: Transport,
    user: String,
}

impl Event {
    /// What has one line a minute, so that one reason does not hide another one.
    pub(super) const fn kind(self) -> EventKind {
        match self {
            Self::Refused(RefusalReason::Credentials(why)) => EventKind::Credentials(discriminant(&why)),
            Self::Refused(RefusalReason::Socket(error)) => EventKind::Socket(error),
            Self::Refused(reason) => EventKind::Refused(discriminant(&reason)),
            Self::Displaced => EventKind::Displaced,
        }
    }

    /// Whether every healthy session may cause the event, or another line tells of it.
    pub(super) const fn is_detail(self) -> bool {
        match self {
            Self::Refused(RefusalReason::DeniedPeer(_) | RefusalReason::Scope | RefusalReason::NothingToEnd) => true,
            // The line for wrong passwords says enough.
            Self::Refused(RefusalReason::Credentials(CredentialRefusal::WrongPassword)) => true,
            Self::Refused(_) | Self::Displaced => false,
        }
    }

    /// The peer that the client asked for.
    pub(super) const fn peer(self) -> Option<SocketAddr> {
        match self {
            Self::Refused(RefusalReason::DeniedPeer(peer) | RefusalReason::Connected(peer)) => Some(peer),
            Self::Refused(_) | Self::Displaced => None,
        }
    }
}

impl Line {
    pub(super) fn new(event: Event, client: &FiveTuple, username: &str) -> Self {
        let mut user: String = username.chars().take(MAX_USERNAME_CHARS).collect();
        if user.len() < username.len() {
            user.push('…');
        }
        Self { event, client: canonical(client.client), transport: client.transport, user }
    }

    /// Writes the line.
    pub(super) fn write(&self) {
        let Self { event, client, transport, user } = self;
        let (user, transport) = (user.as_str(), transport.label());
        match event {
            Event::Displaced => {
                let reason = words::DISPLACED;
                tracing::info!(%client, %transport, user, reason, "relay displaced");
            }
            Event::Refused(reason) => {
                let (code, peer) = (reason.code().number(), event.peer().map(tracing::field::display));
                let reason = words::reason(*reason);
                if event.is_detail() {
                    tracing::debug!(%client, %transport, user, code, peer, reason, "relay refused");
                } else {
                    tracing::info!(%client, %transport, user, code, peer, reason, "relay refused");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(username: &str) -> Line {
        let client = FiveTuple {
            client: "[::ffff:198.51.100.9]:40000".parse().unwrap(),
            server: "[::]:3478".parse().unwrap(),
            transport: Transport::Udp,
        };
        Line::new(Event::Displaced, &client, username)
    }

    #[test]
    fn a_client_has_its_canonical_address() {
        assert_eq!(line("alice").client.to_string(), "198.51.100.9:40000");
    }

    #[test]
    fn a_long_username_is_cut_between_characters() {
        assert_eq!(line("alice").user, "alice");
        let long = "键".repeat(168);
        assert_eq!(line(&long).user, format!("{}…", "键".repeat(MAX_USERNAME_CHARS)));
    }
}
