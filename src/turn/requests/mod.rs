//! Requests: who may ask, and the answers (RFC 8489 §6.3, RFC 8656 §5).

mod allocate;
mod authenticate;
mod binding;
mod connect;
mod permission;
mod refresh;

use std::net::SocketAddr;
use std::time::Instant;

use super::allocation::{Allocation, Signer};
use super::codec::attribute;
use super::codec::error_code::ErrorCode;
use super::codec::message::{Class, Method, StunMessage, UnknownAttributes};
use super::codec::writer::MessageWriter;
use super::engine::{Engine, PeerLocation};
use super::five_tuple::{AllocationId, FiveTuple, Transport};
use super::policy::canonical;
use super::verdict::{Answer, DropReason, Verdict};
use authenticate::Requester;

/// An authenticated request.
struct Request<'a> {
    from: FiveTuple,
    message: &'a StunMessage<'a>,
    now: Instant,
    requester: Requester,
}

/// Why a request is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Silent(DropReason),
    Error(ErrorCode),
    /// 420 with the list.
    Unknown(UnknownAttributes),
    /// 300 with ALTERNATE-SERVER.
    Elsewhere(SocketAddr),
    /// Another engine's.
    ShardSettings(u8),
}

type Outcome = Result<Verdict, Refusal>;

const BAD_REQUEST: Refusal = Refusal::Error(ErrorCode::BadRequest);
const FORBIDDEN: Refusal = Refusal::Error(ErrorCode::Forbidden);
const MOBILITY_FORBIDDEN: Refusal = Refusal::Error(ErrorCode::MobilityForbidden);
const ALLOCATION_MISMATCH: Refusal = Refusal::Error(ErrorCode::AllocationMismatch);
const ADDRESS_FAMILY_NOT_SUPPORTED: Refusal = Refusal::Error(ErrorCode::AddressFamilyNotSupported);
const WRONG_CREDENTIALS: Refusal = Refusal::Error(ErrorCode::WrongCredentials);
const UNSUPPORTED_TRANSPORT: Refusal = Refusal::Error(ErrorCode::UnsupportedTransport);
const PEER_ADDRESS_FAMILY_MISMATCH: Refusal = Refusal::Error(ErrorCode::PeerAddressFamilyMismatch);
const CONNECTION_ALREADY_EXISTS: Refusal = Refusal::Error(ErrorCode::ConnectionAlreadyExists);
const ALLOCATION_QUOTA_REACHED: Refusal = Refusal::Error(ErrorCode::AllocationQuotaReached);
const INSUFFICIENT_CAPACITY: Refusal = Refusal::Error(ErrorCode::InsufficientCapacity);

/// A datagram without credentials below this length is never answered, unless it is a Binding request.
const SHORTEST_ANSWERED: usize = 28;

impl Engine {
    pub(super) fn request(&mut self, from: FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        // What has expired must not be found below.
        self.handle_timeout(now);
        if from.transport == Transport::Udp && matches!(self.reach(canonical(from.client)), PeerLocation::OwnRelayedAddress(_)) {
            return Verdict::Drop(DropReason::Loop);
        }
        match message.method() {
            Method::Binding => return self.binding(from, message, now),
            Method::Allocate | Method::Refresh | Method::CreatePermission | Method::ChannelBind => {}
            Method::Connect | Method::ConnectionBind if self.settings.tcp_relay => {}
            Method::Connect
            | Method::ConnectionBind
            | Method::ConnectionAttempt
            | Method::Send
            | Method::Data
            | Method::Unknown(_) => return Verdict::Drop(DropReason::UnsupportedMethod),
        }
        if message.bytes().len() < SHORTEST_ANSWERED && !from.transport.is_stream() {
            return Verdict::Drop(DropReason::Bare);
        }
        let requester = match self.authenticate(&from, message, now) {
            Ok(requester) => requester,
            Err(refusal) => return self.refuse_stranger(from, message, refusal, now),
        };
        let signer = requester.signer;
        let request = Request { from, message, now, requester };
        let answer = match message.unknown_attributes(|kind| self.knows(kind)) {
            unknown if !unknown.is_empty() => Err(Refusal::Unknown(unknown)),
            _ => self.perform(&request),
        };
        answer.unwrap_or_else(|refusal| self.refuse(from, message, &signer, refusal))
    }

    fn perform(&mut self, request: &Request<'_>) -> Outcome {
        match request.message.method() {
            Method::Allocate => self.allocate(request),
            Method::Refresh => self.refresh(request),
            Method::CreatePermission => self.create_permission(request),
            Method::ChannelBind => self.channel_bind(request),
            Method::Connect => self.connect_request(request),
            Method::ConnectionBind => self.connection_bind(request),
            Method::Binding | Method::Send | Method::Data | Method::ConnectionAttempt | Method::Unknown(_) => {
                Err(Refusal::Silent(DropReason::UnsupportedMethod))
            }
        }
    }

    /// The allocation of the request's five-tuple, for its own user (RFC 8656 §5).
    fn allocation_of(&self, request: &Request<'_>) -> Result<(AllocationId, &Allocation), Refusal> {
        let id = self.allocations.find(&request.from).ok_or(ALLOCATION_MISMATCH)?;
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.is_opening() {
            return Err(ALLOCATION_MISMATCH);
        }
        Ok((id, allocation))
    }

    /// Comprehension-required attributes that are understood here and now.
    pub(super) fn knows(&self, kind: u16) -> bool {
        match kind {
            attribute::DONT_FRAGMENT => self.settings.dont_fragment,
            attribute::CHANGE_REQUEST => !self.settings.nat_discovery.is_empty(),
            attribute::CONNECTION_ID => self.settings.tcp_relay,
            attribute::MAPPED_ADDRESS
            | attribute::USERNAME
            | attribute::MESSAGE_INTEGRITY
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::CHANNEL_NUMBER
            | attribute::LIFETIME
            | attribute::XOR_PEER_ADDRESS
            | attribute::DATA
            | attribute::REALM
            | attribute::NONCE
            | attribute::XOR_RELAYED_ADDRESS
            | attribute::REQUESTED_ADDRESS_FAMILY
            | attribute::EVEN_PORT
            | attribute::REQUESTED_TRANSPORT
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::PASSWORD_ALGORITHM
            | attribute::USERHASH
            | attribute::XOR_MAPPED_ADDRESS
            | attribute::RESERVATION_TOKEN => true,
            _ => false,
        }
    }

    /// A success response without attributes of its own.
    fn success(&mut self, request: &Request<'_>) -> Verdict {
        self.success_with(request, |_| {})
    }

    fn success_with(&mut self, request: &Request<'_>, attributes: impl FnOnce(&mut MessageWriter<'_>)) -> Verdict {
        let mut bytes = std::mem::take(&mut self.reply);
        let message = request.message;
        attributes(&mut MessageWriter::new(&mut bytes, Class::Success, message.method(), &message.transaction()));
        self.sign(&mut bytes, &request.requester.signer);
        self.reply = bytes;
        Verdict::Reply { to: request.from, answer: Answer::Success { method: message.method() } }
    }

    fn refuse(&mut self, to: FiveTuple, message: &StunMessage<'_>, signer: &Signer, refusal: Refusal) -> Verdict {
        let code = match refusal {
            Refusal::Silent(reason) => return Verdict::Drop(reason),
            Refusal::ShardSettings(shard) => return Verdict::ToShard { shard },
            Refusal::Error(code) => code,
            Refusal::Unknown(_) => ErrorCode::UnknownAttribute,
            Refusal::Elsewhere(_) => ErrorCode::TryAlternate,
        };
        let mut bytes = std::mem::take(&mut self.reply);
        let method = message.method();
        let mut writer = MessageWriter::new(&mut bytes, Class::Error, method, &message.transaction());
        writer.error(code);
        match refusal {
            Refusal::Unknown(unknown) => {
                writer.unknown_attributes(unknown.as_slice());
            }
            Refusal::Elsewhere(server) => {
                writer.address(attribute::ALTERNATE_SERVER, server);
            }
            Refusal::Silent(_) | Refusal::ShardSettings(_) | Refusal::Error(_) => {}
        }
        self.sign(&mut bytes, signer);
        self.reply = bytes;
        Verdict::Reply { to, answer: Answer::Error { method, code, failed_authentication: false } }
    }

    /// Ends an answer: SOFTWARE, integrity, and FINGERPRINT where the client uses it.
    pub(super) fn sign(&self, bytes: &mut Vec<u8>, signer: &Signer) {
        let mut writer = MessageWriter::resume(bytes);
        if let Some(software) = &self.settings.software {
            writer.attribute(attribute::SOFTWARE, software.as_bytes());
        }
        writer.integrity(signer.integrity, &signer.key);
        if signer.fingerprint {
            writer.fingerprint();
        }
    }
}
