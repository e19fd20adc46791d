//! Why requests are refused, for the operator's log. The client is told no more than the code.

use std::net::SocketAddr;
use std::time::Duration;

use super::codec::attribute::AddressFamily;
use super::codec::error_code::ErrorCode;
use super::five_tuple::FiveTuple;

/// A refused request whose sender has proved its address: it came over a stream, or with a nonce that is valid for the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    pub client: FiveTuple,
    /// The username as the client sent it, which may contain anything; the user's name where the refusal comes late. At most
    /// 508 bytes of the client's.
    pub username: Box<str>,
    pub reason: RefusalReason,
}

/// Why a request is refused. The reason decides the code of the error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// 400.
    BadRequest,
    /// 401: the request has no credentials, as the first one of every client.
    NoCredentials,
    /// 401.
    Credentials(CredentialRefusal),
    /// 401: the client chose MD5, and the settings demand SHA-256.
    PasswordAlgorithm,
    /// 403: the peer is in a network that the policy denies, or no live relayed address.
    DeniedPeer(SocketAddr),
    /// 403: the scope of the credentials excludes TCP peers.
    Scope,
    /// 405.
    MobilityOff,
    /// 437: the five-tuple has no allocation. It has expired, or the client's address has changed.
    NoAllocation,
    /// 437: a Refresh with the lifetime 0, and the five-tuple has no allocation. The client has what it asked for (RFC 8656 §8.3).
    NothingToEnd,
    /// 437: the five-tuple has an allocation already.
    AllocationExists,
    /// 437: the relayed address is still being opened.
    Opening,
    /// 438.
    StaleNonce,
    /// 440: the server has no relayed address of this family.
    NoAddressOfFamily(AddressFamily),
    /// 440: there is no such family.
    UnknownFamily,
    /// 441: the allocation belongs to another user.
    OtherUser,
    /// 442, with the protocol number that the client asked for.
    UnsupportedTransport(u8),
    /// 443.
    PeerFamily,
    /// 446.
    Connected(SocketAddr),
    /// 486: the user has as many allocations as it may have.
    UserQuota,
    /// 486: the user has relayed as many bytes in this month as it may.
    TrafficQuota,
    /// 486: the address of a stranger has as many allocations as it may have.
    AddressQuota,
    /// 508: the server has as many allocations as it may have.
    TotalQuota,
    /// 508: the server is about to stop.
    ShuttingDown,
    /// 508: no port is free that meets the requirement.
    NoPort,
    /// 508: the user has no reservation with this token.
    NoReservation,
    /// 508: capacity is scarce, and no other stranger yields.
    StrangersCapacity,
    /// 508: the relayed socket could not be opened.
    Socket(OpenError),
    /// 508.
    TooManyPermissions,
    /// 508.
    TooManyChannels,
    /// 508.
    TooManyPeerConnections,
    /// 508: the client names new peers faster than it may.
    TooManyNewPeers,
}

/// Why credentials are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialRefusal {
    /// The username is neither a user's nor a time-limited one.
    UnknownUser,
    /// The username has digits beside a colon, but they are no expiry.
    Malformed,
    /// The request names another realm than this server's.
    OtherRealm,
    /// The user's password was set for another realm.
    UserOfOtherRealm,
    /// The password of the user is another one.
    WrongPassword,
    /// No secret of this server has signed the time-limited username.
    WrongSignature,
    /// The credentials are genuine, but the user was disabled, removed, or given another scope.
    UserRefused,
    /// The credentials are genuine and have expired.
    Expired { ago: Duration },
    /// The credentials are genuine and expire later than any may.
    TooFarAhead { ahead: Duration, most: Duration },
    /// The credentials are genuine, but their expiry is in milliseconds, which only a shared secret allows.
    Milliseconds,
    /// The credentials are genuine, but their username has another form than `EXPIRY:user`, which only a shared secret allows.
    ForeignForm,
}

/// Why a relayed socket could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenError {
    /// Another program uses the port; the engine tries others.
    PortInUse,
    /// No descriptors are left. The client gets 508, as for the other reasons.
    NoDescriptors,
    /// The machine has no such address.
    NoAddress,
    /// No buffers, or whatever else the system says.
    Failed,
}

impl RefusalReason {
    /// The code of the error response.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::BadRequest => ErrorCode::BadRequest,
            Self::NoCredentials | Self::Credentials(_) | Self::PasswordAlgorithm => ErrorCode::Unauthenticated,
            Self::DeniedPeer(_) | Self::Scope => ErrorCode::Forbidden,
            Self::MobilityOff => ErrorCode::MobilityForbidden,
            Self::NoAllocation | Self::NothingToEnd | Self::AllocationExists | Self::Opening => ErrorCode::AllocationMismatch,
            Self::StaleNonce => ErrorCode::StaleNonce,
            Self::NoAddressOfFamily(_) | Self::UnknownFamily => ErrorCode::AddressFamilyNotSupported,
            Self::OtherUser => ErrorCode::WrongCredentials,
            Self::UnsupportedTransport(_) => ErrorCode::UnsupportedTransport,
            Self::PeerFamily => ErrorCode::PeerAddressFamilyMismatch,
            Self::Connected(_) => ErrorCode::ConnectionAlreadyExists,
            Self::UserQuota | Self::TrafficQuota | Self::AddressQuota => ErrorCode::AllocationQuotaReached,
            Self::TotalQuota
            | Self::ShuttingDown
            | Self::NoPort
            | Self::NoReservation
            | Self::StrangersCapacity
            | Self::Socket(_)
            | Self::TooManyPermissions
            | Self::TooManyChannels
            | Self::TooManyPeerConnections
            | Self::TooManyNewPeers => ErrorCode::InsufficientCapacity,
        }
    }

    /// Whether the operator is told. The others are part of every session (a first request, a stale nonce), or faults of a
    /// client's program.
    pub(super) const fn is_reported(self) -> bool {
        !matches!(self, Self::BadRequest | Self::NoCredentials | Self::StaleNonce | Self::MobilityOff | Self::PeerFamily)
    }
}
