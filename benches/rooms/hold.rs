//! For how long an event holds the lock.
//!
//! The lock is inside of the server, so its time is a difference: the time of an event at the gateway of the cast flow, less the time of the
//! same event at a gateway that does nothing under its lock, plus the time for which the latter holds the lock. What the sessions of the two
//! clients differ by is subtracted as well: the times of a pong, which reaches no gateway.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::body::Bytes;
use castway::socketio::gateway::connections::Connections;
use tokio::sync::mpsc;

use crate::gateway::{Cast, Client, Empty, Signaling, candidates, packet, runtime};

/// Candidates in one payload.
const TOGETHER: usize = 64;
/// Of those payloads.
const MIN_POSTS: usize = 16;
/// A packet of Engine.IO.
const PONG: &[u8] = b"3";
const CANDIDATE_EVENT: &str = "RTC_Candidate_Exchange";

/// Nanoseconds under the lock.
pub(crate) struct Holds {
    /// Each from another room, so that nothing of a room is in a cache.
    pub(crate) candidate: f64,
    /// Many of one client in a row.
    in_a_row: f64,
    join: f64,
    tv_init: f64,
    rooms: usize,
    /// Of an input that does nothing, which every event includes.
    empty: f64,
    /// What the gateway does for a candidate in all, within the lock and outside of it.
    candidate_in_all: f64,
    /// Nanoseconds to send to a task that waits on another thread or the same, and to a queue that nobody waits for.
    send: [f64; 2],
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { candidate, in_a_row, join, tv_init, rooms, empty, candidate_in_all, send: [woken, queued] } = self;
        writeln!(f, "| Under the lock, {rooms} rooms | ns |\n|---|---|")?;
        writeln!(
            f,
            "| a candidate, each from another room | {candidate:.0} |\n| a candidate, many of one client in a row | {in_a_row:.0} |"
        )?;
        writeln!(f, "| a join | {join:.0} |\n| a TV_INIT | {tv_init:.0} |")?;
        writeln!(f, "| an input that does nothing, which each of these includes | {empty:.0} |\n")?;
        writeln!(
            f,
            "A candidate of many in a row takes {candidate_in_all:.0} ns in the server in all, by polling and without sockets. Clients that poll don't wake a \
             task; over WebSockets a candidate also wakes that of its receiver under the lock, unless it runs: to send to a waiting task \
             takes {woken:.0} ns, and to a queue that nobody waits for {queued:.0} ns (medians)."
        )
    }
}

/// Measures each event `events` times.
///
/// # Errors
/// The server refuses a client or an event.
pub(crate) fn measure(rooms: usize, events: usize) -> anyhow::Result<Holds> {
    let signaling = Signaling::new(rooms);
    let empty = empty_input(&signaling, 20 * events);
    runtime()?.block_on(async {
        let mut casts = Vec::new();
        for number in 0..rooms {
            casts.push(Cast::begin(&signaling.router, number).await?);
        }
        let times = || Times::new(&signaling.empty);
        // Sessions that don't poll end after 10 s, so they are new for each measurement.
        let mut idle = Vec::new();
        for number in 0..rooms {
            idle.push(Client::connect(&signaling.empty_router, 2 * rooms + number).await?);
        }
        let single = candidate(times(), &mut casts, &mut idle, (1, events)).await?;
        let in_a_row = candidate(times(), &mut casts, &mut idle, (TOGETHER, (events / TOGETHER).max(MIN_POSTS))).await?;
        let mut idle = Client::connect(&signaling.empty_router, 2 * rooms).await?;
        let join = join(times(), &mut casts[0], &mut idle, events).await?;
        let mut idle = Client::connect(&signaling.empty_router, 2 * rooms).await?;
        let mut tv = Client::connect(&signaling.router, 3 * rooms).await?;
        let tv_init = tv_init(times(), &mut tv, &mut idle, events).await?;
        Ok(Holds {
            candidate: single.difference() + empty,
            in_a_row: in_a_row.difference() / TOGETHER as f64 + empty,
            join: join.difference() + empty,
            tv_init: tv_init.difference() + empty,
            rooms,
            empty,
            candidate_in_all: in_a_row.of_cast() / TOGETHER as f64,
            send: send_to_task(events)?,
        })
    })
}

/// Nanoseconds of an input that does nothing.
fn empty_input(signaling: &Signaling, inputs: usize) -> f64 {
    let begun = Instant::now();
    for _ in 0..inputs {
        signaling.empty.with(|state, _| {
            std::hint::black_box(state);
        });
    }
    begun.elapsed().as_nanos() as f64 / inputs as f64
}

/// The times of POSTs at both gateways. They take turns, so that all see the same machine.
struct Times<'a> {
    empty_gateway: &'a Connections<Empty>,
    cast: Vec<Duration>,
    empty: Vec<Duration>,
    cast_pong: Vec<Duration>,
    empty_pong: Vec<Duration>,
}

impl<'a> Times<'a> {
    fn new(empty_gateway: &'a Connections<Empty>) -> Self {
        Self { empty_gateway, cast: Vec::new(), empty: Vec::new(), cast_pong: Vec::new(), empty_pong: Vec::new() }
    }

    /// Posts an event, and a pong, to both gateways.
    async fn add(&mut self, cast: &mut Client, empty: &mut Client, payload: &Bytes) -> anyhow::Result<()> {
        let pong = Bytes::from_static(PONG);
        // The first POST after something else finds its code in no cache, so it is not timed.
        post(empty, &pong).await?;
        self.cast_pong.push(post(cast, &pong).await?);
        self.empty_pong.push(post(empty, &pong).await?);
        if self.cast.len().is_multiple_of(2) {
            self.cast.push(post(cast, payload).await?);
            self.empty.push(post(empty, payload).await?);
        } else {
            self.empty.push(post(empty, payload).await?);
            self.cast.push(post(cast, payload).await?);
        }
        self.empty_gateway.with(|state, _| state.forget());
        Ok(())
    }

    /// What the event takes at the gateway of the cast flow, without its POST.
    fn of_cast(&self) -> f64 {
        median(&self.cast) - median(&self.cast_pong)
    }

    /// How much longer than at the empty gateway.
    fn difference(&self) -> f64 {
        self.of_cast() - (median(&self.empty) - median(&self.empty_pong))
    }
}

async fn post(client: &mut Client, payload: &Bytes) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    client.post(payload.clone()).await?;
    Ok(begun.elapsed())
}

/// Each of the clients in turn sends `together` candidates.
async fn candidate<'a>(
    mut times: Times<'a>,
    casts: &mut [Cast],
    idle: &mut [Client],
    (together, posts): (usize, usize),
) -> anyhow::Result<Times<'a>> {
    let payload = candidates(together);
    let count = casts.len();
    for number in 0..posts {
        let cast = &mut casts[number % count];
        times.add(&mut cast.caster, &mut idle[number % count], &payload).await?;
        receive(&mut cast.tv, together).await?;
    }
    Ok(times)
}

/// Takes so many candidates.
///
/// # Errors
/// Something else comes, or nothing.
pub(crate) async fn receive(client: &mut Client, count: usize) -> anyhow::Result<()> {
    let mut received = 0;
    while received < count {
        let packets = client.poll().await?;
        for packet in std::str::from_utf8(&packets)?.split('\u{1e}') {
            ensure!(!packet.contains("CAST_ERROR"), "the server refuses an event: {packet}");
            received += usize::from(packet.contains(CANDIDATE_EVENT));
        }
    }
    Ok(())
}

async fn join<'a>(mut times: Times<'a>, cast: &mut Cast, idle: &mut Client, events: usize) -> anyhow::Result<Times<'a>> {
    let arguments = format!("\"JOIN_ROOM\",\"{}\"", cast.code);
    let payload = packet(&arguments).into();
    for _ in 0..events {
        cast.caster.send("\"LEAVE_ROOM\"").await?;
        times.add(&mut cast.caster, &mut *idle, &payload).await?;
        cast.caster.wait_for("JOIN_ROOM_OK").await?;
        cast.tv.poll().await?;
    }
    Ok(times)
}

/// A TV without a cast leaves its room, and asks for a code again.
async fn tv_init<'a>(mut times: Times<'a>, tv: &mut Client, idle: &mut Client, events: usize) -> anyhow::Result<Times<'a>> {
    let payload = packet("\"TV_INIT\"").into();
    for _ in 0..events {
        times.add(&mut *tv, &mut *idle, &payload).await?;
        tv.wait_for("TV_INIT_OK").await?;
        tv.send("\"LEAVE_ROOM\"").await?;
    }
    Ok(times)
}

/// Nanoseconds to send to a task that waits, on a runtime as the server's, and to a queue without a receiver that waits.
fn send_to_task(events: usize) -> anyhow::Result<[f64; 2]> {
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let woken = runtime.block_on(async {
            let task = tokio::spawn(async move {
                let (mut woken, (sender, mut receiver), (answer, mut answered)) =
                    (Vec::new(), mpsc::channel(8), mpsc::channel(8));
                tokio::spawn(async move {
                    while receiver.recv().await.is_some() {
                        answer.send(()).await.ok();
                    }
                });
                for _ in 0..events {
                    let begun = Instant::now();
                    sender.try_send(()).ok();
                    woken.push(begun.elapsed());
                    answered.recv().await;
                    // The receiver answers before it waits again.
                    tokio::task::yield_now().await;
                }
                woken
            });
            task.await
        })?;
        let (sender, mut receiver) = mpsc::channel(8);
        let mut queued = Vec::new();
        for _ in 0..events {
            let begun = Instant::now();
            sender.try_send(()).ok();
            queued.push(begun.elapsed());
            receiver.try_recv().ok();
        }
        anyhow::Ok([median(&woken), median(&queued)])
    });
    runtime.join().map_err(|_| anyhow::anyhow!("the thread of the runtime has panicked"))?
}

/// Nanoseconds.
fn median(samples: &[Duration]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, |median| median.as_nanos() as f64)
}
