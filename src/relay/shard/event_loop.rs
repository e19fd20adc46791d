//! The loop of a shard's thread, which waits, serves the sources that are ready, and does the work that is due.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::relay::io::poll::{Interest, Readiness};
use crate::relay::io::poll_source::PollSource;
use crate::relay::shard::context::ShardContext;
use crate::relay::shard::cpu_share;
use crate::relay::shard::state::{ACCEPT_PAUSE, Shard};

/// How often a shard that drains looks whether the other shards have drained.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a shard waits after a panic, or after an error of epoll_wait(2), before it starts again.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(100);

/// Runs a shard on this thread until it is told to stop.
pub(in crate::relay) fn run(context: ShardContext) {
    // The default timer slack is 50 µs, half of the time that packets may gather.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    if let Err(error) = cpu_share::favour_this_thread() {
        tracing::debug!(%error, "the relay's threads share the CPUs like all others");
    }
    let mut shard = Shard::new(context);
    loop {
        let error = match catch_unwind(AssertUnwindSafe(|| shard.serve())) {
            Ok(Ok(())) => {
                shard.engine.settle(0..usize::MAX);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_message(&*panic),
        };
        let allocations = shard.engine.allocation_count();
        tracing::error!(shard = shard.context.index, allocations, %error, "a shard of the relay failed and starts again");
        shard.context.stats.panics.add(1);
        shard = shard.restarted();
        std::thread::sleep(PAUSE_AFTER_PANIC);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

impl Shard {
    /// # Errors
    /// Of epoll_wait(2).
    fn serve(&mut self) -> io::Result<()> {
        let mut events: Vec<Readiness> = Vec::new();
        let mut now = Instant::now();
        while !self.is_done(now) {
            let turn_ended = Instant::now();
            self.context.stats.busy.add(nanos(turn_ended.saturating_duration_since(now)));
            self.context.stats.end_turn();
            let mut waits_from = turn_ended;
            if let Some(pause) = self.coalescer.pause() {
                std::thread::sleep(pause);
                waits_from = Instant::now();
            }
            self.context.poller.wait(self.timeout(turn_ended))?;
            now = Instant::now();
            self.context.stats.begin_turn(now.saturating_duration_since(self.context.epoch));
            self.packets = 0;
            events.clear();
            events.extend(self.context.poller.ready());
            if self.context.poller.was_woken() {
                self.handle_messages(now);
                self.receive_from_shards(now);
            }
            self.handle_events(&events, now);
            self.flush_streams(now);
            self.handle_due(now);
            self.continue_listing(now);
            self.continue_walks(now);
            self.flush_streams(now);
            self.coalescer.record_wake(self.packets, now.saturating_duration_since(waits_from), now);
        }
        Ok(())
    }

    fn handle_events(&mut self, events: &[Readiness], now: Instant) {
        // Clients' sockets come first: they take one batch each, so the relayed sockets do not wait longer for it.
        for event in events {
            if let PollSource::ClientSocket(number) = PollSource::from_token(event.token) {
                self.receive_from_clients(number, now);
            }
        }
        for event in events {
            match PollSource::from_token(event.token) {
                PollSource::ClientSocket(_) => {}
                PollSource::ClientAcceptor(number) => self.accept_clients(number, now),
                PollSource::RelayedSocket(relayed) => self.receive_from_peers(relayed, event.error, now),
                PollSource::ClientStream(stream) => self.handle_stream_event(stream, event, now),
                PollSource::PeerConnection(connection) => {
                    self.advance_peer_connection(connection, now);
                    self.handle_outputs(now);
                }
            }
        }
    }

    /// How long to wait when no event comes.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let drain = self.context.stop_at.map(|at| at.min(now + DRAIN_CHECK_INTERVAL));
        let streams = [self.streams.next_check(), self.deferred.next_due(), self.peer_connections.next_resume()];
        let others = [self.engine.next_timeout(), self.resume_accepting, self.context.poller.next_repeat(), drain];
        let next = others.into_iter().chain(streams).flatten().min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// All shards end together, because the kernel gives the clients of a closed socket to the other shards.
    fn is_done(&self, now: Instant) -> bool {
        self.context.stop_at.is_some_and(|at| at <= now || self.context.shared.allocations() == 0)
    }

    fn handle_due(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        let engine = &self.engine;
        for (stream, reason) in self.streams.overdue(now, |client| engine.has_allocation(client)) {
            self.close_stream(stream, reason, now);
        }
        self.retry_deferred(now);
        if self.resume_accepting.is_some_and(|at| at <= now) {
            self.resume_acceptors(now);
        }
        while let Some(connection) = self.peer_connections.next_resumed(now) {
            self.advance_peer_connection(connection, now);
        }
        self.context.poller.repeat_due(now);
        self.handle_outputs(now);
        self.log_refused_neighbours(now);
    }

    /// Polls the acceptors that were paused when descriptors had run out.
    fn resume_acceptors(&mut self, now: Instant) {
        self.resume_accepting = None;
        let ShardContext { poller, acceptors, .. } = &self.context;
        let is_polled = |number: u8| {
            let token = PollSource::ClientAcceptor(number).token();
            acceptors.get(usize::from(number)).is_none_or(|acceptor| poller.add(acceptor, token, Interest::Read).is_ok())
        };
        self.paused_acceptors.retain(|number| !is_polled(*number));
        if !self.resume_relayed_acceptors() || !self.paused_acceptors.is_empty() {
            self.resume_accepting = Some(now + ACCEPT_PAUSE);
        }
    }

    fn log_refused_neighbours(&mut self, now: Instant) {
        let refused = self.engine.refused_neighbours();
        if refused == self.logged_neighbours {
            return;
        }
        self.logged_neighbours = refused;
        if self.neighbours_log.is_due(now.saturating_duration_since(self.context.epoch)) {
            tracing::info!(
                shard = self.context.index,
                refused,
                "clients asked for peers in this machine's own networks, which are denied; CASTWAY_ALLOWED_PEER_IP allows them"
            );
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
