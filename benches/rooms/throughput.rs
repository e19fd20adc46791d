//! How many candidates threads pass through one gateway, beside threads with a gateway each.

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::gateway::{Cast, Signaling, candidates, runtime};
use crate::hold::receive;

/// Candidates in one payload.
const TOGETHER: usize = 32;

pub(crate) struct Throughput(Vec<Row>);

/// Candidates a second.
struct Row {
    threads: usize,
    one_gateway: f64,
    gateway_each: f64,
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Threads | candidates/s, one gateway | a gateway each | ratio |\n|---|---|---|---|")?;
        for Row { threads, one_gateway, gateway_each } in &self.0 {
            writeln!(f, "| {threads} | {one_gateway:.0} | {gateway_each:.0} | {:.2} |", one_gateway / gateway_each)?;
        }
        Ok(())
    }
}

/// Measures each number of threads up to that of the available cores.
///
/// # Errors
/// The server refuses a client or an event.
pub(crate) fn measure(rooms: usize, time: Duration) -> anyhow::Result<Throughput> {
    let cores = thread::available_parallelism()?.get();
    let mut rows = Vec::new();
    for threads in 1..=cores {
        let shared = Signaling::new(rooms);
        let one_gateway = rate(&vec![shared; threads], rooms, time)?;
        let each: Vec<_> = (0..threads).map(|_| Signaling::new(rooms)).collect();
        rows.push(Row { threads, one_gateway, gateway_each: rate(&each, rooms, time)? });
    }
    Ok(Throughput(rows))
}

/// Each thread passes candidates through its part of the rooms, with the gateway of its number.
fn rate(gateways: &[Signaling], rooms: usize, time: Duration) -> anyhow::Result<f64> {
    let threads = gateways.len();
    let (ready, part) = (Barrier::new(threads), (rooms / threads).max(1));
    thread::scope(|scope| {
        let running: Vec<_> = gateways
            .iter()
            .enumerate()
            .map(|(index, gateway)| {
                let ready = &ready;
                scope.spawn(move || pass(gateway, index * part..(index + 1) * part, ready, time))
            })
            .collect();
        let mut sum = 0.0;
        for thread in running {
            sum += thread.join().map_err(|_| anyhow!("a thread has panicked"))??;
        }
        Ok(sum)
    })
}

/// Returns the candidates a second of this thread.
fn pass(gateway: &Signaling, numbers: std::ops::Range<usize>, ready: &Barrier, time: Duration) -> anyhow::Result<f64> {
    let runtime = runtime();
    let prepared = runtime.as_ref().map_err(|error| anyhow!("{error}")).and_then(|runtime| {
        runtime.block_on(async {
            gateway.run();
            let mut casts = Vec::new();
            for number in numbers {
                casts.push(Cast::begin(&gateway.router, number).await?);
            }
            anyhow::Ok(casts)
        })
    });
    // The others wait here, also for a thread that fails.
    ready.wait();
    let (runtime, mut casts) = (runtime?, prepared?);
    runtime.block_on(async {
        let (begun, mut passed) = (Instant::now(), 0);
        let payload = candidates(TOGETHER);
        'run: loop {
            for cast in &mut casts {
                cast.caster.post(payload.clone()).await?;
                receive(&mut cast.tv, TOGETHER).await?;
                cast.tv.post(payload.clone()).await?;
                receive(&mut cast.caster, TOGETHER).await?;
                passed += 2 * TOGETHER;
                if begun.elapsed() >= time {
                    break 'run;
                }
            }
        }
        Ok(passed as f64 / begun.elapsed().as_secs_f64())
    })
}
