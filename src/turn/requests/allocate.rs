//! Allocate (RFC 8656 §7.2): checks, ports, the relayed sockets that the shell opens, and the answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use super::super::allocation::{Allocation, PeerTable, PeerTransport, RelayedAddress};
use super::super::codec::attribute::{self, AddressFamily};
use super::super::codec::error_code::ErrorCode;
use super::super::codec::message::{Class, Method};
use super::super::codec::writer::MessageWriter;
use super::super::engine::{Engine, granted};
use super::super::five_tuple::{AllocationId, RelayedAddressId};
use super::super::policy::canonical;
use super::super::ports::PortRequirement;
use super::super::settings::RelayedIp;
use super::super::shared::{QuotaReached, Reservation, ReservationToken};
use super::super::verdict::{Answer, DropReason, OpenError, Output, Verdict};
use super::authenticate::KeySource;
use super::refresh::{lifetime_of, seconds_until};
use super::{
    ADDRESS_FAMILY_NOT_SUPPORTED, ALLOCATION_MISMATCH, ALLOCATION_QUOTA_REACHED, BAD_REQUEST, INSUFFICIENT_CAPACITY,
    MOBILITY_FORBIDDEN, Outcome, Refusal, Request, UNSUPPORTED_TRANSPORT, WRONG_CREDENTIALS,
};

/// RFC 8656 §7.2: at least 30 s.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
/// Ports that are tried where other programs have them.
const MAX_TRIES: u8 = 8;

/// What an Allocate asks for, checked for sense.
#[derive(Debug, Clone, Copy)]
struct AllocateRequest {
    transport: PeerTransport,
    family: AddressFamily,
    /// ADDITIONAL-ADDRESS-FAMILY: IPv4 and IPv6.
    both: bool,
    port: PortRequirement,
    token: Option<ReservationToken>,
    lifetime: Option<u32>,
    mobile: bool,
}

impl Engine {
    pub(super) fn allocate(&mut self, request: &Request<'_>) -> Outcome {
        if let Some(id) = self.allocations.find(&request.from) {
            return self.allocate_again(id, request);
        }
        let KeySource::UserKeys { user, expires } = &request.requester.proof else { return Err(ALLOCATION_MISMATCH) };
        let wish = self.wish(request)?;
        if let Some(server) = self.settings.alternate_server[AddressFamily::of(request.from.client.ip().to_canonical()).index()] {
            return Err(Refusal::Elsewhere(server));
        }
        let account = self.shared.admit(user, &self.settings).map_err(|reached| match reached {
            QuotaReached::User => ALLOCATION_QUOTA_REACHED,
            QuotaReached::Total => INSUFFICIENT_CAPACITY,
        })?;
        let (relays, address_error) = match self.take_ports(&wish, user, request.now) {
            Ok(taken) => taken,
            Err(refusal) => {
                self.shared.leave(&account);
                return Err(refusal);
            }
        };
        let mut end = request.now + granted(&self.settings, wish.lifetime);
        if let Some(expires) = expires.filter(|_| self.settings.strict_expiry) {
            end = end.min(expires);
        }
        let id = self.allocations.insert(Allocation {
            five_tuple: request.from,
            user: account,
            username: request.requester.username,
            signer: request.requester.signer,
            credentials_expire: *expires,
            expires: end,
            transaction: request.message.transaction(),
            lifetime: seconds_until(end, request.now),
            token: None,
            address_error,
            transport: wish.transport,
            relays,
            moves: wish.mobile.then_some(0),
            to_peer: 0,
            to_client: 0,
            new_peers: 0,
            peers: PeerTable::default(),
            connections: Vec::new(),
        });
        for family in AddressFamily::ALL {
            self.open(RelayedAddressId { allocation: id, family });
        }
        Ok(Verdict::Accepted)
    }

    /// The shell's answer to [`Output::OpenRelayedAddress`]; with the last one, the Allocate is answered.
    pub fn handle_relayed_address_opened(&mut self, relay: RelayedAddressId, result: Result<(), OpenError>, now: Instant) {
        let (id, family) = (relay.allocation, relay.family);
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        let Some(relayed) = &mut allocation.relays[family.index()].filter(|relayed| !relayed.live) else { return };
        match result {
            Ok(()) => {
                if allocation.transport == PeerTransport::Udp {
                    self.shared.ports.set_live(family, relayed.port);
                }
                self.allocations.set_live(relay);
            }
            Err(error) => {
                let old = *relayed;
                self.give_back(family, &old);
                let next = match error {
                    OpenError::PortInUse if old.tries < MAX_TRIES && !old.reserved => self.take_port(family, old.wish),
                    OpenError::PortInUse | OpenError::Failed => None,
                };
                let Some(allocation) = self.allocations.allocation_mut(id) else { return };
                allocation.relays[family.index()] = next.map(|port| RelayedAddress { port, tries: old.tries + 1, ..old });
                if next.is_some() {
                    return self.open(relay);
                }
                allocation.address_error = Some((family, ErrorCode::InsufficientCapacity));
            }
        }
        self.answer_when_open(id, now);
    }

    fn answer_when_open(&mut self, id: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation(id).filter(|allocation| !allocation.is_opening()) else { return };
        let to = allocation.five_tuple;
        let mut bytes = Vec::new();
        let method = Method::Allocate;
        let answer = if allocation.relays.iter().all(Option::is_none) {
            let code = ErrorCode::InsufficientCapacity;
            let (transaction, signer) = (allocation.transaction, allocation.signer);
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

    /// A retransmission gets the identical reply; anything else is 437, and another user 441.
    fn allocate_again(&mut self, id: AllocationId, request: &Request<'_>) -> Outcome {
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.transaction != request.message.transaction() {
            return Err(ALLOCATION_MISMATCH);
        }
        if allocation.is_opening() {
            return Err(Refusal::Silent(DropReason::Pending));
        }
        let mut bytes = std::mem::take(&mut self.reply);
        self.write_allocated(id, &mut bytes);
        self.reply = bytes;
        Ok(Verdict::Reply { to: request.from, answer: Answer::Success { method: Method::Allocate } })
    }

    /// The success response: the same bytes however often it is written.
    fn write_allocated(&self, id: AllocationId, bytes: &mut Vec<u8>) {
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

    fn wish(&self, request: &Request<'_>) -> Result<AllocateRequest, Refusal> {
        let message = request.message;
        let transport = match message.find(attribute::REQUESTED_TRANSPORT) {
            Some([17, _, _, _]) => PeerTransport::Udp,
            Some([6, _, _, _]) if self.settings.tcp_relay => PeerTransport::Tcp,
            Some([_, _, _, _]) => return Err(UNSUPPORTED_TRANSPORT),
            Some(_) | None => return Err(BAD_REQUEST),
        };
        let requested = family_of(message.find(attribute::REQUESTED_ADDRESS_FAMILY))?;
        let additional = family_of(message.find(attribute::ADDITIONAL_ADDRESS_FAMILY))?;
        let token =
            message.find(attribute::RESERVATION_TOKEN).map(|value| value.try_into().map_err(|_| BAD_REQUEST)).transpose()?;
        let port = match message.find(attribute::EVEN_PORT) {
            Some([flags, ..]) if flags & 0x80 != 0 => PortRequirement::EvenAndNext,
            Some([_, ..]) => PortRequirement::Even,
            Some([]) => return Err(BAD_REQUEST),
            None => PortRequirement::Any,
        };
        // RFC 8656 §7.2, checks 5 to 8.
        let tied = token.is_some() && (port != PortRequirement::Any || requested.is_some() || additional.is_some());
        let twice = additional.is_some() && (requested.is_some() || port == PortRequirement::EvenAndNext);
        if tied || twice || additional == Some(AddressFamily::V4) {
            return Err(BAD_REQUEST);
        }
        // RFC 6062 §5.1.
        let plain = port == PortRequirement::Any && token.is_none() && !message.has(attribute::DONT_FRAGMENT);
        if transport == PeerTransport::Tcp && !(plain && request.from.transport.is_stream()) {
            return Err(BAD_REQUEST);
        }
        let mobile = match message.find(attribute::MOBILITY_TICKET) {
            Some(_) if !self.settings.mobility => return Err(MOBILITY_FORBIDDEN),
            Some([]) => true,
            Some(_) => return Err(BAD_REQUEST),
            None => false,
        };
        let (family, both, lifetime) = (requested.unwrap_or(AddressFamily::V4), additional.is_some(), lifetime_of(request)?);
        Ok(AllocateRequest { transport, family, both, port, token, lifetime, mobile })
    }

    #[expect(clippy::type_complexity, reason = "the two fields of an allocation that ports decide")]
    fn take_ports(
        &mut self,
        wish: &AllocateRequest,
        user: &str,
        now: Instant,
    ) -> Result<([Option<RelayedAddress>; 2], Option<(AddressFamily, ErrorCode)>), Refusal> {
        let mut relays = [None; 2];
        let relayed = |address: RelayedIp, port, reserved| RelayedAddress {
            advertised: address.advertised,
            port,
            live: false,
            tries: 0,
            wish: wish.port,
            reserved,
        };
        if let Some(token) = &wish.token {
            let Reservation { family, port, .. } = self.shared.claim(token, user, now).ok_or(INSUFFICIENT_CAPACITY)?;
            relays[family.index()] = self.settings.relayed_ip(family).map(|address| relayed(address, port, true));
            return Ok((relays, None));
        }
        let mut error = None;
        for family in AddressFamily::ALL.into_iter().filter(|family| wish.both || *family == wish.family) {
            let Some(address) = self.settings.relayed_ip(family) else {
                // 440 tells more than a full pool of the other family.
                error = Some((family, ErrorCode::AddressFamilyNotSupported));
                continue;
            };
            match self.take_port(family, wish.port) {
                Some(port) => relays[family.index()] = Some(relayed(address, port, false)),
                None => error = error.or(Some((family, ErrorCode::InsufficientCapacity))),
            }
        }
        match error {
            Some((_, code)) if relays.iter().all(Option::is_none) => Err(Refusal::Error(code)),
            Some(_) | None => Ok((relays, error)),
        }
    }

    fn take_port(&mut self, family: AddressFamily, wish: PortRequirement) -> Option<u16> {
        self.shared.ports.take(family, &self.shard.ports, wish, &mut self.rng)
    }

    /// A port that could not be opened, and its reserved neighbour.
    fn give_back(&self, family: AddressFamily, relayed: &RelayedAddress) {
        self.shared.ports.release(family, relayed.port);
        if relayed.wish == PortRequirement::EvenAndNext {
            self.shared.ports.release(family, relayed.port + 1);
        }
    }

    fn open(&mut self, relay: RelayedAddressId) {
        let Some(allocation) = self.allocations.allocation(relay.allocation) else { return };
        let (Some(relayed), Some(address)) = (allocation.relayed(relay.family), self.settings.relayed_ip(relay.family)) else {
            return;
        };
        let address = SocketAddr::new(address.bound, relayed.port);
        self.outputs.push_back(Output::OpenRelayedAddress { relayed: relay, address, transport: allocation.transport });
    }

    /// EVEN-PORT with R = 1: the next port waits for its token.
    fn reserve_sibling(&mut self, id: AllocationId, now: Instant) {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return };
        let relays = AddressFamily::ALL
            .into_iter()
            .filter_map(|family| allocation.relays[family.index()].map(|relayed| (family, relayed)));
        let Some((family, relayed)) = relays.into_iter().find(|(_, relayed)| relayed.wish == PortRequirement::EvenAndNext) else {
            return;
        };
        let mut token = ReservationToken::default();
        self.rng.fill_bytes(&mut token);
        allocation.token = Some(token);
        let expires = now + RESERVATION_LIFETIME;
        let reservation = Reservation { family, port: relayed.port + 1, user: allocation.user.clone(), expires };
        self.shared.reserve(token, reservation);
        self.reservations.push_back((expires, token));
    }
}

/// REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
fn family_of(value: Option<&[u8]>) -> Result<Option<AddressFamily>, Refusal> {
    match value {
        Some([family, _, _, _]) => AddressFamily::from_number(*family).map(Some).ok_or(ADDRESS_FAMILY_NOT_SUPPORTED),
        Some(_) => Err(BAD_REQUEST),
        None => Ok(None),
    }
}
