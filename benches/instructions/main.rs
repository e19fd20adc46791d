//! Runs one hot path a given number of times, so that a tool can count its instructions.
//!
//! `instructions PATH COUNT` runs a path; `instructions --list` prints their names. `tests/instructions/check.mjs` runs this under
//! `valgrind --tool=callgrind` and compares the counts with budgets. Without a count every path runs a few times, as `cargo bench` and
//! `cargo test --benches` do.

mod allocated;
#[path = "../support/engine.rs"]
mod engine;
mod hot_path;
mod relay;
#[path = "../support/seats.rs"]
mod seats;
mod signaling;

use anyhow::Context;

use crate::hot_path::HotPath;

const BRIEF_COUNT: u64 = 20;

fn main() -> anyhow::Result<()> {
    let paths: Vec<HotPath> = relay::PATHS.into_iter().chain(signaling::PATHS).collect();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench" && argument != "--test");
    match arguments.next().as_deref() {
        None => paths.iter().for_each(|path| repeat(&mut (path.prepare)(), BRIEF_COUNT)),
        Some("--list") => paths.iter().for_each(|path| println!("{}", path.name)),
        Some(name) => {
            let path = paths.iter().find(|path| path.name == name).with_context(|| format!("no path {name}: see --list"))?;
            let count = arguments.next().context("the second argument is how often the path runs")?;
            let count = count.parse().with_context(|| format!("{count} is not a whole number"))?;
            repeat(&mut (path.prepare)(), count);
        }
    }
    Ok(())
}

/// Its name is where to begin in the output of callgrind_annotate.
#[inline(never)]
fn repeat(path: &mut dyn FnMut(), count: u64) {
    for _ in 0..count {
        path();
    }
}
