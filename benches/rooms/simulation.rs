//! One lock and many cores, simulated event by event.
//!
//! Each core has one thread, which works outside of the lock, takes the lock, and so on. The model is that of the standard library's mutex
//! on Linux: a thread that finds the lock taken spins, and parks if that was in vain; whoever releases the lock wakes one parked thread, which
//! tries again when it runs, and may find that another thread was faster. The assumptions are [`Machine`]'s defaults; work outside of the
//! lock varies by half of its mean, so that the threads don't take turns by accident.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What a lock costs between cores. Nanoseconds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Machine {
    /// For how long a thread spins before it parks: 100 rounds in the standard library
    #[arg(long, default_value_t = 2000.0, value_name = "NANOSECONDS")]
    spin: f64,
    /// The system call that wakes a parked thread, after the lock is free
    #[arg(long, default_value_t = 1500.0, value_name = "NANOSECONDS")]
    wake: f64,
    /// From that call until the parked thread runs
    #[arg(long, default_value_t = 5000.0, value_name = "NANOSECONDS")]
    resume: f64,
    /// More time under the lock if another core had it before: the lock's cache line, and those of the rooms and clients
    #[arg(long, default_value_t = 300.0, value_name = "NANOSECONDS")]
    transfer: f64,
}

/// Of the table, and beyond it to find the highest rate.
const CORES: [usize; 5] = [1, 2, 4, 8, 16];
const MORE_CORES: [usize; 4] = [24, 32, 64, 128];
const MESSAGES: usize = 200_000;
/// Of the wanted rate in the report.
const WANTED: f64 = 500_000.0;

/// What one number of cores does.
struct Simulated {
    /// Messages a second.
    rate: f64,
    /// The part of the time for which the lock was held.
    held: f64,
}

/// The table for a candidate that holds the lock for `hold` of its `message` nanoseconds.
///
/// # Errors
/// The times contradict each other.
pub(crate) fn run(hold: f64, message: f64, machine: &Machine) -> anyhow::Result<String> {
    ensure!(hold > 0.0, "{hold:.0} ns under the lock are too few: --hold says how many there are");
    ensure!(message > hold, "a message takes {message:.0} ns, but {hold:.0} ns of them under the lock");
    let rest = message - hold;
    let mut text = String::new();
    let Machine { spin, wake, resume, transfer } = machine;
    writeln!(
        text,
        "Simulated: a message holds the lock for {hold:.0} ns, {transfer:.0} ns more after another core, and takes {rest:.0} ns outside of it. A \
         thread spins for {spin:.0} ns and then parks; to wake it takes {wake:.0} ns, and {resume:.0} ns until it runs.\n"
    )?;
    writeln!(text, "| Cores | messages/s | without a lock | ratio | lock held |\n|---|---|---|---|---|")?;
    for cores in CORES {
        let Simulated { rate, held } = simulate(cores, hold, rest, machine);
        let free = cores as f64 * 1e9 / message;
        writeln!(text, "| {cores} | {rate:.0} | {free:.0} | {:.2} | {:.0}% |", rate / free, held * 100.0)?;
    }
    let rates = CORES.into_iter().chain(MORE_CORES).map(|cores| simulate(cores, hold, rest, machine).rate);
    let most = rates.fold(0.0, f64::max);
    let verdict = if most >= WANTED { "above" } else { "below" };
    writeln!(
        text,
        "\nThe lock is the limit at {most:.0} messages/s, whatever the number of cores; that is {verdict} {WANTED:.0}. Without parked threads it \
         would be {:.0}.",
        1e9 / (hold + transfer)
    )?;
    Ok(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Wants the lock: after its work, or as it runs again after it was parked.
    Want(usize),
    Release(usize),
    /// Has spun in vain, if it still spins for the lock that it wanted as its `u64`th.
    Park(usize, u64),
}

/// Times are whole nanoseconds. Events of the same time come in the order in which they were scheduled.
struct Lock<'a> {
    machine: &'a Machine,
    hold: f64,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    holder: Option<usize>,
    last_holder: usize,
    /// The longest first. Each has the number of its attempt.
    spinning: VecDeque<(usize, u64)>,
    parked: VecDeque<usize>,
    attempts: u64,
    held: u64,
}

impl Lock<'_> {
    fn schedule(&mut self, after: f64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + after.round() as u64, self.scheduled, event)));
    }

    fn take(&mut self, thread: usize) {
        let hold = if thread == self.last_holder { self.hold } else { self.hold + self.machine.transfer };
        self.holder = Some(thread);
        self.last_holder = thread;
        self.held += hold.round() as u64;
        self.schedule(hold, Event::Release(thread));
    }

    fn want(&mut self, thread: usize) {
        if self.holder.is_none() {
            return self.take(thread);
        }
        self.attempts += 1;
        self.spinning.push_back((thread, self.attempts));
        self.schedule(self.machine.spin, Event::Park(thread, self.attempts));
    }

    /// Returns what the release costs its thread.
    fn release(&mut self) -> f64 {
        self.holder = None;
        if let Some((thread, _)) = self.spinning.pop_front() {
            self.take(thread);
        }
        let Some(thread) = self.parked.pop_front() else { return 0.0 };
        self.schedule(self.machine.wake + self.machine.resume, Event::Want(thread));
        self.machine.wake
    }

    fn park(&mut self, thread: usize, attempt: u64) {
        if let Some(at) = self.spinning.iter().position(|spinning| *spinning == (thread, attempt)) {
            self.spinning.remove(at);
            self.parked.push_back(thread);
        }
    }
}

fn simulate(cores: usize, hold: f64, rest: f64, machine: &Machine) -> Simulated {
    let mut rng = StdRng::seed_from_u64(1);
    let mut work = || rest * rng.random_range(0.5..1.5);
    let mut lock = Lock {
        machine,
        hold,
        now: 0,
        events: BinaryHeap::new(),
        scheduled: 0,
        holder: None,
        last_holder: 0,
        spinning: VecDeque::new(),
        parked: VecDeque::new(),
        attempts: 0,
        held: 0,
    };
    for thread in 0..cores {
        lock.schedule(work(), Event::Want(thread));
    }
    let mut messages = 0;
    while messages < MESSAGES
        && let Some(Reverse((now, _, event))) = lock.events.pop()
    {
        lock.now = now;
        match event {
            Event::Want(thread) => lock.want(thread),
            Event::Park(thread, attempt) => lock.park(thread, attempt),
            Event::Release(thread) => {
                messages += 1;
                let cost = lock.release();
                lock.schedule(cost + work(), Event::Want(thread));
            }
        }
    }
    let seconds = lock.now as f64 / 1e9;
    Simulated { rate: messages as f64 / seconds, held: lock.held as f64 / lock.now as f64 }
}
