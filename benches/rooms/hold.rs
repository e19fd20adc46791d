//! For how long an event holds the lock, as the gateway counts it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::body::Bytes;
use castway::cast::gateway::CastGateway;

use crate::gateway::{Cast, Client, Signaling, candidates, packet, runtime};
use crate::percentile::percentile;

/// Candidates in one payload.
const TOGETHER: usize = 64;
/// Of those payloads.
const MIN_POSTS: usize = 16;
/// A packet of Engine.IO, which reaches no gateway.
const PONG: &[u8] = b"3";
const CANDIDATE_EVENT: &str = "RTC_Candidate_Exchange";

/// Nanoseconds under the lock, medians.
pub(crate) struct Holds {
    /// Each from another room, so that nothing of a room is in a cache.
    pub(crate) candidate: f64,
    /// Many of one client in a row.
    in_a_row: f64,
    join: f64,
    tv_init: f64,
    rooms: usize,
    /// Of an input that only copies a few numbers.
    least: f64,
    /// What the server does for a candidate in all, within the lock and outside of it.
    candidate_in_all: f64,
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { candidate, in_a_row, join, tv_init, rooms, least, candidate_in_all } = self;
        writeln!(f, "| Under the lock, {rooms} rooms | ns |\n|---|---|")?;
        writeln!(
            f,
            "| a candidate, each from another room | {candidate:.0} |\n| a candidate, many of one client in a row | {in_a_row:.0} |"
        )?;
        writeln!(f, "| a join | {join:.0} |\n| a TV_INIT | {tv_init:.0} |")?;
        writeln!(f, "| an input that copies a few numbers, and the clock | {least:.0} |\n")?;
        writeln!(
            f,
            "A candidate of many in a row takes {candidate_in_all:.0} ns in the server in all, by polling and without sockets."
        )
    }
}

/// Measures each event `events` times.
///
/// # Errors
/// The server refuses a client or an event.
pub(crate) fn measure(rooms: usize, events: usize) -> anyhow::Result<Holds> {
    let signaling = Signaling::new(rooms);
    runtime()?.block_on(async {
        signaling.run();
        let mut casts = Vec::new();
        for number in 0..rooms {
            casts.push(Cast::begin(&signaling.router, number).await?);
        }
        let times = || Times::new(&signaling.gateway);
        let single = candidate(times(), &mut casts, (1, events)).await?;
        let in_a_row = candidate(times(), &mut casts, (TOGETHER, (events / TOGETHER).max(MIN_POSTS))).await?;
        let join = join(times(), &mut casts[0], events).await?;
        let mut tv = Client::connect(&signaling.router, 3 * rooms).await?;
        let tv_init = tv_init(times(), &mut tv, events).await?;
        Ok(Holds {
            candidate: median(&single.locked),
            in_a_row: median(&in_a_row.locked) / TOGETHER as f64,
            join: median(&join.locked),
            tv_init: median(&tv_init.locked),
            rooms,
            least: least(&signaling.gateway, events),
            candidate_in_all: (median(&in_a_row.posts) - median(&in_a_row.pongs)) / TOGETHER as f64,
        })
    })
}

/// Nanoseconds of an input that copies a few numbers.
fn least(gateway: &CastGateway, inputs: usize) -> f64 {
    let locked = (0..inputs).map(|_| {
        let before = gateway.locked_time();
        gateway.counts();
        gateway.locked_time() - before
    });
    median(&locked.collect::<Vec<_>>())
}

/// The times of POSTs.
struct Times<'a> {
    gateway: &'a CastGateway,
    /// Under the lock.
    locked: Vec<Duration>,
    posts: Vec<Duration>,
    pongs: Vec<Duration>,
}

impl<'a> Times<'a> {
    const fn new(gateway: &'a CastGateway) -> Self {
        Self { gateway, locked: Vec::new(), posts: Vec::new(), pongs: Vec::new() }
    }

    /// Posts an event, and a pong.
    async fn add(&mut self, client: &mut Client, payload: &Bytes) -> anyhow::Result<()> {
        self.pongs.push(post(client, &Bytes::from_static(PONG)).await?);
        let before = self.gateway.locked_time();
        self.posts.push(post(client, payload).await?);
        self.locked.push(self.gateway.locked_time() - before);
        Ok(())
    }
}

async fn post(client: &mut Client, payload: &Bytes) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    client.post(payload.clone()).await?;
    Ok(begun.elapsed())
}

/// Each of the clients in turn sends `together` candidates.
async fn candidate<'a>(mut times: Times<'a>, casts: &mut [Cast], (together, posts): (usize, usize)) -> anyhow::Result<Times<'a>> {
    let payload = candidates(together);
    let count = casts.len();
    for number in 0..posts {
        let cast = &mut casts[number % count];
        times.add(&mut cast.caster, &payload).await?;
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

async fn join<'a>(mut times: Times<'a>, cast: &mut Cast, events: usize) -> anyhow::Result<Times<'a>> {
    let arguments = format!("\"JOIN_ROOM\",\"{}\"", cast.code);
    let payload = packet(&arguments).into();
    for _ in 0..events {
        cast.caster.send("\"LEAVE_ROOM\"").await?;
        times.add(&mut cast.caster, &payload).await?;
        cast.caster.wait_for("JOIN_ROOM_OK").await?;
        cast.tv.poll().await?;
    }
    Ok(times)
}

/// A TV without a cast leaves its room, and asks for a code again.
async fn tv_init<'a>(mut times: Times<'a>, tv: &mut Client, events: usize) -> anyhow::Result<Times<'a>> {
    let payload = packet("\"TV_INIT\"").into();
    for _ in 0..events {
        times.add(&mut *tv, &payload).await?;
        tv.wait_for("TV_INIT_OK").await?;
        tv.send("\"LEAVE_ROOM\"").await?;
    }
    Ok(times)
}

/// Nanoseconds.
fn median(samples: &[Duration]) -> f64 {
    percentile(&mut samples.to_vec(), 0.5).map_or(f64::NAN, |median| median.as_nanos() as f64)
}
