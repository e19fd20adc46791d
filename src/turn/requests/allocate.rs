//! Allocate (RFC 8656 §7.2): steps 2, 5 and 7 to 11, as far as they depend on the state of the server, and the ports. The steps
//! that check the attributes are in `allocate_request`; the answer follows in `opening`.

use std::sync::Arc;

use super::allocate_request::AllocateRequest;
use super::lifetime::{granted_lifetime, seconds_until};
use super::request::{ALLOCATION_MISMATCH, KeySource, Outcome, Refusal, Request, WRONG_CREDENTIALS};
use crate::turn::allocation::{Allocation, RelayedAddress};
use crate::turn::codec::attribute::AddressFamily;
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::Method;
use crate::turn::credentials::Scope;
use crate::turn::delivery::Delivery;
use crate::turn::engine::Engine;
use crate::turn::ids::{AllocationId, RelayedAddressId};
use crate::turn::peers::Peers;
use crate::turn::ports::PortRequirement;
use crate::turn::refusal::RefusalReason;
use crate::turn::settings::RelayedIp;
use crate::turn::shared::{QuotaReached, Reservation};
use crate::turn::user_usage::UserUsage;
use crate::turn::verdict::{Answer, DropReason, Verdict};

/// The ports of a new allocation.
#[derive(Default)]
struct TakenPorts {
    relayed: [Option<RelayedAddress>; 2],
    /// The family that gets no port, and the reason (ADDRESS-ERROR-CODE).
    address_error: Option<(AddressFamily, ErrorCode)>,
}

impl Engine {
    pub(super) fn allocate(&mut self, request: &Request<'_>) -> Outcome {
        // RFC 8656 §7.2, step 2: an allocation uses the five-tuple already. Step 1 was the authentication.
        if let Some(id) = self.allocations.find(&request.from) {
            return self.allocate_again(id, request);
        }
        let KeySource::Lookup { user, scope, expires, leased, group } = &request.requester.key_source else {
            return Err(ALLOCATION_MISMATCH);
        };
        // Steps 3 to 9, as far as they concern the attributes alone.
        let reach = self.reach(*scope);
        let asked = AllocateRequest::read(request, reach, &self.settings)?;
        // Step 11, which may come at any point: a client that is redirected takes nothing of the quota.
        let client_family = AddressFamily::of(request.from.client.ip().to_canonical());
        if let Some(server) = self.settings.alternate_server[client_family.index()] {
            return Err(Refusal::AlternateServer(server));
        }
        let socket = self.policy.reaches_outside(reach) && self.policy.reaches_outside(self.settings.scope.unwrap_or(reach));
        let families = AddressFamily::ALL.into_iter().filter(|family| asked.both_families || *family == asked.family);
        let scarce = self.is_scarce(*scope, families, socket);
        // Step 10: 486 for the quota of the user. The total of the server gets 508.
        let account = || self.credentials.account(*scope, user);
        let usage = self.shared.take_quota(*scope, user, &self.settings, account).map_err(|reached| match reached {
            QuotaReached::User => Refusal::Error(RefusalReason::UserQuota),
            QuotaReached::Total if self.refuses_allocations() => Refusal::Error(RefusalReason::ShuttingDown),
            QuotaReached::Total => Refusal::Error(RefusalReason::TotalQuota),
        })?;
        if usage.account.is_exhausted() {
            self.shared.release_quota(&usage);
            return Err(Refusal::Error(RefusalReason::TrafficQuota));
        }
        // The remainder of steps 5 and 7 to 9: one port for each requested family.
        // While capacity is scarce, one stranger's allocation ends for another one, which must not take the ports of two.
        let takes_two = scarce && *scope == Scope::Clients && asked.port == PortRequirement::EvenAndNext;
        let ports = match takes_two {
            true => Err(RefusalReason::StrangersCapacity),
            false => self.take_ports(&asked, socket, &usage, request),
        };
        let ports = ports.map_err(|reason| {
            self.shared.release_quota(&usage);
            Refusal::Error(reason)
        })?;
        // After the steps: the initial time-to-expiry.
        let mut end = request.now + granted_lifetime(&self.settings, asked.lifetime);
        if let Some(expires) = expires.filter(|_| self.settings.strict_expiry || *scope == Scope::OwnAddress) {
            end = end.min(expires);
        }
        let id = self.allocations.insert(Allocation {
            number: self.shared.next_allocation_number(),
            since: request.now,
            five_tuple: request.from,
            delivery: Arc::new(Delivery::new(Arc::clone(&usage), None, *group)),
            user: usage,
            stranger: None,
            scope: reach,
            username: request.requester.username,
            signer: request.requester.signer,
            credentials_expire: *expires,
            leased: *leased,
            key_expires: expires.filter(|_| *scope == Scope::OwnAddress).unwrap_or(request.now + self.settings.clients_lifetime),
            expires: end,
            transaction: request.message.transaction(),
            lifetime: seconds_until(end, request.now),
            token: None,
            address_error: ports.address_error,
            transport: asked.transport,
            relayed: ports.relayed,
            moves: asked.mobile.then_some(0),
            new_peers: 0,
            peers: Peers::default(),
            peer_connections: Vec::new(),
        });
        self.admit(id, scarce)?;
        for family in AddressFamily::ALL {
            self.open(RelayedAddressId { allocation: id, family }, request.now);
        }
        Ok(Verdict::Accepted)
    }

    /// The peers that an allocation with credentials of `scope` reaches. A setting neither widens scope own-address nor gives it a socket
    /// where no allocation has one.
    fn reach(&self, scope: Scope) -> Scope {
        match (self.settings.scope, scope) {
            (None, scope) | (Some(_), scope @ Scope::OwnAddress) => scope,
            (Some(setting), _) => setting,
        }
    }

    /// RFC 8656 §7.2, step 2: another transaction gets 437. A retransmission gets the identical reply, because §5 demands
    /// idempotence. Another user gets 441, although §5 and §19 give this code to other requests than Allocate.
    fn allocate_again(&mut self, id: AllocationId, request: &Request<'_>) -> Outcome {
        let allocation = self.allocations.allocation(id).ok_or(ALLOCATION_MISMATCH)?;
        if !request.requester.is_owner_of(allocation) {
            return Err(WRONG_CREDENTIALS);
        }
        if allocation.transaction != request.message.transaction() {
            return Err(Refusal::Error(RefusalReason::AllocationExists));
        }
        if allocation.is_opening() {
            return Err(Refusal::Silent(DropReason::Pending));
        }
        let mut bytes = std::mem::take(&mut self.reply);
        self.write_allocated(id, &mut bytes);
        self.reply = bytes;
        Ok(Verdict::Reply { to: request.from, answer: Answer::Success { method: Method::Allocate } })
    }

    /// Takes a port for each family that the request asks for.
    fn take_ports(
        &mut self,
        asked: &AllocateRequest,
        socket: bool,
        user: &UserUsage,
        request: &Request<'_>,
    ) -> Result<TakenPorts, RefusalReason> {
        let mut ports = TakenPorts::default();
        let relayed = |ip: RelayedIp, port, reserved| RelayedAddress {
            advertised: ip.advertised,
            port,
            live: false,
            tries: 0,
            requirement: asked.port,
            reserved,
            socket,
        };
        // RFC 8656 §7.2, step 5: the reserved port, or 508.
        if let Some(token) = &asked.token {
            let reservation = self.shared.claim(token, user, request.now).ok_or(RefusalReason::NoReservation)?;
            let Reservation { family, port, .. } = reservation;
            ports.relayed[family.index()] = self.settings.relayed_ip(family).map(|ip| relayed(ip, port, true));
            return Ok(ports);
        }
        for family in AddressFamily::ALL.into_iter().filter(|family| asked.both_families || *family == asked.family) {
            // Step 7: 440. This error replaces a 508 of the other family, because it says more than a full pool.
            let Some(ip) = self.settings.relayed_ip(family) else {
                ports.address_error = Some((family, ErrorCode::AddressFamilyNotSupported));
                continue;
            };
            // Steps 8 and 9: 508 where no port meets the requirement.
            match self.take_port(family, asked.port, socket) {
                Some(port) => ports.relayed[family.index()] = Some(relayed(ip, port, false)),
                None => ports.address_error = ports.address_error.or(Some((family, ErrorCode::InsufficientCapacity))),
            }
        }
        // Step 9: the success response names a family that fails alone.
        let no_port = ports.relayed.iter().all(Option::is_none);
        match ports.address_error.filter(|_| no_port) {
            Some((family, ErrorCode::AddressFamilyNotSupported)) => Err(RefusalReason::NoAddressOfFamily(family)),
            Some(_) => Err(RefusalReason::NoPort),
            None => Ok(ports),
        }
    }
}
