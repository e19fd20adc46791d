//! Whether relayed addresses can be bound now, for `/readyz`.

use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::addresses::external::ExternalAddresses;
use crate::relay::io::poll::PollWaker;

/// Anybody may ask, so an answer is repeated for so long.
const ANSWER_LIFETIME: Duration = Duration::from_millis(500);

/// Binds a socket to each relayed address. Clones share the last answer.
#[derive(Debug, Clone)]
pub struct AddressCheck {
    external: ExternalAddresses,
    watcher: PollWaker,
    last: Arc<Mutex<Option<Answer>>>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    problem: Option<String>,
}

impl AddressCheck {
    pub(super) fn new(external: ExternalAddresses, watcher: PollWaker) -> Self {
        Self { external, watcher, last: Arc::default() }
    }

    /// Wakes the thread that watches the machine's addresses.
    pub(super) fn watcher(&self) -> PollWaker {
        self.watcher.clone()
    }

    /// A sentence that says which address can't be bound or is missing; `None`: all can be bound. Never blocks for long.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(answer) if answer.at.elapsed() < ANSWER_LIFETIME => answer.problem.clone(),
            Some(_) | None => {
                let problem = self.find_problem();
                *last = Some(Answer { at: Instant::now(), problem: problem.clone() });
                problem
            }
        }
    }

    fn find_problem(&self) -> Option<String> {
        let bound: Vec<IpAddr> = self.external.bound().into_iter().flatten().collect();
        let failure = bound.iter().find_map(|ip| UdpSocket::bind((*ip, 0)).err().map(|error| (ip, error)));
        if failure.is_some() {
            self.watcher.wake();
        }
        if self.external.is_without_address() {
            return Some(
                "no interface of this machine has an address that other machines can reach; the relay uses one as soon as it is there"
                    .to_owned(),
            );
        }
        failure.map(|(ip, error)| format!("relayed sockets can't be bound to {ip}: {error}"))
    }
}
