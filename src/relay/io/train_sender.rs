//! Sends trains with as few system calls as possible, and sends a train that the kernel refuses as single packets.
//!
//! Owner: an [`Outbox`](super::outbox::Outbox). One pass over a part of a run of trains, all of one socket: *plan* (train or
//! single packets, copied together or not) → *load* (messages and pieces for sendmmsg(2)) → *send* (count, wait, or report
//! failures). A train that the kernel refuses as such is planned once more, as single packets.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::relay::io::arena::ReceiveArena;
use crate::relay::io::packet_route::{FlushReport, SendFailure};
use crate::relay::io::train_queue::{Train, TrainQueue};
use crate::relay::io::udp::{BatchUdpSocket, SendState};
use crate::relay::io::udp_types::UdpMessage;

/// Messages that one system call sends, about.
const MESSAGES_A_CALL: usize = 64;
/// How many trains to a destination are sent as single packets before trains are tried again.
const TRAINS_SENT_SINGLY: u16 = 1024;
/// Destinations whose refusal of trains is remembered; one that shares a place with another one displaces it.
const REMEMBERED_REFUSALS: usize = 64;

/// Makes messages of trains and sends them; keeps its buffers between flushes.
pub(super) struct TrainSender {
    messages: Vec<UdpMessage>,
    units: Vec<MessageUnit>,
    slices: Vec<IoSlice<'static>>,
    plan: Vec<PlannedTrain>,
    /// The bytes of trains that were copied together.
    coalesced: Vec<u8>,
    state: SendState,
    /// Destinations that refused trains, and how many trains are still to be sent singly.
    refusals: [Option<(IpAddr, u16)>; REMEMBERED_REFUSALS],
}

/// The content of a message.
#[derive(Debug, Clone, Copy)]
struct MessageUnit {
    /// The train, as an index of the run.
    train: usize,
    packets: u16,
}

/// How a train will be sent.
struct PlannedTrain {
    /// The train, as an index of the run.
    train: usize,
    as_train: bool,
    coalesced: Option<Range<usize>>,
}

/// The state of one flush.
pub(super) struct Flush<'a, F> {
    pub(super) queue: &'a TrainQueue,
    pub(super) arena: &'a ReceiveArena,
    pub(super) wait: BufferWait,
    pub(super) report: FlushReport,
    pub(super) on_failure: F,
}

impl TrainSender {
    pub(super) fn new() -> Self {
        Self {
            messages: Vec::new(),
            units: Vec::new(),
            slices: Vec::new(),
            plan: Vec::new(),
            coalesced: Vec::new(),
            state: SendState::default(),
            refusals: [None; REMEMBERED_REFUSALS],
        }
    }

    /// Sends the trains of one socket; `run` has their indices in the queue.
    pub(super) fn send<F: FnMut(SendFailure)>(&mut self, flush: &mut Flush<'_, F>, socket: &BatchUdpSocket, run: &[u32]) {
        let mut slices = recycle(std::mem::take(&mut self.slices));
        let mut coalesced = std::mem::take(&mut self.coalesced);
        let mut next = 0;
        while next < run.len() {
            // `slices` borrowed from `coalesced`.
            let mut pieces = recycle(slices);
            coalesced.clear();
            let end = self.plan(flush.queue, flush.arena, run, next, &mut coalesced);
            self.load(flush.queue, flush.arena, run, &coalesced, &mut pieces);
            next = self.send_loaded(flush, socket, run, &pieces).unwrap_or(end);
            slices = recycle(pieces);
        }
        self.slices = slices;
        self.coalesced = coalesced;
    }

    /// Plans trains from `next` on, for about one system call. Returns the index of the first one that is not planned.
    fn plan(&mut self, queue: &TrainQueue, arena: &ReceiveArena, run: &[u32], mut next: usize, coalesced: &mut Vec<u8>) -> usize {
        self.plan.clear();
        let mut count = 0;
        while next < run.len() && count < MESSAGES_A_CALL {
            let train = &queue.trains[run[next] as usize];
            let as_train = self.takes_trains(train);
            let range = if as_train { queue.coalesce(arena, train, coalesced) } else { None };
            count += if as_train { 1 } else { train.packets.into() };
            self.plan.push(PlannedTrain { train: next, as_train, coalesced: range });
            next += 1;
        }
        next
    }

    /// Makes the messages of the plan.
    fn load<'a>(
        &mut self,
        queue: &'a TrainQueue,
        arena: &'a ReceiveArena,
        run: &[u32],
        coalesced: &'a [u8],
        pieces: &mut Vec<IoSlice<'a>>,
    ) {
        self.messages.clear();
        self.units.clear();
        for PlannedTrain { train: index, as_train, coalesced: range } in &self.plan {
            let train = &queue.trains[run[*index] as usize];
            if let Some(range) = range {
                pieces.push(IoSlice::new(&coalesced[range.clone()]));
                let slices = pieces.len() - 1..pieces.len();
                let (to, from) = (train.route.to, train.route.from);
                self.messages.push(UdpMessage { to, from, segment: Some(train.segment as u16), slices });
            } else {
                queue.load(arena, train, *as_train, &mut self.messages, pieces);
            }
            let packets = if *as_train { train.packets } else { 1 };
            self.units.resize(self.messages.len(), MessageUnit { train: *index, packets });
        }
    }

    /// Sends the loaded messages. Returns the index of a train that has to be planned again, if the kernel refused it as a train.
    fn send_loaded<F: FnMut(SendFailure)>(
        &mut self,
        flush: &mut Flush<'_, F>,
        socket: &BatchUdpSocket,
        run: &[u32],
        pieces: &[IoSlice<'_>],
    ) -> Option<usize> {
        let mut done = 0;
        let mut may_be_late = socket.has_late_errors();
        while let Some(MessageUnit { train, packets }) = self.units.get(done).copied() {
            flush.report.calls += 1;
            let error = match socket.send_messages(&self.messages[done..], pieces, &mut self.state) {
                Ok(count) => {
                    self.count_sent(done..done + count, pieces, &mut flush.report);
                    done += count;
                    may_be_late = socket.has_late_errors();
                    continue;
                }
                Err(error) => error,
            };
            let kind = error.kind();
            if kind == io::ErrorKind::Interrupted || (kind == io::ErrorKind::WouldBlock && flush.wait.wait(socket)) {
                continue;
            }
            let message = &self.messages[done];
            if message.segment.is_some() && is_train_refusal(&error) {
                self.refusals[refusal_index(message.to.ip())] = Some((message.to.ip(), TRAINS_SENT_SINGLY));
                return Some(train);
            }
            // The kernel reports the ICMP error of an earlier packet at the next send, which it does not try then.
            if std::mem::take(&mut may_be_late) {
                continue;
            }
            let route = flush.queue.trains[run[train] as usize].route;
            flush.report.fail(route, packets, error, &mut flush.on_failure);
            done += 1;
            may_be_late = socket.has_late_errors();
        }
        None
    }

    fn count_sent(&self, sent: Range<usize>, pieces: &[IoSlice<'_>], report: &mut FlushReport) {
        for (message, unit) in self.messages[sent.clone()].iter().zip(&self.units[sent]) {
            report.packets += u64::from(unit.packets);
            report.bytes += pieces[message.slices.clone()].iter().map(|slice| slice.len() as u64).sum::<u64>();
        }
    }

    /// Whether the destination is to be sent trains; counts down where it has refused them.
    fn takes_trains(&mut self, train: &Train) -> bool {
        if train.packets == 1 {
            return true;
        }
        let ip = train.route.to.ip();
        let refusal = &mut self.refusals[refusal_index(ip)];
        match refusal {
            Some((refusing, left)) if *refusing == ip => {
                *left -= 1;
                if *left == 0 {
                    *refusal = None;
                }
                false
            }
            Some(_) | None => true,
        }
    }
}

/// Bounds how long one flush waits for room in socket buffers.
pub(super) struct BufferWait {
    limit: Duration,
    /// Set when the first socket has no room.
    deadline: Option<Instant>,
}

impl BufferWait {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, deadline: None }
    }

    /// Returns whether there is room before the deadline.
    fn wait(&mut self, socket: &BatchUdpSocket) -> bool {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.limit);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let ready = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout));
        ready.is_ok_and(|ready| ready > 0)
    }
}

/// EIO and ENOTSUP: the outgoing interface has no checksum offload. EINVAL and EMSGSIZE: the same, or a path MTU below the
/// segment (ip_output.c, udp.c: the errors differ between versions).
fn is_train_refusal(error: &io::Error) -> bool {
    let codes = [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP, libc::ENOPROTOOPT];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn refusal_index(ip: IpAddr) -> usize {
    let bytes = match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => u128::from(ip),
    };
    ((bytes ^ bytes >> 8 ^ bytes >> 64) % REMEMBERED_REFUSALS as u128) as usize
}

/// Empties a vector and keeps its memory for elements of another lifetime: collecting in place does not allocate.
fn recycle<'to>(mut slices: Vec<IoSlice<'_>>) -> Vec<IoSlice<'to>> {
    slices.clear();
    slices.into_iter().map(|_| IoSlice::new(&[])).collect()
}
