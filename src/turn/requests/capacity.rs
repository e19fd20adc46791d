//! Whether the capacity of the server is scarce, and which allocation then ends for a new one. The rules are those of
//! [`crate::turn::strangers`].

use std::sync::Arc;

use super::request::Refusal;
use crate::turn::codec::attribute::AddressFamily;
use crate::turn::credentials::Scope;
use crate::turn::delivery::Delivery;
use crate::turn::engine::Engine;
use crate::turn::ids::AllocationId;
use crate::turn::refusal::RefusalReason;
use crate::turn::stranger_table::AllocationLocation;
use crate::turn::strangers::{Admitted, StrangerRefusal, Usage};
use crate::turn::verdict::Output;

impl Engine {
    /// Whether a new allocation of this scope takes something of which so much is in use that a stranger has to yield. The ports
    /// and sockets that users have and strangers don't take are never scarce to a stranger, and a user gains nothing from the end
    /// of an allocation that has none.
    pub(super) fn is_scarce(&self, scope: Scope, families: impl Iterator<Item = AddressFamily>, socket: bool) -> bool {
        let percent = self.settings.limits.clients_capacity;
        let allocations = self.shared.allocations() as usize;
        let total = Usage { used: allocations, most: self.settings.limits.total_quota.map_or(0, |most| most as usize) };
        let strangers_scope = self.settings.scope.unwrap_or(Scope::Clients);
        let strangers_compete = scope == Scope::Clients || self.policy.reaches_outside(strangers_scope) == socket;
        if total.reaches(percent) || !strangers_compete {
            return total.reaches(percent);
        }
        let ranges = if socket { std::slice::from_ref(&self.shard.ports) } else { &self.settings.internal_ports[..] };
        let most = ranges.iter().map(|range| range.len()).sum();
        // An allocation takes at most two ports of a family. Where that is few, they need not be counted.
        let may_be_scarce = Usage { used: allocations * 2, most }.reaches(percent);
        let mut used = families.map(|family| self.shared.ports.taken_of(family, ranges));
        (socket && self.shared.relayed_descriptors().reaches(percent))
            || may_be_scarce && used.any(|used| Usage { used, most }.reaches(percent))
    }

    /// Counts a new allocation if it is a stranger's, or refuses and ends it. Where capacity was scarce before the allocation, another
    /// stranger's ends for it.
    pub(super) fn admit(&mut self, id: AllocationId, scarce: bool) -> Result<(), Refusal> {
        let Some(allocation) = self.allocations.allocation_mut(id) else { return Ok(()) };
        let location = AllocationLocation { shard: self.shard.index, allocation: id };
        let displaced = match allocation.user.identity.scope {
            Scope::Anyone if scarce => self.shared.strangers.displace(),
            Scope::Anyone | Scope::OwnAddress => None,
            Scope::Clients => match self.shared.strangers.begin(allocation.five_tuple.client.ip(), location, scarce) {
                Ok(Admitted { place, displaced }) => {
                    let site = Arc::clone(&place.site);
                    allocation.delivery =
                        Arc::new(Delivery::new(Arc::clone(&allocation.user), Some(site), allocation.delivery.group));
                    allocation.stranger = Some(place);
                    displaced
                }
                Err(refusal) => {
                    self.end(id);
                    return Err(Refusal::Error(match refusal {
                        StrangerRefusal::Client => RefusalReason::AddressQuota,
                        StrangerRefusal::Capacity => RefusalReason::StrangersCapacity,
                    }));
                }
            },
        };
        match displaced {
            Some(AllocationLocation { shard, allocation }) if shard == self.shard.index => self.displace(allocation),
            Some(AllocationLocation { shard, allocation }) => {
                self.outputs.push_back(Output::DisplaceAllocation { shard, allocation });
            }
            None => {}
        }
        Ok(())
    }
}
