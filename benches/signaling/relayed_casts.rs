//! Casts over the relay: a TV and a caster after the whole cast flow, and an allocation of each, which has a permission and a channel for
//! the other one's relayed address.

use std::net::IpAddr;

use crate::load::Load;
use crate::servers::Server;
use crate::support::signaling::addresses;
use crate::support::signaling::role::Role;
use crate::support::turn_client::Client;

const CHANNEL: u16 = 0x4001;

/// Idle casts.
pub(crate) struct RelayedCasts {
    load: Load,
    /// Their sockets stay open, so that no two allocations have the same address and port.
    allocations: Vec<Client>,
}

impl RelayedCasts {
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        Ok(Self { load: Load::new(server)?, allocations: Vec::new() })
    }

    /// # Errors
    /// The server refuses a client or an allocation.
    pub(crate) fn add(&mut self, server: &Server, count: usize) -> anyhow::Result<()> {
        self.load.add(std::iter::repeat_n([Role::Tv, Role::Caster], count).flatten())?;
        for _ in 0..count {
            let [tv, caster] = [self.allocate(server, 0)?, self.allocate(server, 1)?];
            for (client, peer) in [(&tv, caster.relayed), (&caster, tv.relayed)] {
                client.permit(peer)?;
                client.bind_channel(CHANNEL, peer)?;
            }
            self.allocations.extend([tv, caster]);
        }
        Ok(())
    }

    fn allocate(&self, server: &Server, side: usize) -> anyhow::Result<Client> {
        let number = self.allocations.len() + side;
        Client::allocate(server.turn(), IpAddr::V4(addresses::of_client(number)), server.user(number)?, false)
    }
}
