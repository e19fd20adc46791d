//! Measures what a packet, a signaling message and rare events cost at 10 to 40,000 live allocations and as many channels, or casts and
//! users, within this process and without sockets, of which few machines allow so many.
//!
//! `cargo bench --bench growth` prints two Markdown tables; `--plot FILE` also draws the first one. Allocations and rooms are addressed in a
//! pseudo-random order, in which almost each packet finds its allocation in no cache. What the caches do is told by two comparisons: a bare
//! table of the same size, and the same calls where only ten of the allocations or rooms are busy. Whatever grows with ten busy ones depends
//! on the number itself.

mod allocations;
#[path = "../support/engine.rs"]
mod engine;
mod measure;
mod options;
mod plot;
mod results;
mod rooms;
#[path = "../support/seats.rs"]
mod seats;
mod users;

use anyhow::Context as _;
use clap::Parser;

use crate::allocations::Allocations;
use crate::measure::Effort;
use crate::options::BenchOptions;
use crate::results::Results;
use crate::rooms::Casts;
use crate::users::Users;

const SIZES: [u32; 4] = [10, 1000, 10_000, 40_000];
const QUICK_SIZES: [u32; 2] = [10, 200];
/// The user who is removed; it has as many allocations as all but the last user at the smallest size.
const REMOVED_USER: u32 = 1;

fn main() -> anyhow::Result<()> {
    let options = BenchOptions::parse();
    let quick = options.quick || cfg!(debug_assertions);
    let sizes: &[u32] = if quick { &QUICK_SIZES } else { &SIZES };
    let (rounds, batches) = if quick { (1, 10) } else { (options.rounds, 4000) };
    let mut results = Results::new(sizes);
    for round in 1..=rounds {
        for &size in sizes {
            eprintln!("round {round} of {rounds}, {size} …");
            measure(size, Effort { batches }, &mut results)?;
        }
    }
    print!("{}", results.render());
    if let Some(path) = options.plot {
        std::fs::write(&path, plot::draw(&results)).with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}

/// Measures everything at one size. What another part needs no more is dropped, so that it fills no caches.
fn measure(size: u32, effort: Effort, results: &mut Results) -> anyhow::Result<()> {
    let mut allocations = Allocations::make(size, results);
    allocations.measure_packets(effort, results);
    allocations.measure_requests(effort, results);
    let users = Users::make(size, results)?;
    users.remove(REMOVED_USER, results)?;
    allocations.measure_changes(&users.directory, results);
    drop((allocations, users));
    Casts::make(size).measure(effort, results);
    Ok(())
}
