//! Many clients at the bounds of the server: which rooms and messages are dropped, and which requests are refused. [`super`] has a tour
//! of the kit; [`Clients`] adds many addresses to it.

use std::net::Ipv4Addr;

use super::*;

const KIB: usize = 1024;
const MINUTE: Duration = Duration::from_secs(60);

/// A [`World`] with clients at many addresses; a number stands for each address.
struct Clients {
    world: World,
    sockets: u32,
    rooms: u32,
}

fn address(host: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x7f00_0000 + host).into()
}

impl Clients {
    fn new(max_rooms: usize) -> Self {
        let mut world = World::new();
        world.rooms.max_rooms = max_rooms;
        Self { world, sockets: 0, rooms: 0 }
    }

    fn context(&self, host: u32) -> EventContext {
        EventContext { from: address(host), ..self.world.context() }
    }

    fn join(&mut self, host: u32, room: &str) -> Result<Joined, Refusal> {
        let context = self.context(host);
        self.world.rooms.handle_join(room, false, context)
    }

    fn say(&mut self, host: u32, room: &str, client: &str, bytes: usize) -> Result<(), Refusal> {
        let context = self.context(host);
        self.world.rooms.handle_message(room, client, "x".repeat(bytes), context)
    }

    fn connect(&mut self, host: u32, room: &str, client: &str) {
        self.sockets += 1;
        let context = self.context(host);
        self.world.rooms.handle_register(room, client, &self.sockets, context).expect("a slot is free");
    }

    /// A caller sends an offer and forty candidates, and its callee joins. Returns the messages that the callee gets.
    fn call(&mut self, host: u32, room: &str) -> Vec<String> {
        let caller = self.join(host, room).expect("a place").client;
        self.connect(host, room, &caller);
        self.say(host, room, &caller, 8 * KIB).expect("its offer");
        (0..40).for_each(|_| self.say(host, room, &caller, 200).expect("a candidate"));
        self.join(host, room).expect("a place").messages
    }

    /// As [`Self::fill_from`], from each of 64 addresses.
    fn fill_from_64(&mut self, rooms: usize, connected: bool) {
        for host in 1..=64 {
            self.fill_from(host, rooms, connected);
        }
    }

    /// Opens rooms with one member each, which sends as much as it can. Returns the bytes that were queued.
    fn fill_from(&mut self, host: u32, rooms: usize, connected: bool) -> usize {
        let mut taken = 0;
        for _ in 0..rooms {
            self.rooms += 1;
            let room = format!("filled-{}", self.rooms);
            let Ok(joined) = self.join(host, &room) else { continue };
            if connected {
                self.connect(host, &room, &joined.client);
            }
            while self.say(host, &room, &joined.client, 128 * KIB).is_ok() {
                taken += 128 * KIB;
                assert!(taken < 1 << 30, "it never ends");
            }
        }
        self.world.assert_tables_agree();
        taken
    }

    fn has(&self, room: &str) -> bool {
        self.world.rooms.contains(room)
    }
}

#[test]
fn one_address_can_not_take_the_space_of_everybody() {
    let mut clients = Clients::new(10_000);
    assert!(clients.fill_from(1, 100, false) > MAX_QUEUED_BYTES - 1024 * KIB);
    let joined = clients.join(1, "more").expect("a place");
    assert_eq!(clients.say(1, "more", &joined.client, 128 * KIB), Err(SlotError::TooManyWaiting.into()), "it has most");
    assert!(clients.world.rooms.evictions().refused_messages > 0);
    let outputs = clients.call(2, "honest");
    assert_eq!((outputs.len(), outputs[0].len()), (41, 8 * KIB), "an offer and its candidates, in order");
}

#[test]
fn sixty_four_addresses_can_not_take_it_either_with_or_without_sockets() {
    for connected in [false, true] {
        let mut clients = Clients::new(10_000);
        clients.fill_from_64(4, connected);
        assert!(clients.world.rooms.counts().waiting > MAX_QUEUED_BYTES / 10 * 9);
        for caller in 0..10 {
            let outputs = clients.call(1000 + caller, &format!("honest-{caller}"));
            assert_eq!((outputs.len(), outputs[0].len()), (41, 8 * KIB), "connected: {connected}");
        }
    }
}

#[test]
fn a_connected_office_can_call_while_others_fill_rooms_without_sockets() {
    let mut clients = Clients::new(10_000);
    clients.fill_from_64(4, false);
    let callers: Vec<_> = (0..100)
        .map(|caller| {
            let room = format!("office-{caller}");
            let joined = clients.join(1000, &room).expect("a place");
            clients.connect(1000, &room, &joined.client);
            (0..41).for_each(|_| clients.say(1000, &room, &joined.client, 400).expect("space"));
            room
        })
        .collect();
    clients.fill_from_64(2, false);
    for room in callers {
        assert_eq!(clients.join(1000, &room).expect("a place").messages.len(), 41, "{room}");
    }
}

#[test]
fn rooms_without_sockets_keep_a_share_while_others_fill_rooms_with_sockets() {
    let mut clients = Clients::new(10_000);
    clients.fill_from_64(4, true);
    let joined = clients.join(1000, "honest").expect("a place");
    assert_eq!(clients.say(1000, "honest", &joined.client, 64 * KIB), Ok(()));
    clients.fill_from_64(8, true);
    assert_eq!(clients.join(1001, "honest").expect("a place").messages.len(), 1);
}

#[test]
fn a_message_counts_for_its_senders_address_and_not_for_the_rooms() {
    let mut clients = Clients::new(10_000);
    let victim = clients.join(1, "victims").expect("a place");
    assert_eq!(clients.say(1, "victims", &victim.client, KIB), Ok(()));
    // Another client that has learnt the id sends messages in its name, and fills the rest of the space.
    while clients.say(2, "victims", &victim.client, 128 * KIB).is_ok() {}
    clients.fill_from(2, 100, false);
    clients.fill_from(3, 100, false);
    assert_eq!(clients.say(1, "another", "1", 1), Err(Refusal::UnknownRoom));
    let messages = clients.join(4, "victims").expect("a place").messages;
    assert_eq!(messages.first().map(String::len), Some(KIB), "it was not the one with most");
}

#[test]
fn small_messages_count_with_their_overhead() {
    let mut clients = Clients::new(10_000);
    let joined = clients.join(1, "r").expect("a place");
    (0..MAX_MESSAGES).for_each(|_| clients.say(1, "r", &joined.client, 1).expect("space"));
    assert_eq!(clients.world.rooms.eviction.queued_bytes(), MAX_MESSAGES * (MESSAGE_OVERHEAD_BYTES + 1));
}

#[test]
fn at_the_bound_idle_rooms_end_after_a_minute_and_the_oldest_first() {
    let mut clients = Clients::new(3);
    for room in ["a", "b", "c"] {
        clients.join(1, room).expect("a place");
        clients.world.wait(SECOND);
    }
    clients.world.wait(MINUTE - 4 * SECOND);
    assert_eq!(clients.join(1, "d"), Err(Refusal::ServerFull), "not before, of one's own address");
    clients.world.wait(SECOND);
    assert!(clients.join(1, "d").is_ok());
    assert_eq!([clients.has("a"), clients.has("b"), clients.has("c")], [false, true, true]);
    assert_eq!(clients.world.rooms.evictions(), EvictionCounts { idle_rooms: 1, refused_rooms: 1, ..EvictionCounts::default() });
}

#[test]
fn below_the_bound_an_idle_room_is_kept_for_a_day() {
    let mut clients = Clients::new(3);
    let joined = clients.join(1, "a").expect("a place");
    clients.say(1, "a", &joined.client, KIB).expect("space");
    clients.world.wait(20 * 60 * MINUTE);
    assert_eq!(clients.join(2, "a").expect("a place").messages.len(), 0, "it is stale, and gives way to a join");
    assert!(clients.has("a"));
}

#[test]
fn a_used_room_and_a_connected_room_are_not_idle() {
    let mut clients = Clients::new(3);
    let used = clients.join(1, "used").expect("a place").client;
    let connected = clients.join(1, "connected").expect("a place").client;
    clients.connect(1, "connected", &connected);
    clients.join(1, "idle").expect("a place");
    clients.world.wait(MINUTE - SECOND);
    clients.say(1, "used", &used, 1).expect("space");
    clients.world.wait(MINUTE - SECOND);
    assert!(clients.join(1, "next").is_ok());
    assert_eq!([clients.has("used"), clients.has("connected"), clients.has("idle")], [true, true, false]);
}

#[test]
fn the_rooms_of_an_address_that_has_most_give_way_to_a_new_caller() {
    let mut clients = Clients::new(30);
    for count in 0..30 {
        clients.join(1 + count % 3, &format!("{count}")).expect("a place");
    }
    assert_eq!(clients.join(1, "more"), Err(Refusal::ServerFull), "its address has as many as any");
    for caller in 0..7 {
        assert!(clients.join(1000, &format!("honest-{caller}")).is_ok());
    }
    assert_eq!(clients.join(1000, "one more"), Err(Refusal::ServerFull), "by now it has as many as any");
    assert!((0..7).all(|caller| clients.has(&format!("honest-{caller}"))));
}

#[test]
fn rooms_with_one_socket_are_ended_after_those_without_and_a_call_of_two_never() {
    let mut clients = Clients::new(6);
    for room in ["call-1", "call-2"] {
        let (caller, callee) = (clients.join(1, room).unwrap().client, clients.join(1, room).unwrap().client);
        clients.connect(1, room, &caller);
        clients.connect(1, room, &callee);
    }
    for room in ["waits-1", "waits-2"] {
        let waits = clients.join(1, room).expect("a place").client;
        clients.connect(1, room, &waits);
        clients.world.wait(SECOND);
    }
    for room in ["empty-1", "empty-2"] {
        clients.join(1, room).expect("a place");
        clients.world.wait(SECOND);
    }
    let all = ["call-1", "call-2", "waits-1", "waits-2", "empty-1", "empty-2"];
    for (host, gone) in [(2, "empty-1"), (3, "waits-1")] {
        let before = all.map(|room| clients.has(room));
        clients.join(host, &host.to_string()).expect("a place");
        let after = all.map(|room| clients.has(room));
        let ended: Vec<_> = (0..6).filter(|room| before[*room] && !after[*room]).map(|room| all[room]).collect();
        assert_eq!(ended, [gone]);
    }
    assert_eq!(clients.join(4, "4"), Err(Refusal::ServerFull), "by now no address has more than one that could go");
}

#[test]
fn messages_in_idle_rooms_are_dropped_first_even_for_their_own_address() {
    let mut clients = Clients::new(10_000);
    clients.fill_from(1, 100, false);
    let caller = clients.join(1, "more").expect("a place").client;
    clients.world.wait(MINUTE - SECOND);
    assert_eq!(clients.say(1, "more", &caller, 512 * KIB), Err(SlotError::TooManyWaiting.into()));
    clients.world.wait(SECOND);
    assert_eq!(clients.say(1, "more", &caller, 512 * KIB), Ok(()));
    assert!(!clients.has("filled-1") && clients.has("filled-2"), "the least recently used one, and no more than needed");
}

#[test]
fn the_socket_of_an_evicted_room_is_closed() {
    let mut clients = Clients::new(2);
    for room in ["one", "two"] {
        let joined = clients.join(1, room).expect("a place");
        clients.connect(1, room, &joined.client);
        clients.world.wait(SECOND);
    }
    clients.world.outputs();
    assert!(clients.join(2, "new").is_ok());
    assert_eq!(clients.world.outputs(), ["1 closed"], "the one that was used least recently");
    assert_eq!([clients.has("one"), clients.has("two")], [false, true]);
}

/// Random events of many clients at the bounds keep all tables in agreement.
#[test]
fn random_crowds_keep_the_tables_in_agreement() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut clients = Clients::new(12);
    let mut known: Vec<(String, String, u32)> = Vec::new();
    for step in 0..4000_u32 {
        let host = rng.random_range(1..5);
        let (room, client, socket) = match known.get(rng.random_range(0..known.len().max(1))) {
            Some(known) if rng.random_bool(0.7) => known.clone(),
            _ => (rng.random_range(0..40).to_string(), "1".to_owned(), step),
        };
        let context = clients.context(host);
        let rooms = &mut clients.world.rooms;
        match rng.random_range(0..9) {
            0 | 1 => {
                if let Ok(joined) = rooms.handle_join(&room, rng.random_bool(0.1), context) {
                    known.push((room, joined.client, step));
                }
            }
            2 => drop(rooms.handle_register(&room, &client, &step, context).map(|()| known.push((room, client, step)))),
            3 | 4 => drop(rooms.handle_message(&room, &client, "x".repeat(rng.random_range(1..300_000)), context)),
            5 => drop(rooms.handle_post(&room, &client, "x".repeat(rng.random_range(1..300_000)), context)),
            6 => drop(rooms.handle_send(&room, &client, &socket, "x".repeat(rng.random_range(1..300_000)), context)),
            7 => rooms.handle_drop(&room, &client, &socket, context),
            _ => clients.world.wait(SECOND * rng.random_range(0..9)),
        }
        clients.world.outputs();
        if known.len() > 60 {
            known.drain(..20);
        }
    }
    assert!(clients.world.rooms.evictions().total() > 100, "{:?}", clients.world.rooms.evictions());
}
