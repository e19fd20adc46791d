//! The second half of an Allocate: the shell opens the relayed sockets, and then the Allocate is answered (RFC 8656 §7.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::limits::ip_prefix::canonical;
use crate::turn::allocation::RelayedAddress;
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::{Class, Method};
use crate::turn::codec::writer::MessageWriter;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::PeerTransport;
use crate::turn::ids::{AllocationId, RelayedAddressId};
use crate::turn::ports::PortRequirement;
use crate::turn::refusal::{OpenError, RefusalReason, RefusedRequest};
use crate::turn::shared::{Reservation, ReservationToken};
use crate::turn::verdict::{Answer, Output};

/// RFC 8656 §7.2: at least 30 s.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
/// How many further ports are tried where other programs use the earlier ones.
const MAX_PORT_RETRIES: u8 = 8;

impl Engine {
    /// Asks the shell for the socket of a relayed address. An internal one needs none, and is live at once.
    pub(super) fn open(&mut self, id: RelayedAddressId, now: Instant) {
        let Some(allocation) = self.allocations.allocation(id.allocation) else { return };
        let Some(relayed) = allocation.relayed(id.family) else { return };
        if !relayed.socket {
            return self.handle_relayed_address_opened(id, Ok(()), now);
        }
        // The machine may have lost the address while an earlier port was tried.
        let Some(ip) = self.settings.relayed_ip(id.family) else {
            return self.handle_relayed_address_opened(id, Err(OpenError::NoAddress), now);
        };
        let address = SocketAddr::new(ip.bound, relayed.port);
        self.outputs.push_back(Output::OpenRelayedAddress { relayed: id, address, transport: allocation.transport });
    }

    /// The result of [`Output::OpenRelayedAddress`]. The last result of an allocation answers its Allocate.
    pub fn handle_relayed_address_opened(&mut self, relayed: RelayedAddressId, result: Result<(), OpenError>, now: Instant) {
        let Some(allocation) = self.allocations.allocation(relayed.allocation) else { return };
        let Some(&address) = allocation.relayed(relayed.family).filter(|address| !address.live) else { return };
        let mut failure = None;
        match result {
            Ok(()) => {
                if allocation.transport == PeerTransport::Udp {
                    let delivery = &allocation.delivery;
                    self.shared.set_live(relayed.family, address.port, self.shard.index, address.socket, delivery);
                }
                self.allocations.set_live(relayed);
            }
            Err(error) => {
                let next = self.replace_port(relayed.family, &address, error);
                let Some(allocation) = self.allocations.allocation_mut(relayed.allocation) else { return };
                allocation.relayed[relayed.family.index()] = next;
                if next.is_some() {
                    return self.open(relayed, now);
                }
                allocation.address_error = Some((relayed.family, ErrorCode::InsufficientCapacity));
                failure = Some(error);
            }
        }
        self.answer_when_open(relayed.allocation, failure, now);
    }

    /// Gives back a port that could not be opened, and takes another one where that may help.
    fn replace_port(&mut self, family: AddressFamily, failed: &RelayedAddress, error: OpenError) -> Option<RelayedAddress> {
        self.shared.release_port(family, failed.port);
        if failed.requirement == PortRequirement::EvenAndNext {
            self.shared.release_port(family, failed.port + 1);
        }
        let port = match error {
            OpenError::PortInUse if failed.tries < MAX_PORT_RETRIES && !failed.reserved => {
                self.take_port(family, failed.requirement, failed.socket)
            }
            OpenError::PortInUse | OpenError::NoDescriptors | OpenError::NoAddress | OpenError::Failed => None,
        };
        port.map(|port| RelayedAddress { port, tries: failed.tries + 1, ..*failed })
    }

    pub(super) fn take_port(&mut self, family: AddressFamily, requirement: PortRequirement, socket: bool) -> Option<u16> {
        let ranges = if socket { std::slice::from_ref(&self.shard.ports) } else { &self.settings.internal_ports[..] };
        self.shared.ports.take(family, ranges, requirement, &mut self.rng)
    }

    /// `failure`: why the relayed address could not be opened whose result came last.
    fn answer_when_open(&mut self, id: AllocationId, failure: Option<OpenError>, now: Instant) {
        let Some(allocation) = self.allocations.allocation(id).filter(|allocation| !allocation.is_opening()) else { return };
        let to = allocation.five_tuple;
        let mut bytes = Vec::new();
        let method = Method::Allocate;
        let answer = if allocation.relayed.iter().all(Option::is_none) {
            let reason = RefusalReason::Socket(failure.unwrap_or(OpenError::Failed));
            let code = reason.code();
            let (transaction, signer) = (allocation.transaction, allocation.signer);
            let username = allocation.user.identity.name.as_ref().into();
            self.outputs.push_back(Output::Refused(Box::new(RefusedRequest { client: to, username, reason })));
            self.end(id);
            MessageWriter::new(&mut bytes, Class::Error, method, &transaction).error(code);
            self.sign(&mut bytes, &signer);
            Answer::Error { method, code, failed_authentication: false }
        } else {
            self.reserve_sibling(id, now);
            self.write_allocated(id, &mut bytes);
            Answer::Success { method }
        };
        self.outputs.push_back(Output::Transmit { to, bytes, answer });
    }

    /// Writes the success response (RFC 8656 §7.2). The same allocation always gets the same bytes.
    pub(super) fn write_allocated(&self, id: AllocationId, bytes: &mut Vec<u8>) {
        let Some(allocation) = self.allocations.allocation(id) else { return };
        let mut writer = MessageWriter::new(bytes, Class::Success, Method::Allocate, &allocation.transaction);
        for relayed in AddressFamily::ALL.into_iter().filter_map(|family| allocation.relayed_address(family)) {
            writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relayed);
        }
        writer.number(attribute::LIFETIME, allocation.lifetime);
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, canonical(allocation.five_tuple.client));
        if let Some(token) = &allocation.token {
            writer.attribute(attribute::RESERVATION_TOKEN, token);
        }
        if let Some((family, code)) = allocation.address_error {
            writer.address_error(family, code);
        }
        if let Some(ticket) = self.ticket(id) {
            writer.attribute(attribute::MOBILITY_TICKET, &ticket);
        }
        self.sign(bytes, &allocation.signer);
    }

    /// EVEN-PORT with R = 1 (RFC 8656 §7.2): reserves the next port for the holder of a token.
    fn reserve_sibling(&mut self, id: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        let with_sibling = |family: &AddressFamily| {
            allocation.relayed(*family).is_some_and(|relayed| relayed.requirement == PortRequirement::EvenAndNext)
        };
        let Some(family) = AddressFamily::ALL.into_iter().find(with_sibling) else { return };
        let Some(port) = allocation.relayed(family).map(|relayed| relayed.port + 1) else { return };
        let mut token = ReservationToken::default();
        self.rng.fill_bytes(&mut token);
        allocation.token = Some(token);
        let expires = now + RESERVATION_LIFETIME;
        self.shared.reserve(token, Reservation { family, port, user: allocation.user.clone(), expires });
        self.reservations.push_back((expires, token));
    }
}
