//! The cases that are measured.

use anyhow::Context;

use crate::measures::Measuring;
use crate::options::BenchOptions;
use crate::servers::{Program, Service};
use crate::support::process::{self, Cpus};
use crate::support::report::Report;
use crate::support::signaling::role::Role;

/// One case, which fills some rows of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    service: Service,
    measure: Measure,
}

#[derive(Clone, Copy)]
enum Measure {
    /// So many pairs of clients, each of which has so many messages under way and sends one more whenever it has received one.
    Saturated { pairs: usize, roles: [Role; 2], at_once: usize },
    /// So many casts, which send so many messages a second together.
    AtRate { casts: usize, rate: f64 },
    /// Handshakes with a WebSocket from the start.
    Handshakes,
    /// Handshakes that begin with polling.
    Upgrades,
    /// Memory of idle clients of this role.
    Idle { role: Role, count: Count },
    /// Memory of so many relayed casts.
    RelayedCasts { casts: usize },
    /// So many TVs come back after a restart.
    Restart { tvs: usize },
}

#[derive(Clone, Copy)]
enum Count {
    /// As many as `--idle` says.
    Idle,
    /// As many as `--idle-most` asks for.
    Most,
}

const CAST: [Role; 2] = [Role::Tv, Role::Caster];
const IDLE_MOST: usize = 50_000;
/// Castway keeps three of four descriptors for the relay.
const DESCRIPTORS_A_CLIENT: u64 = 4;
/// What a process opens besides the measured connections.
const OTHER_DESCRIPTORS: u64 = 1000;

/// In the order of the table.
pub(crate) const CASES: [Case; 13] = [
    Case { name: "saturated", service: Service::Cast, measure: Measure::Saturated { pairs: 256, roles: CAST, at_once: 1 } },
    Case { name: "saturated-8", service: Service::Cast, measure: Measure::Saturated { pairs: 256, roles: CAST, at_once: 8 } },
    Case { name: "2,000/s", service: Service::Cast, measure: Measure::AtRate { casts: 50, rate: 2000.0 } },
    Case { name: "handshakes", service: Service::Cast, measure: Measure::Handshakes },
    Case { name: "handshakes-upgrade", service: Service::Cast, measure: Measure::Upgrades },
    Case { name: "idle", service: Service::Cast, measure: Measure::Idle { role: Role::Idle, count: Count::Idle } },
    Case { name: "idle-tvs", service: Service::Cast, measure: Measure::Idle { role: Role::Tv, count: Count::Idle } },
    Case { name: "idle-tls", service: Service::CastOverTls, measure: Measure::Idle { role: Role::Idle, count: Count::Idle } },
    Case { name: "idle-most", service: Service::Cast, measure: Measure::Idle { role: Role::Idle, count: Count::Most } },
    Case { name: "cast-memory", service: Service::RelayedCast, measure: Measure::RelayedCasts { casts: 2000 } },
    Case { name: "restart", service: Service::Cast, measure: Measure::Restart { tvs: 5000 } },
    Case {
        name: "apprtc",
        service: Service::AppRtc,
        measure: Measure::Saturated { pairs: 64, roles: [Role::Caller; 2], at_once: 1 },
    },
    Case {
        name: "multiconnection",
        service: Service::MultiConnection,
        measure: Measure::Saturated { pairs: 64, roles: [Role::Owner, Role::Guest], at_once: 1 },
    },
];

/// Measures for which a ratio has no meaning.
pub(crate) const WITHOUT_RATIO: [&str; 0] = [];
const HANDSHAKES: usize = 2000;

impl Count {
    fn of(self, options: &BenchOptions) -> usize {
        match self {
            Self::Idle => options.idle,
            Self::Most => IDLE_MOST,
        }
    }
}

impl Case {
    /// Whether the options ask for this case.
    pub(crate) fn is_wanted(&self, options: &BenchOptions) -> bool {
        options.idle_most || !matches!(self.measure, Measure::Idle { count: Count::Most, .. })
    }

    /// Measures all servers alternately, and adds the results to `report`.
    ///
    /// # Errors
    /// A server does not start, or refuses clients.
    pub(crate) fn run(
        &self,
        options: &BenchOptions,
        servers: &[Program],
        cpus: &Cpus,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut order: Vec<usize> = (0..servers.len()).filter(|index| servers[*index].runs(self.service)).collect();
        for _ in 0..options.rounds() {
            // The order alternates, so that a drift of the machine does not always favour the same server.
            order.reverse();
            for index in &order {
                let program = servers[*index];
                let mut add = |measure, value| report.add(self.name, measure, *index, value);
                let measuring = Measuring { service: self.service, program, cpus, effort: options.effort(), add: &mut add };
                self.measure(options, measuring).with_context(|| format!("{}: {}", self.name, program.name()))?;
            }
        }
        Ok(())
    }

    /// So many clients, or fewer if the limit of open descriptors does not allow them; says so then.
    fn at_most(&self, clients: usize) -> usize {
        let limit = process::descriptor_limit().unwrap_or(u64::MAX);
        let most = usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_A_CLIENT).unwrap_or(usize::MAX);
        if most < clients {
            eprintln!("{}: {most} clients instead of {clients}, because {limit} open descriptors are allowed", self.name);
        }
        most.min(clients)
    }

    fn measure(&self, options: &BenchOptions, mut measuring: Measuring<'_>) -> anyhow::Result<()> {
        match self.measure {
            Measure::Saturated { pairs, roles, at_once } => measuring.saturated(pairs, roles, at_once),
            Measure::AtRate { casts, rate } => measuring.at_rate(casts, CAST, rate),
            Measure::Handshakes => measuring.handshakes(HANDSHAKES),
            Measure::Upgrades => measuring.upgrades(HANDSHAKES),
            Measure::Idle { role, count } => measuring.idle(role, self.at_most(count.of(options))),
            Measure::RelayedCasts { casts } => measuring.relayed_casts(casts),
            Measure::Restart { tvs } => measuring.restart(self.at_most(tvs)),
        }
    }
}
