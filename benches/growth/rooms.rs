//! Messages and seats of the cast rooms, with so many casts.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use castway::cast::model::{Output, Seated, Signal};
use castway::cast::room::Rooms;
use castway::socketio::gateway::client_id::ClientId;

use crate::measure::{Effort, Order};
use crate::results::{Kind, Results};
use crate::seats;

/// TVs that arrive faster than this wait for their codes.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(2);
const CANDIDATE: &str = r#"{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host","sdpMid":"0","sdpMLineIndex":0}"#;

pub(crate) struct Casts {
    rooms: Rooms<Arc<str>>,
    now: Instant,
    count: u32,
}

fn tv(number: u32) -> ClientId {
    ClientId::new(u64::from(number) * 2)
}

fn caster(number: u32) -> ClientId {
    ClientId::new(u64::from(number) * 2 + 1)
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x2D00_0000 + number).into()
}

impl Casts {
    /// Opens the rooms. In each of them an offer has been delivered, so that candidates pass.
    pub(crate) fn make(count: u32) -> Self {
        let now = Instant::now();
        let rooms = seats::rooms(count as usize + 1, now);
        let mut casts = Self { rooms, now, count };
        let offer: Arc<str> = "v=0".into();
        for number in 0..count {
            let code = casts.open(number).code;
            casts.join(number, code.as_str());
            casts.rooms.handle_signal(caster(number), Signal::Offer(Arc::clone(&offer)), offer.len()).expect("the TV is there");
            casts.drain();
        }
        assert_eq!(casts.rooms.len(), count as usize);
        casts
    }

    /// Measures candidates in all rooms and in ten of them, and seats that clients take and leave.
    pub(crate) fn measure(&mut self, effort: Effort, results: &mut Results) {
        let count = self.count;
        let mut add = |name, samples| results.add(name, Kind::Repeated, count, samples);
        add("a candidate to its TV", self.candidates(effort, Order::all(count)));
        add("a candidate to its TV, ten busy", self.candidates(effort, Order::ten(count)));
        add("a caster leaves and joins", self.casters(effort));
        add(
            "a TV gets a code and leaves",
            effort.time(|| {
                let seated = self.open(self.count);
                black_box(&seated.code);
                self.rooms.handle_leave(tv(self.count), self.now).expect("it has a seat");
                self.drain();
            }),
        );
        assert_eq!(self.rooms.len(), count as usize);
    }

    fn candidates(&mut self, effort: Effort, mut order: Order) -> Vec<f64> {
        let candidate: Arc<str> = CANDIDATE.into();
        effort.time(|| {
            let number = order.draw();
            let signal = Signal::Candidate(Arc::clone(&candidate));
            self.rooms.handle_signal(caster(number), signal, candidate.len()).expect("the TV is there");
            let output = self.rooms.poll_output();
            assert!(matches!(&output, Some(Output::Deliver { to, .. }) if *to == tv(number)), "{output:?}");
            // After each input, the gateway looks for another output and for the next time-out.
            black_box((self.rooms.poll_output(), self.rooms.next_timeout()));
        })
    }

    fn casters(&mut self, effort: Effort) -> Vec<f64> {
        let mut order = Order::all(self.count);
        effort.time(|| {
            let number = order.draw();
            let code = self.rooms.code_of(caster(number)).expect("it casts");
            self.rooms.handle_leave(caster(number), self.now).expect("it casts");
            self.join(number, code.as_str());
            self.drain();
            black_box(self.rooms.next_timeout());
        })
    }

    fn open(&mut self, number: u32) -> Seated {
        self.now += ARRIVAL_INTERVAL;
        seats::open(&mut self.rooms, tv(number), address(number), self.now)
    }

    fn join(&mut self, number: u32, code: &str) {
        seats::join(&mut self.rooms, caster(number), address(number), code, self.now);
    }

    fn drain(&mut self) {
        seats::drain(&mut self.rooms);
    }
}
