//! One epoll instance a shard, and a way for other threads to wake it.
//!
//! Owner: a shard. Inputs: sources with tokens ([`Poller::add`]), and tokens to report without the kernel ([`Poller::repeat`]).
//! Output: the sources that the last [`Poller::wait`] found ready. No call but `wait` blocks.
//!
//! **Edge-triggered for datagrams, level-triggered for the rest.** After a level-triggered socket was drained, the next wait
//! checks it once more: 250 ns a wake in measurements, 6% of a paced packet's time in the relay. A short batch shows that a UDP
//! socket is drained, so an edge loses nothing. A full batch shows nothing; the shard, which takes one batch of a socket a turn
//! so that no client starves the others, then calls [`Poller::repeat`]. Streams are read in pieces and stay level-triggered.
//!
//! rustix rather than mio or polling: mio is edge-triggered throughout, polling re-arms a source with a system call after each
//! event, and both round timeouts up to whole milliseconds, which is too long to coalesce packets with.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// The events that a source is polled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Datagrams, reported each time that some have arrived: receive a batch, and call [`Poller::repeat`] where it was full.
    Datagrams,
    /// Bytes or connections, reported as long as some wait.
    Read,
    /// The same, and room to write, for a stream that could not write everything.
    ReadWrite,
    /// Room to write only, or the end of connecting.
    Write,
}

/// The readiness of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// An error condition, such as an ICMP error that waits to be read. It is reported until it has been read.
    pub error: bool,
}

/// An epoll instance. One wait reports at most `MAX_EVENTS_A_WAIT` sources; the next wait reports the others.
pub struct Poller {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    ready: Vec<Readiness>,
    /// Tokens that the next wait reports.
    repeats: Vec<u64>,
    /// Tokens that move to `repeats` at `delayed_until`.
    delayed: Vec<u64>,
    delayed_until: Option<Instant>,
    /// The tokens that the last wait took from `repeats`.
    repeated: Vec<u64>,
    woken: bool,
    /// epoll_pwait2 is missing, so timeouts are rounded up.
    whole_milliseconds: bool,
}

/// Ends a wait of a [`Poller`] from another thread.
#[derive(Debug, Clone)]
pub struct PollWaker(Arc<OwnedFd>);

/// Sources that one wait reports, at most.
const MAX_EVENTS_A_WAIT: usize = 256;
/// The token of the waker.
const WAKER_TOKEN: u64 = u64::MAX;

impl Poller {
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &wake, EventData::new_u64(WAKER_TOKEN), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake,
            ready: Vec::with_capacity(MAX_EVENTS_A_WAIT),
            repeats: Vec::new(),
            delayed: Vec::new(),
            delayed_until: None,
            repeated: Vec::new(),
            woken: false,
            whole_milliseconds: false,
        })
    }

    #[must_use]
    pub fn waker(&self) -> PollWaker {
        PollWaker(Arc::clone(&self.wake))
    }

    /// Polls a source. [`Readiness`] reports its `token`; `u64::MAX` is reserved. Closing a source removes it, unless it was
    /// duplicated.
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

    /// Makes the next wait return immediately and report this source as readable, after those that the kernel reports.
    pub fn repeat(&mut self, token: u64) {
        self.repeats.push(token);
    }

    /// The same from `at` on, for a socket that can't be read for now: its edge was reported, and would not be reported again.
    pub fn repeat_at(&mut self, token: u64, at: Instant) {
        if !self.delayed.contains(&token) {
            self.delayed.push(token);
        }
        self.delayed_until.get_or_insert(at);
    }

    /// When [`Self::repeat_due`] is to be called.
    #[must_use]
    pub const fn next_repeat(&self) -> Option<Instant> {
        self.delayed_until
    }

    /// Repeats the delayed tokens, if they are due.
    pub fn repeat_due(&mut self, now: Instant) {
        if self.delayed_until.is_some_and(|at| at <= now) {
            self.delayed_until = None;
            self.repeats.append(&mut self.delayed);
        }
    }

    /// Waits until a source is ready, the waker was used or `timeout` is over; without a timeout, as long as it takes. A signal
    /// ends the wait early.
    ///
    /// # Errors
    /// Of epoll_wait(2); a source causes none.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        self.woken = false;
        self.repeated.clear();
        std::mem::swap(&mut self.repeats, &mut self.repeated);
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
                ready.push(Readiness { token, readable: true, writable: false, error: false });
            }
        }
        Ok(())
    }

    /// The sources that the last wait found ready.
    pub fn ready(&self) -> impl Iterator<Item = Readiness> + '_ {
        self.ready.iter().copied()
    }

    /// Whether the waker ended the last wait.
    #[must_use]
    pub const fn was_woken(&self) -> bool {
        self.woken
    }

    fn wait_once(&mut self, timeout: Option<Timespec>) -> Result<(), Errno> {
        // Not a field, because the kernel's events are not `Send`, and a shard is created on one thread and runs on another.
        let mut events = [const { MaybeUninit::<Event>::uninit() }; MAX_EVENTS_A_WAIT];
        let (events, _) = epoll::wait(&self.epoll, &mut events, timeout.as_ref())?;
        for event in events {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == WAKER_TOKEN {
                self.woken = true;
                continue;
            }
            self.ready.push(Readiness {
                token,
                readable: flags.intersects(EventFlags::IN | EventFlags::HUP),
                writable: flags.contains(EventFlags::OUT),
                error: flags.contains(EventFlags::ERR),
            });
        }
        Ok(())
    }
}

impl PollWaker {
    /// Ends the current wait, or the next one. Never blocks.
    pub fn wake(&self) {
        // An error means that the counter is full, which wakes as well.
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
    // A year is long enough, and fits every clock.
    let timeout = timeout.min(Duration::from_secs(365 * 24 * 3600));
    Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() }
}

fn round_up(timeout: Timespec) -> Timespec {
    let millis = timeout.tv_sec.saturating_mul(1000) + (timeout.tv_nsec + 999_999) / 1_000_000;
    // epoll_wait takes an i32.
    let millis = millis.min(i32::MAX.into());
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_source_is_reported_until_it_is_read() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(&socket, 7, Interest::Read).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0);

        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            poller.wait(None).unwrap();
            let expected = Readiness { token: 7, readable: true, writable: false, error: false };
            assert_eq!(poller.ready().collect::<Vec<_>>(), [expected]);
        }
        socket.recv(&mut [0; 8]).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0);

        poller.modify(&socket, 8, Interest::ReadWrite).unwrap();
        poller.wait(None).unwrap();
        assert!(poller.ready().all(|ready| ready.token == 8 && ready.writable));
        poller.remove(&socket).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0);
    }

    #[test]
    fn datagrams_are_reported_once_for_each_arrival_and_again_where_asked() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(&socket, 7, Interest::Datagrams).unwrap();
        let tokens = |poller: &mut Poller| {
            poller.wait(Some(Duration::ZERO)).unwrap();
            poller.ready().map(|ready| (ready.token, ready.readable)).collect::<Vec<_>>()
        };
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(tokens(&mut poller), [(7, true)]);
        assert_eq!(tokens(&mut poller), []);
        poller.repeat(7);
        poller.wait(None).unwrap();
        assert_eq!(poller.ready().count(), 1);
        assert_eq!(tokens(&mut poller), []);

        poller.repeat(7);
        poller.repeat(8);
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(tokens(&mut poller), [(7, true), (8, true)], "one mention each");
    }

    #[test]
    fn a_socket_that_could_not_be_read_is_reported_again_without_a_new_arrival() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(&socket, 7, Interest::Datagrams).unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        poller.wait(None).unwrap();
        assert_eq!(poller.ready().count(), 1);
        // The datagram is not read, and its edge is gone.
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0);
        let at = Instant::now();
        poller.repeat_at(7, at + Duration::from_millis(1));
        poller.repeat_at(7, at + Duration::from_millis(2));
        poller.repeat_due(at);
        assert_eq!(poller.next_repeat(), Some(at + Duration::from_millis(1)));
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0, "not at once");
        poller.repeat_due(at + Duration::from_millis(1));
        poller.wait(None).unwrap();
        assert_eq!(poller.ready().map(|ready| (ready.token, ready.readable)).collect::<Vec<_>>(), [(7, true)]);
        assert_eq!(poller.next_repeat(), None);
    }

    #[test]
    fn a_waker_ends_one_wait_however_often_it_is_used() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        std::thread::spawn(move || (0..3).for_each(|_| waker.wake())).join().unwrap();
        poller.wait(None).unwrap();
        assert!(poller.was_woken() && poller.ready().count() == 0);
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert!(!poller.was_woken());
    }

    #[test]
    fn a_timeout_is_exact_or_rounded_up() {
        let mut poller = Poller::new().unwrap();
        for whole_milliseconds in [false, true] {
            poller.whole_milliseconds = whole_milliseconds;
            let start = Instant::now();
            poller.wait(Some(Duration::from_micros(200))).unwrap();
            assert!(start.elapsed() >= Duration::from_micros(200));
        }
        let rounded = round_up(timespec(Duration::from_micros(1200)));
        assert_eq!((rounded.tv_sec, rounded.tv_nsec), (0, 2_000_000));
        let rounded = round_up(timespec(Duration::MAX));
        assert_eq!(rounded.tv_sec, i64::from(i32::MAX) / 1000);
    }
}
