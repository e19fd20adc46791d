//! The reasons in words. `docs/troubleshooting.md` says what to do about each; a test compares the two.

use std::time::Duration;

use crate::turn::codec::attribute::AddressFamily;
use crate::turn::{CredentialRefusal, OpenError, RefusalReason};

pub(super) const DISPLACED: &str = "capacity is scarce, and this stranger's address held the most";

/// The numbers of the protocols that clients may ask for.
const PROTOCOL_TCP: u8 = 6;

/// The reason of a refusal, for the log.
pub(super) fn reason(reason: RefusalReason) -> String {
    let text = match reason {
        RefusalReason::Credentials(why) => return credentials(why),
        RefusalReason::NoAddressOfFamily(AddressFamily::V4) => "the server relays no IPv4",
        RefusalReason::NoAddressOfFamily(AddressFamily::V6) => "the server relays no IPv6",
        RefusalReason::UnsupportedTransport(PROTOCOL_TCP) => {
            "the relay makes no TCP connections to peers, or not for these credentials (CASTWAY_NO_TCP_RELAY)"
        }
        RefusalReason::UnsupportedTransport(number) => return format!("the relay does not carry IP protocol {number}"),
        RefusalReason::BadRequest => "the request is malformed",
        RefusalReason::NoCredentials => "the request has no credentials",
        RefusalReason::PasswordAlgorithm => "the client does not use SHA-256, which the server demands",
        RefusalReason::DeniedPeer(_) => {
            "the peer is denied: it is private, local, or no live relayed address (CASTWAY_ALLOWED_PEER_IP)"
        }
        RefusalReason::Scope => "the credentials reach relayed addresses only, not TCP peers",
        RefusalReason::MobilityOff => "mobility is off",
        RefusalReason::NoAllocation => {
            "this address and port have no allocation: it has expired or ended, or the client's address has changed"
        }
        RefusalReason::NothingToEnd => "the client ended an allocation that has ended already",
        RefusalReason::AllocationExists => "this address and port have an allocation already",
        RefusalReason::Opening => "the allocation is still being made",
        RefusalReason::StaleNonce => "the nonce is stale",
        RefusalReason::UnknownFamily => "the request names an address family that does not exist",
        RefusalReason::OtherUser => "the allocation belongs to another user",
        RefusalReason::PeerFamily => "the allocation has no relayed address of the peer's family",
        RefusalReason::Connected(_) => "the client is connected with this peer already",
        RefusalReason::UserQuota => "the user has as many allocations as allowed (CASTWAY_USER_QUOTA)",
        RefusalReason::TrafficQuota => "the user has used up this month's quota of bytes (castway user quota)",
        RefusalReason::AddressQuota => {
            "strangers at this address have as many allocations as allowed (CASTWAY_CLIENTS_ALLOCATIONS)"
        }
        RefusalReason::TotalQuota => "the server has as many allocations as allowed (CASTWAY_TOTAL_QUOTA)",
        RefusalReason::ShuttingDown => "the server is shutting down",
        RefusalReason::NoPort => "no port is free (CASTWAY_MIN_PORT to CASTWAY_MAX_PORT)",
        RefusalReason::NoReservation => "the user has no reserved port with this token",
        RefusalReason::StrangersCapacity => "capacity is scarce, and users come before strangers (CASTWAY_CLIENTS_CAPACITY)",
        RefusalReason::Socket(OpenError::PortInUse) => "other programs use the ports that were tried",
        RefusalReason::Socket(OpenError::NoDescriptors) => "no descriptors are left: raise the limit of open files (ulimit -n)",
        RefusalReason::Socket(OpenError::NoAddress) => "the relayed address is not available on this machine (CASTWAY_RELAY_IP)",
        RefusalReason::Socket(OpenError::Failed) => "the system opened no socket for the relayed address",
        RefusalReason::TooManyPermissions => "the allocation has as many permissions as allowed (CASTWAY_MAX_PERMISSIONS)",
        RefusalReason::TooManyChannels => "the allocation has as many channels as allowed (CASTWAY_MAX_CHANNELS)",
        RefusalReason::TooManyPeerConnections => {
            "the allocation has as many TCP connections as allowed (CASTWAY_MAX_CONNECTIONS)"
        }
        RefusalReason::TooManyNewPeers => "the client names new peers faster than allowed (CASTWAY_NEW_PEERS)",
    };
    text.to_owned()
}

fn credentials(why: CredentialRefusal) -> String {
    let text = match why {
        CredentialRefusal::UnknownUser => "there is no such user, and the username has no expiry",
        CredentialRefusal::Malformed => "the digits beside the colon are no Unix time in seconds",
        CredentialRefusal::OtherRealm => "the client uses another realm than CASTWAY_REALM",
        CredentialRefusal::UserOfOtherRealm => "the user's password was set for another realm: set it again",
        CredentialRefusal::WrongPassword => "the password is wrong",
        CredentialRefusal::WrongSignature => {
            "no secret of this server signed the credentials: the issuer has another one than CASTWAY_STATIC_AUTH_SECRET, or the secret was revoked"
        }
        CredentialRefusal::UserRefused => "the user is disabled, was removed, or has another scope now",
        CredentialRefusal::Expired { ago } => return format!("the credentials expired {} ago", spoken(ago)),
        CredentialRefusal::TooFarAhead { ahead, most } => {
            let (ahead, most) = (spoken(ahead), spoken(most));
            return format!(
                "the credentials expire in {ahead}, and may in {most} at most (CASTWAY_TTL, CASTWAY_MAX_FOREIGN_TTL)"
            );
        }
        CredentialRefusal::Milliseconds => {
            "the expiry is in milliseconds, and only credentials signed with CASTWAY_STATIC_AUTH_SECRET may have that"
        }
        CredentialRefusal::ForeignForm => {
            "the username is not EXPIRY:user, and only credentials signed with CASTWAY_STATIC_AUTH_SECRET may have another form"
        }
    };
    text.to_owned()
}

/// A duration in its largest unit that is not zero, or in two: `3 h 10 min`.
fn spoken(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let seconds = duration.as_secs();
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    let rest = UNITS.get(first + 1).map(|(smaller, name)| (seconds % unit / smaller, name)).filter(|(count, _)| *count > 0);
    let first = format!("{} {name}", seconds / unit);
    rest.map_or(first.clone(), |(count, name)| format!("{first} {count} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_in_two_units() {
        let cases = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (11_400, "3 h 10 min"), (90_000, "1 d 1 h")];
        for (seconds, text) in cases {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }

    /// The document has the words of each line that is logged, up to the first number.
    #[test]
    fn r74_every_reason_is_explained() {
        let document = std::fs::read_to_string("docs/troubleshooting.md").unwrap();
        let peer = "192.0.2.1:1".parse().unwrap();
        let life = Duration::from_secs(60);
        let credentials = [
            CredentialRefusal::UnknownUser,
            CredentialRefusal::Malformed,
            CredentialRefusal::OtherRealm,
            CredentialRefusal::UserOfOtherRealm,
            CredentialRefusal::WrongPassword,
            CredentialRefusal::WrongSignature,
            CredentialRefusal::UserRefused,
            CredentialRefusal::Expired { ago: life },
            CredentialRefusal::TooFarAhead { ahead: life, most: life },
            CredentialRefusal::Milliseconds,
            CredentialRefusal::ForeignForm,
        ];
        let sockets = [OpenError::PortInUse, OpenError::NoDescriptors, OpenError::NoAddress, OpenError::Failed];
        let others = [
            RefusalReason::PasswordAlgorithm,
            RefusalReason::DeniedPeer(peer),
            RefusalReason::Scope,
            RefusalReason::NoAllocation,
            RefusalReason::NothingToEnd,
            RefusalReason::AllocationExists,
            RefusalReason::Opening,
            RefusalReason::NoAddressOfFamily(AddressFamily::V6),
            RefusalReason::UnknownFamily,
            RefusalReason::OtherUser,
            RefusalReason::UnsupportedTransport(PROTOCOL_TCP),
            RefusalReason::UnsupportedTransport(132),
            RefusalReason::Connected(peer),
            RefusalReason::UserQuota,
            RefusalReason::TrafficQuota,
            RefusalReason::AddressQuota,
            RefusalReason::TotalQuota,
            RefusalReason::ShuttingDown,
            RefusalReason::NoPort,
            RefusalReason::NoReservation,
            RefusalReason::StrangersCapacity,
            RefusalReason::TooManyPermissions,
            RefusalReason::TooManyChannels,
            RefusalReason::TooManyPeerConnections,
            RefusalReason::TooManyNewPeers,
        ];
        let credentials = credentials.into_iter().map(RefusalReason::Credentials);
        for each in credentials.chain(sockets.map(RefusalReason::Socket)).chain(others) {
            let text = reason(each);
            let stable = text.split([':', '(', ',']).next().unwrap_or_default();
            let stable =
                stable.split(" 1 ").next().unwrap_or_default().trim_end_matches(|end: char| end.is_numeric() || end == ' ');
            let row = format!("| {} | {stable}", each.code().number());
            assert!(document.contains(&row), "{row}");
        }
        assert!(document.contains(DISPLACED));
    }
}
