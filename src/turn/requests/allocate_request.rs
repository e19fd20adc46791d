//! The attributes of an Allocate, checked for consistency (RFC 8656 §7.2, steps 3 to 9).

use super::lifetime::requested_lifetime;
use super::request::{ADDRESS_FAMILY_NOT_SUPPORTED, BAD_REQUEST, MOBILITY_FORBIDDEN, Refusal, Request, UNSUPPORTED_TRANSPORT};
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::five_tuple::PeerTransport;
use crate::turn::ports::PortRequirement;
use crate::turn::settings::EngineSettings;
use crate::turn::shared::ReservationToken;

/// Protocol numbers in REQUESTED-TRANSPORT.
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
/// The R bit of EVEN-PORT.
const RESERVE_NEXT: u8 = 0x80;

/// The requirements of a valid Allocate.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllocateRequest {
    pub(super) transport: PeerTransport,
    pub(super) family: AddressFamily,
    /// ADDITIONAL-ADDRESS-FAMILY: IPv4 and IPv6.
    pub(super) both_families: bool,
    pub(super) port: PortRequirement,
    pub(super) token: Option<ReservationToken>,
    pub(super) lifetime: Option<u32>,
    pub(super) mobile: bool,
}

impl AllocateRequest {
    pub(super) fn read(request: &Request<'_>, settings: &EngineSettings) -> Result<Self, Refusal> {
        let message = request.message;
        // RFC 8656 §7.2, step 3. Step 4 (DONT-FRAGMENT) is among the unknown attributes.
        let transport = match message.find(attribute::REQUESTED_TRANSPORT) {
            Some([PROTOCOL_UDP, _, _, _]) => PeerTransport::Udp,
            Some([PROTOCOL_TCP, _, _, _]) if settings.tcp_relay => PeerTransport::Tcp,
            Some([_, _, _, _]) => return Err(UNSUPPORTED_TRANSPORT),
            Some(_) | None => return Err(BAD_REQUEST),
        };
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
        // Step 5: a reservation has its port and family already.
        if token.is_some() && (port != PortRequirement::Any || requested.is_some() || additional.is_some()) {
            return Err(BAD_REQUEST);
        }
        // Steps 6 and 8.
        if additional.is_some() && (requested.is_some() || port == PortRequirement::EvenAndNext) {
            return Err(BAD_REQUEST);
        }
        // Step 9: only IPv6 can be additional.
        if additional == Some(AddressFamily::V4) {
            return Err(BAD_REQUEST);
        }
        // RFC 6062 §5.1.
        let plain = port == PortRequirement::Any && token.is_none() && !message.has(attribute::DONT_FRAGMENT);
        if transport == PeerTransport::Tcp && !(plain && request.from.transport.is_stream()) {
            return Err(BAD_REQUEST);
        }
        // RFC 8016 §3.1: an empty MOBILITY-TICKET asks for a mobile allocation.
        let mobile = match message.find(attribute::MOBILITY_TICKET) {
            Some(_) if !settings.mobility => return Err(MOBILITY_FORBIDDEN),
            Some([]) => true,
            Some(_) => return Err(BAD_REQUEST),
            None => false,
        };
        let lifetime = requested_lifetime(request)?;
        let (family, both_families) = (requested.unwrap_or(AddressFamily::V4), additional.is_some());
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
