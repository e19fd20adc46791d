//! One epoll instance a shard, and the way to wake it from elsewhere.
//!
//! **Edge-triggered for datagrams, level-triggered for the rest.** A level-triggered socket is looked at once more by the wait
//! after it was drained: 250 ns a wake in measurements, 6% of a paced packet's whole way. A short batch says that a UDP socket
//! is drained, so an edge loses nothing; a full one says nothing, and the shard, which takes one batch of a socket a loop so
//! that no client starves the others, asks to be told [`Poll::again`]. Streams are read in pieces and stay level-triggered.
//!
//! rustix rather than mio or polling: mio is edge-triggered throughout, polling re-arms a source with a system call after each event,
//! and both round timeouts up to whole milliseconds, which is too long to coalesce packets with.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// What is to be heard of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Datagrams, each time that some have come: take a batch, and ask for [`Poll::again`] where it was full.
    Datagrams,
    /// Bytes or connections, as long as there are some.
    Read,
    /// For a stream that could not write all.
    ReadWrite,
    /// Room for bytes alone, or the end of connecting.
    Write,
}

/// What a source is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// An error condition, such as an ICMP error that waits to be read. It is reported until it has been.
    pub error: bool,
}

/// What woke a shard, for `BATCH` sources at most: the others are reported by the next wait, in turn.
pub struct Poll {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    ready: Vec<Ready>,
    again: Vec<u64>,
    /// The same, but not before then.
    later: Vec<u64>,
    later_at: Option<Instant>,
    /// What the last wait took over from `again`.
    repeated: Vec<u64>,
    woken: bool,
    whole_milliseconds: bool,
}

/// Ends a wait from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

const BATCH: usize = 256;
const WAKER: u64 = u64::MAX;

impl Poll {
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &wake, EventData::new_u64(WAKER), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake,
            ready: Vec::with_capacity(BATCH),
            again: Vec::new(),
            later: Vec::new(),
            later_at: None,
            repeated: Vec::new(),
            woken: false,
            whole_milliseconds: false,
        })
    }

    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// `token` is what [`Ready`] says; `u64::MAX` is taken. Closing a source removes it, unless it was duplicated.
    ///
    /// # Errors
    /// Of epoll_ctl(2): the source is there already, or the user's limit of watches is reached.
    pub fn add(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), interest.flags())?)
    }

    /// # Errors
    /// Of epoll_ctl(2): the source is not there.
    pub fn modify(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(token), interest.flags())?)
    }

    /// # Errors
    /// Of epoll_ctl(2): the source is not there.
    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// The next wait does not wait and reports this source as readable, after those that the kernel reports.
    pub fn again(&mut self, token: u64) {
        self.again.push(token);
    }

    /// The same from `at` on, for a socket that can't be read for now: its edge has been reported and would not be once more.
    pub fn later(&mut self, token: u64, at: Instant) {
        if !self.later.contains(&token) {
            self.later.push(token);
        }
        self.later_at.get_or_insert(at);
    }

    /// When [`Self::resume`] is due.
    #[must_use]
    pub const fn next_later(&self) -> Option<Instant> {
        self.later_at
    }

    /// Asks for [`Self::again`] what was to be read later.
    pub fn resume(&mut self, now: Instant) {
        if self.later_at.is_some_and(|at| at <= now) {
            self.later_at = None;
            self.again.append(&mut self.later);
        }
    }

    /// Waits until a source is ready, the waker was used or `timeout` is over (`None`: never). A signal ends it early.
    ///
    /// # Errors
    /// Of epoll_wait(2); none that a source causes.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        self.woken = false;
        self.repeated.clear();
        std::mem::swap(&mut self.again, &mut self.repeated);
        let mut timeout = if self.repeated.is_empty() { timeout.map(timespec) } else { Some(timespec(Duration::ZERO)) };
        if self.whole_milliseconds {
            timeout = timeout.map(round_up);
        }
        let mut result = self.wait_once(timeout);
        if matches!(result, Err(Errno::NOSYS | Errno::PERM)) {
            // epoll_pwait2 came with Linux 5.11, and older seccomp filters forbid it.
            self.whole_milliseconds = true;
            timeout = timeout.map(round_up);
            result = self.wait_once(timeout);
        }
        match result {
            Ok(()) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.woken {
            rustix::io::read(&self.wake, &mut [0; 8])?;
        }
        let Self { ready, repeated, .. } = self;
        let reported = ready.len();
        for token in repeated.drain(..) {
            if ready[..reported].iter().all(|ready| ready.token != token) {
                ready.push(Ready { token, readable: true, writable: false, error: false });
            }
        }
        Ok(())
    }

    /// What the last wait found, the waker aside.
    pub fn ready(&self) -> impl Iterator<Item = Ready> + '_ {
        self.ready.iter().copied()
    }

    /// Whether the waker ended the last wait.
    #[must_use]
    pub const fn was_woken(&self) -> bool {
        self.woken
    }

    fn wait_once(&mut self, timeout: Option<Timespec>) -> Result<(), Errno> {
        // Not a field: the kernel's events are not `Send`, and a shard is made on one thread and runs on another.
        let mut events = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        let (events, _) = epoll::wait(&self.epoll, &mut events, timeout.as_ref())?;
        for event in events {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == WAKER {
                self.woken = true;
                continue;
            }
            self.ready.push(Ready {
                token,
                readable: flags.intersects(EventFlags::IN | EventFlags::HUP),
                writable: flags.contains(EventFlags::OUT),
                error: flags.contains(EventFlags::ERR),
            });
        }
        Ok(())
    }
}

impl Waker {
    /// Ends the current wait, or the next one. Never blocks.
    pub fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Interest {
    const fn flags(self) -> EventFlags {
        match self {
            Self::Datagrams => EventFlags::IN.union(EventFlags::ET),
            Self::Read => EventFlags::IN,
            Self::ReadWrite => EventFlags::IN.union(EventFlags::OUT),
            Self::Write => EventFlags::OUT,
        }
    }
}

fn timespec(timeout: Duration) -> Timespec {
    // A year is as good as for ever, and fits every clock.
    let timeout = timeout.min(Duration::from_secs(365 * 24 * 3600));
    Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() }
}

fn round_up(timeout: Timespec) -> Timespec {
    let millis = timeout.tv_sec.saturating_mul(1000) + (timeout.tv_nsec + 999_999) / 1_000_000;
    // What fits an i32 goes to epoll_wait.
    let millis = millis.min(i32::MAX.into());
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_source_is_reported_until_it_is_read() {
        let mut poll = Poll::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poll.add(&socket, 7, Interest::Read).unwrap();
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0);

        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            poll.wait(None).unwrap();
            let expected = Ready { token: 7, readable: true, writable: false, error: false };
            assert_eq!(poll.ready().collect::<Vec<_>>(), [expected]);
        }
        socket.recv(&mut [0; 8]).unwrap();
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0);

        poll.modify(&socket, 8, Interest::ReadWrite).unwrap();
        poll.wait(None).unwrap();
        assert!(poll.ready().all(|ready| ready.token == 8 && ready.writable));
        poll.remove(&socket).unwrap();
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0);
    }

    #[test]
    fn datagrams_are_reported_once_for_each_arrival_and_again_where_asked() {
        let mut poll = Poll::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poll.add(&socket, 7, Interest::Datagrams).unwrap();
        let tokens = |poll: &mut Poll| {
            poll.wait(Some(Duration::ZERO)).unwrap();
            poll.ready().map(|ready| (ready.token, ready.readable)).collect::<Vec<_>>()
        };
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(tokens(&mut poll), [(7, true)]);
        assert_eq!(tokens(&mut poll), []);
        poll.again(7);
        poll.wait(None).unwrap();
        assert_eq!(poll.ready().count(), 1);
        assert_eq!(tokens(&mut poll), []);

        poll.again(7);
        poll.again(8);
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(tokens(&mut poll), [(7, true), (8, true)], "one mention each");
    }

    #[test]
    fn a_socket_that_could_not_be_read_is_reported_again_without_a_new_arrival() {
        let mut poll = Poll::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poll.add(&socket, 7, Interest::Datagrams).unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        poll.wait(None).unwrap();
        assert_eq!(poll.ready().count(), 1);
        // It is not read: its edge is gone.
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0);
        let at = Instant::now();
        poll.later(7, at + Duration::from_millis(1));
        poll.later(7, at + Duration::from_millis(2));
        poll.resume(at);
        assert_eq!(poll.next_later(), Some(at + Duration::from_millis(1)));
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0, "not at once");
        poll.resume(at + Duration::from_millis(1));
        poll.wait(None).unwrap();
        assert_eq!(poll.ready().map(|ready| (ready.token, ready.readable)).collect::<Vec<_>>(), [(7, true)]);
        assert_eq!(poll.next_later(), None);
    }

    #[test]
    fn a_waker_ends_one_wait_however_often_it_is_used() {
        let mut poll = Poll::new().unwrap();
        let waker = poll.waker();
        std::thread::spawn(move || (0..3).for_each(|_| waker.wake())).join().unwrap();
        poll.wait(None).unwrap();
        assert!(poll.was_woken() && poll.ready().count() == 0);
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert!(!poll.was_woken());
    }

    #[test]
    fn a_timeout_is_exact_or_rounded_up() {
        let mut poll = Poll::new().unwrap();
        for whole_milliseconds in [false, true] {
            poll.whole_milliseconds = whole_milliseconds;
            let start = Instant::now();
            poll.wait(Some(Duration::from_micros(200))).unwrap();
            assert!(start.elapsed() >= Duration::from_micros(200));
        }
        let rounded = round_up(timespec(Duration::from_micros(1200)));
        assert_eq!((rounded.tv_sec, rounded.tv_nsec), (0, 2_000_000));
        let rounded = round_up(timespec(Duration::MAX));
        assert_eq!(rounded.tv_sec, i64::from(i32::MAX) / 1000);
    }
}
