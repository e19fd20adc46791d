//! Bounds over all users: their descriptions, the users that they know, and the messages that wait for them.

use super::*;
use crate::multiconnection::model::EVENT_OVERHEAD_BYTES;
use crate::multiconnection::room::description_bytes::{MAX_SHARED_BYTES, MIN_BYTES_PER_USER};

const FEW: usize = 300;
const MANY: usize = 16 * 1024;
/// Users that hold as much as they can.
const GREEDY: u64 = 2000;

fn text(bytes: usize) -> &'static str {
    Box::leak("x".repeat(bytes).into_boxed_str())
}

/// A world without users, with capacity for thousands.
fn nobody() -> World {
    let mut world = World::with(&[]);
    (world.rooms.config.max_users, world.rooms.config.max_users_per_address) = (10_000, 10_000);
    world
}

impl World {
    /// Connects a user and opens a room with the user's name. The user's and the room's descriptions are `text`.
    fn come(&mut self, client: u64, name: &str, text: &'static str) {
        self.connect(client, UserHandshake { extra: text, ..viewer(name) }).expect("there is room");
        self.open(client, RoomRequest { session: text, extra: text, request_json: text, ..request(name) }).expect("it is free");
        self.rooms.handle_join_broadcast(client.into(), None, name, text, self.now);
    }

    /// The bytes of a user's and its room's descriptions that others can see.
    fn seen(&self, name: &str) -> [usize; 3] {
        let room = self.rooms.room(id(0), name).expect("it is there");
        [self.rooms.extra_of(name).expect("it is there"), room.session, room.extra].map(str::len)
    }

    fn is_bounded(&self) {
        self.agree();
        let (bytes, users) = (self.rooms.descriptions.bytes(), self.rooms.counts().users);
        assert!(bytes <= MAX_SHARED_BYTES + MIN_BYTES_PER_USER * users, "{bytes} bytes of {users} users");
    }
}

#[test]
fn what_all_users_say_of_themselves_is_bounded_and_those_with_most_lose_it() {
    let mut world = nobody();
    let (few, many) = (text(FEW), text(MANY));
    for user in 0..GREEDY {
        if user % 100 == 0 {
            world
                .connect(GREEDY + user, UserHandshake { extra: few, ..handshake(&format!("modest {user}")) })
                .expect("there is room");
            world.join(GREEDY + user, RoomRequest { extra: few, ..request("0") }).map_or_else(|_| (), drop);
        }
        world.come(user, &user.to_string(), many);
    }
    world.is_bounded();
    let outputs: Vec<_> = std::iter::from_fn(|| world.rooms.poll_output()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Disconnect(_))), "nobody is disconnected");
    assert_eq!(world.rooms.counts().users as u64, GREEDY + GREEDY / 100);
    for user in (0..GREEDY).step_by(100) {
        assert_eq!(world.rooms.extra_of(&format!("modest {user}")), Some(&few));
    }
    let lost: Vec<_> = (0..GREEDY).filter(|user| world.seen(&user.to_string()) == [2, 2, 2]).collect();
    assert!(lost.len() > GREEDY as usize / 2, "{} have lost everything", lost.len());
    assert_eq!(world.rooms.last_room_request(&lost[0].to_string()), Ok(Some(&"{}")));

    let again = lost[0].to_string();
    world.rooms.handle_extra(ClientId::from(lost[0]), few, world.now);
    assert_eq!(world.seen(&again), [FEW, 2, FEW], "it may say something again");
    for _ in 0..100 {
        world.rooms.handle_extra(ClientId::from(lost[0]), many, world.now);
        world.is_bounded();
    }

    for user in 0..GREEDY {
        world.leave(user);
    }
    world.agree();
    for user in (0..GREEDY).step_by(100) {
        assert_eq!(world.rooms.extra_of(&format!("modest {user}")), Some(&few));
        world.leave(GREEDY + user);
    }
    world.agree();
    assert_eq!(world.rooms.descriptions.bytes(), 0, "what is gone is given back");
}

#[test]
fn who_gets_a_room_of_somebody_that_said_much_does_not_pay_for_it() {
    let mut world = nobody();
    let (few, many) = (text(FEW), text(MANY));
    world.come(1, "a", many);
    world.connect(2, UserHandshake { extra: few, ..handshake("new_owner") }).expect("there is room");
    world.join(2, RoomRequest { extra: few, ..request("a") }).expect("it is open");
    world.leave(1);
    for user in 3..GREEDY {
        world.connect(user, UserHandshake { extra: many, ..handshake(&user.to_string()) }).expect("there is room");
    }
    world.is_bounded();
    assert_eq!(world.rooms.extra_of("new_owner"), Some(&few));
    assert!(world.rooms.room(id(0), "a").is_some_and(|room| room.session == "{}"));
}

#[test]
fn users_that_come_and_go_without_a_word_are_bounded_too() {
    let mut world = nobody();
    let many = text(MANY);
    for user in 0..GREEDY {
        world.connect(user, UserHandshake { extra: many, ..handshake(&user.to_string()) }).expect("there is room");
        world.drop(user);
    }
    world.is_bounded();
    // With fewer users the bound is lower.
    for user in (0..GREEDY).rev() {
        world.rooms.handle_delete_user(&user.to_string(), world.now);
        if user % 100 == 0 {
            world.is_bounded();
        }
    }
    assert_eq!(world.rooms.descriptions.bytes(), 0);
}

#[test]
fn what_only_admins_see_is_lost_first() {
    let mut world = nobody();
    let (few, rest) = (text(FEW), text(MANY / 2));
    world.connect(0, UserHandshake { extra: few, ..handshake("a") }).expect("there is room");
    world.open(0, RoomRequest { session: few, extra: few, request_json: text(MANY), ..request("a") }).expect("it is free");
    let mut user = 0;
    while world.rooms.last_room_request("a") != Ok(Some(&"{}")) {
        user += 1;
        world.connect(user, UserHandshake { extra: rest, ..handshake(&user.to_string()) }).expect("there is room");
    }
    world.is_bounded();
    assert_eq!(world.seen("a"), [FEW; 3]);
}

#[test]
fn a_rooms_descriptions_are_its_owners_whoever_that_is() {
    let mut world = nobody();
    world.come(1, "a", text(MANY));
    world.connect(2, handshake("b")).expect("there is room");
    world.join(2, request("a")).expect("it is open");
    world.agree();
    world.leave(1);
    world.agree();
    let own = "extra".len() + "about".len();
    assert_eq!(world.rooms.descriptions.bytes(), 2 * MANY + own);
    let weighed = world.rooms.description_bytes(world.rooms.users.by_id("b").expect("it is there"));
    assert_eq!(weighed, Some(2 * MANY + own));
    // A failed join still changes the extra data.
    assert_eq!(world.join(2, RoomRequest { extra: "longer extra", ..request("nowhere") }), Err(Refusal::NotAvailable));
    world.agree();
    assert_eq!(world.rooms.descriptions.bytes(), "longer extra".len() + "about".len());
}

#[test]
fn the_streams_of_a_broadcast_count_until_it_is_over() {
    let mut world = nobody();
    for (client, name) in [(1, "show"), (2, "b")] {
        world.connect(client, viewer(name)).expect("there is room");
        world.rooms.handle_join_broadcast(ClientId::from(client), None, "show", text(MANY), world.now);
        world.agree();
    }
    let held = world.rooms.descriptions.bytes();
    assert_eq!(held, 2 * MANY + 4);
    world.leave(1);
    world.agree();
    assert_eq!(world.rooms.descriptions.bytes(), 2);
}

#[test]
fn peers_of_all_users_are_bounded_and_a_few_are_always_left() {
    const CROWD: u64 = 520;
    let mut world = nobody();
    for user in 0..CROWD + 70 {
        world.connect(user, handshake(&user.to_string())).expect("there is room");
    }
    for user in 0..CROWD {
        for other in 0..user {
            world.send(user, &other.to_string(), "hi");
        }
        while world.rooms.poll_output().is_some() {}
    }
    assert!(CROWD * (CROWD - 1) > MAX_TOTAL_PEERS as u64);
    let held = world.rooms.users.peers();
    assert!((MAX_TOTAL_PEERS..MAX_TOTAL_PEERS + 2 * MIN_PEERS_PER_USER).contains(&held), "{held}");
    for other in CROWD + 1..CROWD + 70 {
        world.send(CROWD, &other.to_string(), "hi");
    }
    let connected = world.sent().iter().filter(|line| line.starts_with(&format!("{CROWD} +"))).count();
    assert_eq!(connected, MIN_PEERS_PER_USER);
    world.send(0, "1", "those who know each other still talk");
    assert_eq!(world.sent().len(), 1);
    let (all, first) = (world.rooms.users.peers(), world.rooms.users.by_id("0").expect("it is there"));
    let of_first = world.rooms.users[first].peers.len();
    assert_eq!(all, held + 2 * MIN_PEERS_PER_USER);
    world.leave(0);
    assert_eq!(world.rooms.users.peers(), all - 2 * of_first);
    world.sent();
}

#[test]
fn events_that_say_little_count_while_they_wait() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.drop(1);
    let before = world.rooms.ledger.bytes();
    for _ in 0..100 {
        world.send(2, "a", "");
        world.rooms.handle_disconnect_with(id(2), "a", world.now);
    }
    world.sent();
    let waiting = world.rooms.ledger.bytes() - before;
    assert!(waiting >= 256 * EVENT_OVERHEAD_BYTES, "{waiting}");
    let log = Event::<&str>::Log("x".repeat(500));
    assert_eq!(log.bytes(), EVENT_OVERHEAD_BYTES + 500);
}
