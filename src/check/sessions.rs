//! The sessions that keys have started. Time is an argument.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::refusal::Refusal;
use crate::diagnosis::observation::Witness;
use crate::diagnosis::watch::WatchHandle;

/// How long a session lives.
pub(super) const SESSION_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long the relay notes what it sees of a device.
pub(super) const WATCH_TIME: Duration = Duration::from_secs(3 * 60);
/// Sessions at the same time; a new one replaces the oldest.
const MAX_SESSIONS: usize = 16;
/// Wrong digits that anybody may send while a session waits for its second device. They count for every such session, since nobody can
/// tell which one was meant.
const MAX_WRONG_DIGITS: u32 = 5;
/// Messages from one device to the other in a session.
const MAX_MESSAGES: u32 = 64;
/// Bytes of one message.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes of the messages that one device has not taken yet.
const MAX_WAITING_BYTES: usize = 256 * 1024;
/// Results of one device in a session.
const MAX_RESULTS: u32 = 8;
/// Devices of a session.
const MAX_DEVICES: usize = 2;

#[derive(Debug, Default)]
pub(super) struct SessionTable(VecDeque<Session>);

#[derive(Debug)]
struct Session {
    key: String,
    expires: Instant,
    /// What the second device has to send; `None`: it has joined, or too many were wrong.
    digits: Option<String>,
    wrong_digits: u32,
    devices: Vec<Device>,
}

/// A device, and what it may still do.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) token: String,
    pub(super) address: IpAddr,
    watch: DeviceWatch,
    messages: VecDeque<String>,
    sent: u32,
    results: u32,
    /// The number of its latest poll, which ends the earlier ones.
    poll: u64,
    pub(super) changed: Arc<Notify>,
}

#[derive(Debug)]
enum DeviceWatch {
    Open { handle: WatchHandle, until: Instant },
    Closed(Box<Witness>),
}

/// What a poll is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Polled {
    pub(super) messages: Vec<String>,
    /// The other device is there.
    pub(super) peer: bool,
    pub(super) digits: Option<String>,
}

/// What a result belongs to.
#[derive(Debug)]
pub(super) struct ResultOf {
    pub(super) key: String,
    /// 1 or 2.
    pub(super) device: usize,
    pub(super) address: IpAddr,
    pub(super) witness: Witness,
    /// The other device of the session.
    pub(super) other: Option<(IpAddr, Witness)>,
}

impl Device {
    pub(super) fn new(token: String, address: IpAddr, handle: WatchHandle, now: Instant) -> Self {
        Self {
            token,
            address,
            watch: DeviceWatch::Open { handle, until: now + WATCH_TIME },
            messages: VecDeque::new(),
            sent: 0,
            results: 0,
            poll: 0,
            changed: Arc::default(),
        }
    }

    fn witness(&self) -> Witness {
        match &self.watch {
            DeviceWatch::Open { handle, .. } => handle.witness(),
            DeviceWatch::Closed(witness) => witness.as_ref().clone(),
        }
    }

    fn close_watch(&mut self, now: Instant) {
        if let DeviceWatch::Open { handle, until } = &self.watch
            && *until <= now
        {
            self.watch = DeviceWatch::Closed(Box::new(handle.witness()));
        }
    }
}

impl SessionTable {
    /// Ends what has lived long enough: sessions, and the watches of devices.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.0.retain(|session| session.expires > now);
        for device in self.0.iter_mut().flat_map(|session| &mut session.devices) {
            device.close_watch(now);
        }
    }

    /// Starts a session, and returns the digits for its second device.
    pub(super) fn start(&mut self, key: String, device: Device, now: Instant) -> String {
        self.handle_timeout(now);
        while self.0.len() >= MAX_SESSIONS {
            self.0.pop_front();
        }
        let digits = self.unused_digits();
        let session = Session {
            key,
            expires: now + SESSION_LIFETIME,
            digits: Some(digits.clone()),
            wrong_digits: 0,
            devices: vec![device],
        };
        self.0.push_back(session);
        digits
    }

    fn unused_digits(&self) -> String {
        loop {
            let digits = format!("{:04}", rand::random_range(0..10_000));
            if self.0.iter().all(|session| session.digits.as_ref() != Some(&digits)) {
                return digits;
            }
        }
    }

    /// Whether a session waits for these digits. If none does, the try counts for all that wait.
    pub(super) fn accepts(&mut self, digits: &str, now: Instant) -> bool {
        self.handle_timeout(now);
        if self.0.iter().any(|session| session.digits.as_deref() == Some(digits)) {
            return true;
        }
        for session in self.0.iter_mut().filter(|session| session.digits.is_some()) {
            session.wrong_digits += 1;
            if session.wrong_digits >= MAX_WRONG_DIGITS {
                session.digits = None;
                session.devices.iter().for_each(|device| device.changed.notify_waiters());
            }
        }
        false
    }

    /// The second device joins the session that waits for these digits.
    pub(super) fn join(&mut self, digits: &str, device: Device) -> Result<(), Refusal> {
        let waits = |session: &&mut Session| session.digits.as_deref() == Some(digits) && session.devices.len() < MAX_DEVICES;
        let session = self.0.iter_mut().find(waits).ok_or(Refusal::UnknownDigits)?;
        session.digits = None;
        session.devices.push(device);
        session.devices.iter().for_each(|device| device.changed.notify_waiters());
        Ok(())
    }

    /// A message for the other device.
    pub(super) fn send(&mut self, token: &str, message: String, now: Instant) -> Result<(), Refusal> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Refusal::TooLarge);
        }
        let (session, at) = self.find(token, now)?;
        let (sent, other) = (session.devices[at].sent, (1 - at).min(MAX_DEVICES - 1));
        let other = session.devices.get_mut(other).ok_or(Refusal::NoPeer)?;
        let waiting: usize = other.messages.iter().map(String::len).sum();
        if sent >= MAX_MESSAGES || waiting + message.len() > MAX_WAITING_BYTES {
            return Err(Refusal::TooManyMessages);
        }
        other.messages.push_back(message);
        other.changed.notify_waiters();
        session.devices[at].sent += 1;
        Ok(())
    }

    /// A device begins to wait for a change: its earlier polls end. Returns the number of this poll, and what tells of changes.
    pub(super) fn begin_poll(&mut self, token: &str, now: Instant) -> Result<(u64, Arc<Notify>), Refusal> {
        let (session, at) = self.find(token, now)?;
        let device = &mut session.devices[at];
        device.poll += 1;
        device.changed.notify_waiters();
        Ok((device.poll, Arc::clone(&device.changed)))
    }

    /// What a poll is answered with; `None`: nothing has changed. `peer`: the device knows that the other one is there.
    pub(super) fn poll(
        &mut self,
        token: &str,
        number: u64,
        peer: bool,
        is_last: bool,
        now: Instant,
    ) -> Result<Option<Polled>, Refusal> {
        let (session, at) = self.find(token, now)?;
        let (has_peer, digits) = (session.devices.len() == MAX_DEVICES, session.digits.clone());
        let device = &mut session.devices[at];
        if device.poll != number {
            return Ok(Some(Polled { messages: Vec::new(), peer: has_peer, digits }));
        }
        let digits_ended = at == 0 && !has_peer && digits.is_none();
        let is_due = is_last || !device.messages.is_empty() || has_peer != peer || digits_ended;
        let messages = |device: &mut Device| std::mem::take(&mut device.messages).into();
        Ok(is_due.then(|| Polled { messages: messages(device), peer: has_peer, digits }))
    }

    /// A device reports a result.
    pub(super) fn result(&mut self, token: &str, now: Instant) -> Result<ResultOf, Refusal> {
        let (session, at) = self.find(token, now)?;
        let key = session.key.clone();
        let other = session.devices.iter().enumerate().find(|(each, _)| *each != at);
        let other = other.map(|(_, other)| (other.address, other.witness()));
        let device = &mut session.devices[at];
        if device.results >= MAX_RESULTS {
            return Err(Refusal::TooManyResults);
        }
        device.results += 1;
        Ok(ResultOf { key, device: at + 1, address: device.address, witness: device.witness(), other })
    }

    fn find(&mut self, token: &str, now: Instant) -> Result<(&mut Session, usize), Refusal> {
        self.handle_timeout(now);
        let place = |session: &Session| session.devices.iter().position(|device| device.token == token);
        let found = self.0.iter_mut().find_map(|session| place(session).map(|at| (session, at)));
        found.ok_or(Refusal::NoSession)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::observation::Path;
    use crate::diagnosis::watch::{Seen, Watch};

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn device(token: &str, watch: &Watch, now: Instant) -> Device {
        Device::new(token.to_owned(), ADDRESS, watch.open(ADDRESS, None), now)
    }

    /// A session with two devices, a and b.
    fn two(now: Instant) -> SessionTable {
        let (mut sessions, watch) = (SessionTable::default(), Watch::default());
        let digits = sessions.start("KEY".to_owned(), device("a", &watch, now), now);
        assert!(sessions.accepts(&digits, now));
        sessions.join(&digits, device("b", &watch, now)).unwrap();
        sessions
    }

    fn wrong(digits: &str) -> &'static str {
        if digits == "0000" { "1111" } else { "0000" }
    }

    #[test]
    fn digits_end_after_five_wrong_tries_or_when_the_second_device_has_joined() {
        let (watch, now) = (Watch::default(), Instant::now());
        let mut sessions = SessionTable::default();
        let digits = sessions.start("KEY".to_owned(), device("a", &watch, now), now);
        for tried in 0..5 {
            assert!(!sessions.accepts(wrong(&digits), now), "{tried}");
            assert_eq!(sessions.accepts(&digits, now), tried < 4);
        }
        assert_eq!(sessions.join(&digits, device("b", &watch, now)), Err(Refusal::UnknownDigits));

        let digits = sessions.start("KEY".to_owned(), device("c", &watch, now), now);
        sessions.join(&digits, device("d", &watch, now)).unwrap();
        assert_eq!(sessions.join(&digits, device("e", &watch, now)), Err(Refusal::UnknownDigits));
    }

    #[test]
    fn sessions_end_after_15_minutes_and_the_oldest_of_17_ends() {
        let (watch, now) = (Watch::default(), Instant::now());
        let mut sessions = SessionTable::default();
        for number in 0..17 {
            sessions.start("KEY".to_owned(), device(&number.to_string(), &watch, now), now);
        }
        assert_eq!(sessions.result("0", now).err(), Some(Refusal::NoSession));
        assert!(sessions.result("1", now + SESSION_LIFETIME - Duration::from_secs(1)).is_ok());
        assert_eq!(sessions.result("1", now + SESSION_LIFETIME).err(), Some(Refusal::NoSession));
        assert!(!watch.is_open());
    }

    #[test]
    fn a_watch_ends_after_three_minutes_and_what_it_saw_stays() {
        let (watch, now) = (Watch::default(), Instant::now());
        let mut sessions = SessionTable::default();
        sessions.start("KEY".to_owned(), device("a", &watch, now), now);
        watch.note((ADDRESS, 5000).into(), None, Path::Udp, Seen::Request, now);
        sessions.handle_timeout(now + WATCH_TIME);
        assert!(!watch.is_open());
        let result = sessions.result("a", now + WATCH_TIME).unwrap();
        assert_eq!((result.device, result.witness.path(Path::Udp).requests), (1, 1));
    }

    #[test]
    fn messages_go_to_the_other_device_and_are_bounded_in_number_and_bytes() {
        let now = Instant::now();
        let mut sessions = two(now);
        let (number, _) = sessions.begin_poll("b", now).unwrap();
        assert_eq!(sessions.poll("b", number, true, false, now), Ok(None));
        for sent in 0..MAX_MESSAGES {
            sessions.send("a", sent.to_string(), now).unwrap();
            let polled = sessions.poll("b", number, true, false, now).unwrap().unwrap();
            assert_eq!(polled.messages, [sent.to_string()]);
        }
        assert_eq!(sessions.send("a", String::new(), now), Err(Refusal::TooManyMessages));

        let large = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(sessions.send("b", format!("{large}x"), now), Err(Refusal::TooLarge));
        for _ in 0..4 {
            sessions.send("b", large.clone(), now).unwrap();
        }
        assert_eq!(sessions.send("b", "x".to_owned(), now), Err(Refusal::TooManyMessages));
    }

    #[test]
    fn a_later_poll_ends_the_earlier_one_and_a_change_ends_both() {
        let now = Instant::now();
        let mut sessions = two(now);
        let (first, _) = sessions.begin_poll("a", now).unwrap();
        let (second, _) = sessions.begin_poll("a", now).unwrap();
        sessions.send("b", "hello".to_owned(), now).unwrap();
        assert!(sessions.poll("a", first, true, false, now).unwrap().unwrap().messages.is_empty());
        assert_eq!(sessions.poll("a", second, true, false, now).unwrap().unwrap().messages, ["hello"]);
        assert!(sessions.poll("a", second, false, false, now).unwrap().unwrap().peer, "it has not known of the other one");
    }

    #[test]
    fn a_message_needs_a_second_device_and_results_are_bounded() {
        let (watch, now) = (Watch::default(), Instant::now());
        let mut sessions = SessionTable::default();
        sessions.start("KEY".to_owned(), device("a", &watch, now), now);
        assert_eq!(sessions.send("a", "x".to_owned(), now), Err(Refusal::NoPeer));
        assert!((0..MAX_RESULTS).all(|_| sessions.result("a", now).is_ok()));
        assert_eq!(sessions.result("a", now).err(), Some(Refusal::TooManyResults));
    }
}
