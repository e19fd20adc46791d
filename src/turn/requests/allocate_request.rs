//! The attributes of an Allocate, checked for consistency (RFC 8656 §7.2, steps 3 to 9; RFC 6062 §5.1; RFC 8016 §3.1.2).

use super::lifetime::requested_lifetime;
use super::request::{ADDRESS_FAMILY_NOT_SUPPORTED, BAD_REQUEST, MOBILITY_FORBIDDEN, Refusal, Request};
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::credentials::Scope;
use crate::turn::five_tuple::PeerTransport;
use crate::turn::ports::PortRequirement;
use crate::turn::refusal::RefusalReason;
use crate::turn::settings::EngineSettings;
use crate::turn::shared::ReservationToken;

/// Protocol numbers in REQUESTED-TRANSPORT.
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
/// The R bit of EVEN-PORT (RFC 8656 §18.7).
const RESERVE_NEXT: u8 = 0x80;

/// The requirements of a valid Allocate.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllocateRequest {
    pub(super) transport: PeerTransport,
    pub(super) family: AddressFamily,
    /// The request asks for IPv4 and IPv6 (ADDITIONAL-ADDRESS-FAMILY).
    pub(super) both_families: bool,
    pub(super) port: PortRequirement,
    pub(super) token: Option<ReservationToken>,
    pub(super) lifetime: Option<u32>,
    pub(super) mobile: bool,
}

impl AllocateRequest {
    pub(super) fn read(request: &Request<'_>, scope: Scope, settings: &EngineSettings) -> Result<Self, Refusal> {
        let message = request.message;
        // RFC 8656 §7.2, step 3: 400 without REQUESTED-TRANSPORT, 442 for a transport that is not supported. Step 4 was part of
        // the check for unknown attributes: DONT-FRAGMENT is unknown where the shell cannot set the DF bit.
        let transport = match message.find(attribute::REQUESTED_TRANSPORT) {
            Some([PROTOCOL_UDP, _, _, _]) => PeerTransport::Udp,
            // The peers of scope clients are relayed addresses, which carry UDP.
            Some([PROTOCOL_TCP, _, _, _]) if settings.tcp_relay && scope == Scope::Anyone => PeerTransport::Tcp,
            Some([number, _, _, _]) => return Err(Refusal::Error(RefusalReason::UnsupportedTransport(*number))),
            Some(_) | None => return Err(BAD_REQUEST),
        };
        // Step 7, in part: a family that does not exist gets 440.
        let requested = read_family(message.find(attribute::REQUESTED_ADDRESS_FAMILY))?;
        let additional = read_family(message.find(attribute::ADDITIONAL_ADDRESS_FAMILY))?;
        let token = message.find(attribute::RESERVATION_TOKEN);
        let token = token.map(|value| value.try_into().map_err(|_| BAD_REQUEST)).transpose()?;
        let port = match message.find(attribute::EVEN_PORT) {
            Some([flags, ..]) if flags & RESERVE_NEXT != 0 => PortRequirement::EvenAndNext,
            Some([_, ..]) => PortRequirement::Even,
            Some([]) => return Err(BAD_REQUEST),
            None => PortRequirement::Any,
        };
        // Step 5: a reservation already has its port and its family.
        if token.is_some() && (port != PortRequirement::Any || requested.is_some() || additional.is_some()) {
            return Err(BAD_REQUEST);
        }
        // Steps 6 and 8: ADDITIONAL-ADDRESS-FAMILY excludes REQUESTED-ADDRESS-FAMILY, and EVEN-PORT with R = 1.
        if additional.is_some() && (requested.is_some() || port == PortRequirement::EvenAndNext) {
            return Err(BAD_REQUEST);
        }
        // Step 9: only IPv6 can be additional.
        if additional == Some(AddressFamily::V4) {
            return Err(BAD_REQUEST);
        }
        // RFC 6062 §5.1, steps 2 and 3: a TCP allocation needs a client's stream, and excludes these three attributes.
        let plain = port == PortRequirement::Any && token.is_none() && !message.has(attribute::DONT_FRAGMENT);
        if transport == PeerTransport::Tcp && !(plain && request.from.transport.is_stream()) {
            return Err(BAD_REQUEST);
        }
        // RFC 8016 §3.1.2: an empty MOBILITY-TICKET asks for a mobile allocation. Where mobility is off, it gets 405 (§3.4).
        let mobile = match message.find(attribute::MOBILITY_TICKET) {
            // The peer of scope own-address is the address that the Allocate came from, which does not change.
            Some(_) if !settings.mobility || scope == Scope::OwnAddress => return Err(MOBILITY_FORBIDDEN),
            Some([]) => true,
            Some(_) => return Err(BAD_REQUEST),
            None => false,
        };
        let lifetime = requested_lifetime(request)?;
        // ADDITIONAL-ADDRESS-FAMILY asks for both, whatever the default is.
        let family = requested.unwrap_or_else(|| settings.default_family(request.from.client.ip()));
        let both_families = additional.is_some();
        Ok(Self { transport, family, both_families, port, token, lifetime, mobile })
    }
}

/// Reads REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
fn read_family(value: Option<&[u8]>) -> Result<Option<AddressFamily>, Refusal> {
    match value {
        Some([family, _, _, _]) => AddressFamily::from_number(*family).map(Some).ok_or(ADDRESS_FAMILY_NOT_SUPPORTED),
        Some(_) => Err(BAD_REQUEST),
        None => Ok(None),
    }
}
