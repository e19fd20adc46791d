//! Transcripts of the RTCMultiConnection rooms: inputs from clients over time, and the messages that each client is sent. The
//! tests control the clock.
//!
//! **A tour of the kit.** [`World`] has the rooms and the time. [`World::with`] connects users with these ids as the clients 1,
//! 2, …; [`World::room`] also puts them into the room "r". `connect`, `open`, `join`, `send`, `drop`, `leave` and `wait` are
//! inputs; `sent` returns the outputs since its last call, one on each line, and checks that the tables agree. [`handshake`] and
//! [`request`] are the simplest arguments. `succession_tests` reload pages, `bounds_tests` fill the tables.

use std::time::Duration;

use super::*;
use crate::config::secret::Secret;
use crate::multiconnection::model::{RoomRequest, UserMessage};
use crate::multiconnection::room::exchange::{MAX_TOTAL_PEERS, MIN_PEERS_PER_USER};
use crate::multiconnection::room::membership::MAX_LISTED_BYTES;

#[path = "bounds_tests.rs"]
mod bounds;
#[path = "succession_tests.rs"]
mod succession;

const GRACE: Duration = Duration::from_secs(20);
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

impl OpaqueJson for &'static str {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn empty() -> Self {
        "{}"
    }
}

fn id(client: u64) -> ClientId {
    ClientId::new(client)
}

struct World {
    rooms: Rooms<&'static str>,
    now: Instant,
}

fn handshake(id: &str) -> UserHandshake<&'static str> {
    let mut proof = [0; 32];
    proof.iter_mut().zip(id.bytes()).for_each(|(to, from)| *to = from);
    UserHandshake {
        id: Some(id.into()),
        proof: Some(proof),
        from: HOME,
        fingerprint: [0; 32],
        extra: "{}",
        message_event: "message".into(),
        custom_event: "custom".into(),
        auto_close: false,
        max_participants: 1000,
        max_viewers_per_member: None,
    }
}

#[test]
fn an_operator_sees_rooms_and_closes_one() {
    let mut world = World::with(&["a", "b", "c"]);
    world.open(1, request("first")).expect("it is free");
    world.open(2, request("second")).expect("it is free");
    world.join(3, request("second")).expect("it is open");
    world.drop(3);
    let listed = |world: &World| -> Vec<String> {
        let row = |room: crate::multiconnection::model::ListedRoom<'_>| {
            let users: Vec<_> = room.users.iter().map(|user| format!("{}{}", user.id, user.client.map_or("?", |_| ""))).collect();
            format!("{} {} {} {}", room.number, room.id, room.count, users.join(" "))
        };
        world.rooms.listed_after(0).map(row).collect()
    };
    assert_eq!(listed(&world), ["1 first 1 a", "2 second 2 b c?"]);
    world.sent();
    assert_eq!(world.rooms.handle_operator_end(2, world.now).as_deref(), Some("second"));
    assert_eq!(world.sent(), ["2 closed"]);
    assert_eq!(listed(&world), ["1 first 1 a"]);
    assert_eq!(world.rooms.handle_operator_end(2, world.now), None);
    world.leave(1);
    world.connect(4, handshake("d")).expect("there is room");
    world.open(4, request("first")).expect("it is free");
    assert_eq!(listed(&world), ["3 first 1 d"], "another room by the same name");
}

fn request(room: &str) -> RoomRequest<&'static str> {
    RoomRequest {
        room: room.into(),
        broadcast: None,
        session: "session",
        one_way: false,
        extra: "extra",
        identifier: None,
        password: None,
        request_json: "about",
    }
}

fn secret(password: &str) -> Secret<String> {
    Secret::new(password.to_owned())
}

fn one_way(room: &str) -> RoomRequest<&'static str> {
    RoomRequest { one_way: true, ..request(room) }
}

fn locked(room: &str, password: &str) -> RoomRequest<&'static str> {
    RoomRequest { password: Some(secret(password)), ..request(room) }
}

impl World {
    /// Connects users with these ids as the clients 1, 2, ….
    fn with(ids: &[&str]) -> Self {
        let config = RoomsConfig { grace: GRACE, max_users: 6, max_users_per_client: 5, max_wrong_passwords_per_minute: 3 };
        let mut world = Self { rooms: Rooms::new(config, [9; 32]), now: Instant::now() };
        for (client, id) in (1..).zip(ids) {
            world.connect(client, handshake(id)).expect("there is room");
        }
        assert_eq!(world.sent(), [""; 0]);
        world
    }

    /// The first user opens the room "r", all others join it, and all outputs are drained.
    fn room(ids: &[&str], room: RoomRequest<&'static str>) -> Self {
        let mut world = Self::with(ids);
        let join = RoomRequest { password: room.password.clone(), ..request("r") };
        world.open(1, room).expect("it is free");
        for client in 2..=ids.len() as u64 {
            world.join(client, join.clone()).expect("it is open");
        }
        world.sent();
        world
    }

    fn connect(&mut self, client: impl Into<ClientId>, handshake: UserHandshake<&'static str>) -> Result<(), Refusal> {
        self.rooms.handle_connect(client.into(), handshake, self.now)
    }

    fn open(&mut self, client: impl Into<ClientId>, request: RoomRequest<&'static str>) -> Result<(), Refusal> {
        self.rooms.handle_open(client.into(), request, self.now)
    }

    fn join(&mut self, client: impl Into<ClientId>, request: RoomRequest<&'static str>) -> Result<(), Refusal> {
        self.rooms.handle_join(client.into(), request, self.now)
    }

    fn send(&mut self, client: impl Into<ClientId>, to: &str, message: &'static str) {
        let message = UserMessage { to: to.to_owned(), message, participation: false, user_left: message == "bye" };
        self.rooms.handle_message(client.into(), message, self.now);
    }

    fn ask_in(&mut self, client: impl Into<ClientId>, to: &str) {
        let message = UserMessage { to: to.to_owned(), message: "let me in", participation: true, user_left: false };
        self.rooms.handle_message(client.into(), message, self.now);
    }

    fn drop(&mut self, client: impl Into<ClientId>) {
        self.rooms.handle_drop(client.into(), self.now);
    }

    fn leave(&mut self, client: impl Into<ClientId>) {
        self.rooms.handle_leave(client.into(), self.now);
    }

    /// Lets time pass, and handles every timeout when it is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.rooms.next_timeout().filter(|&due| due <= end) {
            self.now = due.max(self.now);
            self.rooms.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// The outputs since the last call, one on each line.
    fn sent(&mut self) -> Vec<String> {
        self.agree();
        let line = |output| match output {
            Output::Disconnect(client) => format!("{client} closed"),
            Output::Send { to, event } => {
                let text = match event {
                    Event::UserConnected(user) => format!("+{user}"),
                    Event::UserDisconnected(user) => format!("-{user}"),
                    Event::ExtraDataUpdated { user, extra } => format!("{user}: {extra}"),
                    Event::IdTaken { taken, instead } => {
                        format!("{taken} is taken, {}", if instead.len() == 16 { "random" } else { &instead })
                    }
                    Event::Owner(room) => format!("owns {room}"),
                    Event::Message { event, to, sender, message, extra } => {
                        format!("{event} {sender}>{to} {message} {}", extra.unwrap_or("-"))
                    }
                    Event::Custom { event, message } => format!("{event}! {message}"),
                    Event::StartBroadcasting { types } => format!("start {types}"),
                    Event::JoinBroadcaster { types, user, broadcast } => format!("receive {types} of {broadcast} from {user}"),
                    Event::RejoinBroadcast(broadcast) => format!("rejoin {broadcast}"),
                    Event::BroadcastStopped(broadcast) => format!("{broadcast} stopped"),
                    Event::BroadcastMessage(message) => format!("broadcast {message}"),
                    Event::Viewers { count, broadcast } => format!("{broadcast} has {count} viewers"),
                    Event::Log(text) => format!("log {text}"),
                    Event::AdminUpdate { rooms, users, broadcasting } => {
                        format!("news: rooms {:?}, users {users}, broadcasting {broadcasting}", rooms.map(|rooms| rooms.len()))
                    }
                };
                format!("{to} {text}")
            }
        };
        std::iter::from_fn(|| self.rooms.poll_output()).map(line).collect()
    }

    /// Asserts that the tables agree.
    fn agree(&self) {
        let rooms = &self.rooms;
        assert!(rooms.users.agree(), "users");
        assert_eq!(rooms.numbers.len(), rooms.rooms.len(), "a number without its room");
        assert!(rooms.rooms.iter().all(|(id, room)| rooms.numbers.name(room.number) == Some(id)));
        assert!(rooms.broadcasts.agree(), "broadcasts");
        assert!(rooms.descriptions.agree(rooms.users.len(), |user| rooms.description_bytes(user)), "descriptions");
        for (id, room) in &rooms.rooms {
            assert!(room.participants.contains(&room.owner), "the owner is in the room");
            assert!(room.participants.len() <= room.max_participants);
            for participant in &room.participants {
                assert_eq!(rooms.users[*participant].room.as_ref(), Some(id));
            }
        }
        assert_eq!(rooms.timers.len(), rooms.users.away(), "a timer for each who is away");
    }
}

#[test]
fn a_session_of_two_from_opening_to_farewell() {
    let mut world = World::with(&["a", "b"]);
    assert_eq!(world.open(1, request("r")), Ok(()));
    assert_eq!(world.join(2, request("r")), Ok(()));
    world.ask_in(2, "r");
    assert_eq!(world.sent(), ["1 message b>a let me in -"]);
    world.send(1, "b", "ready");
    world.send(2, "a", "offer");
    assert_eq!(world.sent(), ["1 +b", "2 +a", "2 message a>b ready extra", "1 message b>a offer extra"]);
    world.leave(2);
    assert_eq!(world.sent(), ["1 -b"]);
    world.leave(1);
    assert_eq!((world.sent(), world.rooms.counts()), (vec![], RoomCounts::default()));
}

#[test]
fn a_room_is_opened_once_and_again_when_it_is_empty() {
    let mut world = World::room(&["a", "b", "c"], request("r"));
    assert_eq!(world.open(1, request("r")), Err(Refusal::NotAvailable), "it left first, and b has the room now");
    assert_eq!(world.sent(), ["2 owns r"]);
    world.leave(2);
    world.leave(3);
    assert_eq!(world.open(1, request("r")), Ok(()));
    assert_eq!(world.open(1, request("r")), Ok(()), "alone in it, it left it empty");
    assert_eq!(world.sent(), ["3 owns r"]);
}

#[test]
fn joining_is_refused_for_the_first_reason() {
    let mut world = World::with(&["a", "b", "c"]);
    assert_eq!(world.join(2, request("r")), Err(Refusal::NotAvailable));
    world.leave(1);
    world.connect(4, UserHandshake { max_participants: 2, ..handshake("d") }).expect("there is room");
    world.open(4, locked("r", "pw")).expect("free");
    assert_eq!(world.join(2, request("r")), Err(Refusal::InvalidPassword));
    assert_eq!(world.join(2, locked("r", "wp")), Err(Refusal::InvalidPassword));
    assert_eq!(world.join(2, locked("r", "pw")), Ok(()));
    assert_eq!(world.join(3, locked("r", "nonsense")), Err(Refusal::InvalidPassword), "before it is full");
    assert_eq!(world.join(3, locked("r", "pw")), Err(Refusal::Full));
    assert_eq!(world.join(2, locked("r", "pw")), Ok(()), "it left first");
}

#[test]
fn a_failed_join_has_left_the_old_room() {
    let mut world = World::room(&["a", "b"], request("r"));
    assert_eq!(world.join(1, request("nowhere")), Err(Refusal::NotAvailable));
    assert_eq!(world.sent(), ["2 owns r"]);
    assert_eq!(world.rooms.handle_set_password(id(1), None), (None, Err(Refusal::NotInRoom)));
}

#[test]
fn the_first_to_remain_gets_the_room() {
    let mut world = World::room(&["a", "b", "c"], request("r"));
    world.leave(1);
    assert_eq!(world.sent(), ["2 owns r"]);
    assert_eq!(*world.rooms.room(id(0), "r").expect("it lives").owner, *"b");
    world.leave(3);
    assert_eq!(world.sent(), [""; 0]);
    world.leave(2);
    assert!(world.rooms.room(id(0), "r").is_none());
}

#[test]
fn some_rooms_end_with_their_owner() {
    for auto_close in [true, false] {
        let mut world = World::with(&["b"]);
        world.connect(7, UserHandshake { auto_close, ..handshake("a") }).expect("there is room");
        world.open(7, if auto_close { request("r") } else { one_way("r") }).expect("free");
        world.join(1, request("r")).expect("open");
        world.leave(7);
        assert!(world.sent().is_empty() && world.rooms.room(id(0), "r").is_none());
        assert_eq!(world.open(1, request("r")), Ok(()));
    }
}

#[test]
fn only_the_owner_of_a_one_way_room_is_asked() {
    let mut world = World::room(&["a", "b", "c"], one_way("r"));
    world.ask_in(3, "r");
    assert_eq!(world.sent(), ["1 message c>a let me in -"]);
    world.ask_in(1, "r");
    assert_eq!(world.sent(), [""; 0]);
    let mut world = World::room(&["a", "b", "c"], request("r"));
    world.ask_in(3, "r");
    assert_eq!(world.sent(), ["1 message c>a let me in -", "2 message c>b let me in -"]);
}

#[test]
fn a_user_outside_a_room_cannot_ask_to_participate_in_it() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.connect(5, handshake("stranger")).expect("there is room");
    world.ask_in(5, "r");
    assert_eq!(world.sent(), [""; 0]);
    world.ask_in(5, "a");
    assert_eq!(world.sent(), ["5 +a", "1 +stranger", "1 message stranger>a let me in {}"], "a user, not a room");
}

#[test]
fn messages_connect_two_users_once() {
    let mut world = World::with(&["a", "b"]);
    world.send(1, "b", "bye");
    world.send(1, "a", "to itself");
    world.send(1, "nobody", "handshake");
    assert_eq!(world.sent(), [""; 0]);
    world.send(1, "b", "hi");
    world.send(2, "a", "bye");
    assert_eq!(world.sent(), ["1 +b", "2 +a", "2 message a>b hi {}", "1 message b>a bye {}"]);
    world.rooms.handle_disconnect_with(id(1), "b", world.now);
    world.rooms.handle_disconnect_with(id(1), "b", world.now);
    world.rooms.handle_disconnect_with(id(1), "nobody", world.now);
    assert_eq!(world.sent(), ["2 -a", "1 -b"]);
}

#[test]
fn applications_with_event_names_of_their_own_receive_nothing_from_each_other() {
    let mut world = World::room(&["a"], request("r"));
    world.connect(5, UserHandshake { message_event: "other".into(), ..handshake("x") }).expect("there is room");
    world.join(5, request("r")).expect("open");
    world.ask_in(5, "r");
    world.send(5, "a", "hi");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn extra_data_goes_once_to_peers_and_room_and_the_owners_is_the_rooms() {
    let mut world = World::room(&["a", "b", "c", "d"], request("r"));
    world.leave(4);
    world.connect(6, handshake("peer")).expect("there is room");
    world.send(1, "peer", "hi");
    world.send(1, "b", "hi");
    world.sent();
    world.rooms.handle_extra(id(1), "new", world.now);
    let mut sent = world.sent();
    sent.sort();
    assert_eq!(sent, ["2 a: new", "3 a: new", "6 a: new"]);
    assert_eq!(world.rooms.room(id(0), "r").expect("it lives").extra, "new");
    world.rooms.handle_extra(id(2), "b's", world.now);
    assert_eq!(world.rooms.room(id(0), "r").expect("it lives").extra, "new");
    assert_eq!(world.rooms.extra_of("b"), Some(&"b's"));
    assert_eq!(world.rooms.extra_of("nobody"), None);
}

#[test]
fn passwords_are_the_owners_business() {
    let mut world = World::room(&["a", "b"], request("r"));
    let (now, right, wrong) = (world.now, secret("pw"), secret("wp"));
    assert_eq!(world.rooms.handle_password_check(id(2), "r", &right, now), Err(Refusal::NoPassword));
    assert_eq!(world.rooms.handle_password_check(id(2), "nowhere", &right, now), Err(Refusal::NotAvailable));
    assert_eq!(world.rooms.handle_set_password(id(2), Some(right.clone())), (Some("r".into()), Err(Refusal::PermissionDenied)));
    assert_eq!(world.rooms.handle_set_password(id(1), Some(right.clone())), (Some("r".into()), Ok(())));
    assert!(world.rooms.room(id(0), "r").expect("it lives").is_password_protected);
    assert_eq!(world.rooms.handle_password_check(id(2), "r", &right, now), Ok(()));
    assert_eq!(world.rooms.handle_password_check(id(2), "r", &wrong, now), Err(Refusal::InvalidPassword));
    assert_eq!(world.rooms.handle_set_password(id(1), None), (Some("r".into()), Ok(())));
    assert!(!world.rooms.room(id(0), "r").expect("it lives").is_password_protected);
}

#[test]
fn wrong_passwords_are_counted_by_address() {
    let mut world = World::room(&["a", "b"], locked("r", "pw"));
    for _ in 0..3 {
        assert_eq!(world.join(2, locked("r", "wp")), Err(Refusal::InvalidPassword));
    }
    assert_eq!(world.join(2, locked("r", "pw")), Err(Refusal::TooManyGuesses));
    let (now, right) = (world.now, secret("pw"));
    assert_eq!(world.rooms.handle_password_check(id(2), "r", &right, now), Err(Refusal::TooManyGuesses));
    world.wait(Duration::from_secs(60));
    assert_eq!(world.join(2, locked("r", "pw")), Ok(()));
}

#[test]
fn public_rooms_are_found_by_their_identifier() {
    let mut world = World::with(&["a", "b"]);
    world.open(1, RoomRequest { identifier: Some("fans".into()), ..locked("r", "pw") }).expect("free");
    world.open(2, request("private")).expect("free");
    let found = world.rooms.public_rooms(id(0), "fans");
    assert_eq!(found.len(), 1);
    let room = &found[0];
    assert_eq!((&*room.id, &*room.owner, room.participants.len(), room.is_full), ("r", "a", 1, false));
    assert!(room.is_password_protected);
    assert!(world.rooms.public_rooms(id(0), "others").is_empty());
}

#[test]
fn an_id_has_one_user() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.connect(5, UserHandshake { proof: Some([7; 32]), ..handshake("a") }).expect("there is room");
    assert_eq!(world.sent(), ["5 a is taken, random"]);
    assert!(!world.rooms.handle_rename(id(2), "a".into(), world.now));
    assert_eq!(world.sent(), ["2 a is taken, b"]);
    assert!(!world.rooms.handle_rename(id(2), "admin".into(), world.now));
    world.sent();
    assert!(world.rooms.handle_rename(id(2), "b".into(), world.now), "its own");
    world.send(1, "b", "hi");
    world.sent();
    assert!(world.rooms.handle_rename(id(2), "c".into(), world.now));
    world.send(1, "c", "hi");
    world.send(1, "b", "nobody now");
    assert_eq!(world.sent(), ["2 message a>c hi extra"]);
    world.connect(6, UserHandshake { proof: Some([8; 32]), ..handshake("b") }).expect("the old id is free");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn a_dropped_owner_takes_its_place_back_and_nobody_notices() {
    let mut world = World::room(&["a", "b"], one_way("r"));
    world.send(2, "a", "hi");
    world.sent();
    world.drop(1);
    world.send(2, "a", "are you there?");
    world.wait(GRACE - Duration::from_secs(1));
    assert_eq!(world.sent(), [""; 0]);
    assert!(world.rooms.room(id(0), "r").is_some());
    world.connect(11, handshake("a")).expect("its own place");
    assert_eq!(world.sent(), ["11 message b>a are you there? extra"]);
    world.wait(2 * GRACE);
    world.rooms.handle_set_password(id(11), Some(secret("pw"))).1.expect("it owns the room");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn a_place_is_taken_over_while_the_old_connection_seems_to_live() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.connect(11, handshake("a")).expect("its own place");
    assert_eq!(world.sent(), ["1 closed"]);
    world.drop(1);
    world.send(1, "b", "from the old one");
    assert_eq!(world.sent(), [""; 0]);
    world.send(11, "b", "from the new one");
    assert_eq!(world.sent(), ["11 +b", "2 +a", "2 message a>b from the new one extra"]);
}

#[test]
fn a_place_is_not_stolen() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.drop(1);
    world.connect(11, UserHandshake { proof: Some([1; 32]), ..handshake("a") }).expect("there is room");
    assert_eq!(world.sent(), ["11 a is taken, random"]);
    assert_eq!(world.rooms.handle_set_password(id(11), None), (None, Err(Refusal::NotInRoom)));
    world.drop(11);
    world.wait(GRACE);
    assert_eq!(world.sent(), ["2 owns r"]);
    world.connect(12, UserHandshake { proof: Some([1; 32]), ..handshake("a") }).expect("there is room");
    assert_eq!(world.sent(), [""; 0], "the id is free");
}

#[test]
fn a_renamed_user_comes_back_by_the_handshake_it_had() {
    let mut world = World::room(&["a", "b"], request("r"));
    assert!(world.rooms.handle_rename(id(1), "new".into(), world.now));
    world.drop(1);
    world.connect(11, handshake("a")).expect("its own place");
    world.send(2, "new", "hi");
    assert_eq!(world.sent(), ["2 +new", "11 +b", "11 message b>new hi extra"]);
}

#[test]
fn a_user_without_a_proof_has_no_grace() {
    let mut world = World::with(&["b"]);
    world.connect(5, UserHandshake { id: None, proof: None, ..handshake("") }).expect("there is room");
    world.open(5, request("r")).expect("free");
    world.drop(5);
    assert_eq!(world.rooms.counts(), RoomCounts { users: 1, away: 0, rooms: 0 });
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn the_grace_ends_as_a_farewell_does() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.send(1, "b", "hi");
    world.sent();
    world.drop(1);
    assert_eq!(world.rooms.counts(), RoomCounts { users: 2, away: 1, rooms: 1 });
    world.wait(GRACE);
    assert_eq!(world.sent(), ["2 -a", "2 owns r"]);
    assert_eq!(world.rooms.next_timeout(), None);
}

#[test]
fn events_that_wait_for_a_user_are_bounded() {
    let mut world = World::room(&["a", "b"], request("r"));
    world.drop(1);
    for _ in 0..1000 {
        world.send(2, "a", "hi");
    }
    world.sent();
    world.connect(11, handshake("a")).expect("its own place");
    assert_eq!(world.sent().len(), 256);
    let long: &'static str = Box::leak("x".repeat(100 * 1024).into_boxed_str());
    world.drop(11);
    for _ in 0..9 {
        world.send(2, "a", long);
    }
    world.connect(12, handshake("a")).expect("its own place");
    assert_eq!(world.sent().len(), 7, "of 100 KiB each in 768");
    assert_eq!(world.rooms.ledger.bytes(), 0);
}

#[test]
fn events_that_wait_for_all_users_are_bounded_and_the_user_with_most_loses_its() {
    let mut world = World::room(&["a", "b", "c"], request("r"));
    world.rooms.ledger = Ledger::new(250 * 1024, 0);
    let long: &'static str = Box::leak("x".repeat(100 * 1024).into_boxed_str());
    world.drop(1);
    world.drop(3);
    world.send(2, "a", "hi");
    for _ in 0..3 {
        world.send(2, "c", long);
    }
    world.send(2, "c", "the last one");
    world.sent();
    world.connect(11, handshake("a")).expect("its own place");
    assert_eq!(world.sent().len(), 2, "that they are connected, and one message");
    world.connect(13, handshake("c")).expect("its own place");
    assert_eq!(world.sent().len(), 1, "what came after");
    assert_eq!(world.rooms.ledger.bytes(), 0);
}

#[test]
fn the_bytes_of_a_room_list_are_bounded() {
    let mut world = World::with(&[]);
    (world.rooms.config.max_users, world.rooms.config.max_users_per_client) = (100, 100);
    let extra = |bytes: usize| -> &'static str { Box::leak("x".repeat(bytes).into_boxed_str()) };
    for user in 0..20 {
        let name: &'static str = Box::leak(format!("user {user}").into_boxed_str());
        world.connect(user, UserHandshake { proof: None, ..handshake(name) }).expect("there is room");
        let extra = extra(if user == 7 { 100 * 1024 } else { 10 * 1024 });
        world.open(user, RoomRequest { identifier: Some("fans".into()), extra, ..request(name) }).expect("free");
    }
    let found = world.rooms.public_rooms(id(0), "fans");
    let bytes: usize = found.iter().map(|room| room.bytes()).sum();
    assert!(found.len() == 5 && bytes <= MAX_LISTED_BYTES, "{} rooms of {bytes} bytes", found.len());
}

#[test]
fn users_of_a_server_and_of_a_client_are_bounded() {
    let mut world = World::with(&["a", "b", "c", "d", "e"]);
    assert_eq!(world.connect(6, handshake("f")), Err(Refusal::ServerFull), "from one network");
    let elsewhere = "198.51.100.1".parse().expect("an address");
    world.connect(6, UserHandshake { from: elsewhere, ..handshake("f") }).expect("there is room");
    world
        .connect(7, UserHandshake { from: elsewhere, ..handshake("g") })
        .expect("the newest of the network that has most makes way");
    assert_eq!(world.sent(), ["5 closed"]);
    world.connect(8, UserHandshake { from: elsewhere, ..handshake("h") }).expect("once more");
    assert_eq!(world.sent(), ["4 closed"]);
    assert_eq!(
        world.connect(9, UserHandshake { from: elsewhere, ..handshake("i") }),
        Err(Refusal::ServerFull),
        "both have three"
    );
    world.drop(1);
    assert_eq!(world.connect(11, handshake("a")), Ok(()), "its own place");
    world.drop(11);
    world.connect(9, UserHandshake { from: elsewhere, ..handshake("i") }).expect("who is away makes way first");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn custom_events_stay_in_the_room() {
    let mut world = World::room(&["a", "b", "c"], request("r"));
    world.leave(3);
    world.connect(4, handshake("outside")).expect("there is room");
    world.rooms.handle_custom(id(1), "custom", "from the handshake");
    world.rooms.handle_custom(id(1), "mine", "nobody listens yet");
    world.rooms.handle_announce_custom_event(id(1), "mine".into());
    world.rooms.handle_announce_custom_event(id(1), "mine".into());
    world.rooms.handle_custom(id(1), "mine", "once");
    world.rooms.handle_custom(id(4), "custom", "in no room");
    assert_eq!(world.sent(), ["2 custom! from the handshake", "2 mine! once"]);
    world.rooms.handle_announce_custom_event(id(1), "message".into());
    world.rooms.handle_custom(id(1), "message", "a forged message");
    assert_eq!(world.sent(), [""; 0]);
    for n in 0..100 {
        world.rooms.handle_announce_custom_event(id(1), format!("n{n}").into());
    }
    world.rooms.handle_custom(id(1), "n99", "too many names");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn a_user_is_not_present_to_itself() {
    let world = World::with(&["a", "b"]);
    assert!(world.rooms.is_present(id(1), "b"));
    assert!(!world.rooms.is_present(id(1), "a") && !world.rooms.is_present(id(1), "c"));
}

fn viewer(id: &str) -> UserHandshake<&'static str> {
    UserHandshake { max_viewers_per_member: Some(1), ..handshake(id) }
}

#[test]
fn a_scalable_broadcast_from_start_to_end() {
    let mut world = World::with(&[]);
    for (client, id) in [(1, "x"), (2, "v"), (3, "w")] {
        world.connect(client, viewer(id)).expect("there is room");
    }
    let now = world.now;
    assert!(!world.rooms.is_broadcasting(id(1), "show"));
    world.rooms.handle_join_broadcast(id(1), Some("show".into()), "show", "video", now);
    let started = ["1 show has 0 viewers", "1 start video", "1 log You <show> are now serving the broadcast."];
    assert_eq!(world.sent(), started);
    assert!(world.rooms.is_broadcasting(id(1), "show"));
    world.rooms.handle_join_broadcast(id(2), Some("v".into()), "show", "theirs", now);
    assert_eq!(
        world.sent(),
        [
            "1 show has 1 viewers",
            "2 receive video of show from show",
            "2 log You <v> are getting data/stream from <show>",
            "1 log You <show> are now relaying/forwarding data/stream to <v>",
        ]
    );
    world.rooms.handle_can_relay(id(2), true);
    world.rooms.handle_join_broadcast(id(3), None, "show", "theirs", now);
    assert_eq!(world.sent()[1], "3 receive theirs of show from v");
    assert_eq!((world.rooms.viewers("show"), world.rooms.viewers("nothing")), (2, 0));
    world.rooms.handle_broadcast_message(id(3), &"hi all");
    assert_eq!(world.sent(), ["1 broadcast hi all", "2 broadcast hi all"]);
    world.leave(2);
    assert_eq!(world.sent(), ["1 show has 1 viewers", "3 rejoin show"]);
    world.rooms.handle_join_broadcast(id(3), Some("w".into()), "show", "theirs", now);
    assert_eq!(world.sent()[0], "3 receive video of show from show");
    world.leave(1);
    assert_eq!(world.sent(), ["3 show stopped"]);
}

#[test]
fn property_names_of_every_object_are_no_ids_of_users_or_rooms() {
    for reserved in ["__proto__", "constructor", "prototype", "toString", "forEach", "send"] {
        let mut world = World::with(&["a"]);
        world.connect(2, handshake(reserved)).expect("there is room");
        assert_eq!(world.sent(), [format!("2 {reserved} is taken, random")]);
        assert!(!world.rooms.handle_rename(id(1), reserved.into(), world.now), "{reserved}");
        assert_eq!(world.open(1, request(reserved)), Err(Refusal::NotAvailable));
        assert!(world.open(1, request(&format!("{reserved}-room"))).is_ok());
        assert!(world.rooms.handle_rename(id(1), format!("my-{reserved}").into(), world.now));
    }
}

#[test]
fn a_broadcasters_id_is_not_taken_by_a_viewer() {
    let mut world = World::with(&[]);
    world.connect(1, viewer("show")).expect("there is room");
    world.connect(2, viewer("thief")).expect("there is room");
    world.rooms.handle_join_broadcast(id(1), Some("show".into()), "show", "video", world.now);
    world.sent();
    world.rooms.handle_join_broadcast(id(2), Some("show".into()), "show", "video", world.now);
    assert_eq!(world.sent(), ["2 show is taken, thief"]);
    assert_eq!(world.rooms.viewers("show"), 0);
}

#[test]
fn a_user_without_scalable_broadcasts_takes_part_in_none() {
    let mut world = World::with(&["a"]);
    world.rooms.handle_join_broadcast(id(1), Some("a".into()), "a", "video", world.now);
    world.rooms.handle_can_relay(id(1), true);
    world.rooms.handle_broadcast_message(id(1), &"hi");
    assert_eq!(world.sent(), [""; 0]);
}

#[test]
fn the_room_of_a_scalable_broadcast_is_the_broadcasts() {
    let mut world = World::with(&[]);
    for (client, id) in [(1, "show"), (2, "v")] {
        world.connect(client, viewer(id)).expect("there is room");
    }
    let request = |room| RoomRequest { broadcast: Some("show".into()), ..request(room) };
    assert_eq!(world.open(1, request("show")), Ok(()));
    assert_eq!(world.join(2, request("relay")), Ok(()));
    assert_eq!(world.rooms.room(id(0), "show").expect("it lives").participants.len(), 2);
    world.ask_in(2, "show");
    assert_eq!(world.sent(), ["2 +show", "1 +v", "1 message v>show let me in extra"], "as to a user, once");
}

#[test]
fn an_admin_sees_rooms_and_users_and_hears_of_changes_once_a_second() {
    let mut world = World::room(&["a", "b"], locked("r", "pw"));
    world.wait(Duration::from_secs(5));
    world.rooms.handle_admin(id(9)).expect("there is room");
    world.wait(Duration::from_secs(5));
    assert_eq!(world.sent(), ["9 news: rooms None, users 2, broadcasting 0"]);
    for _ in 0..10 {
        world.rooms.handle_extra(id(1), "x", world.now);
    }
    world.wait(Duration::from_millis(1));
    world.rooms.handle_extra(id(1), "y", world.now);
    world.sent();
    world.wait(Duration::from_secs(5));
    assert_eq!(world.sent(), ["9 news: rooms None, users 2, broadcasting 0"]);
    world.rooms.handle_overview(id(9));
    assert_eq!(world.sent(), ["9 news: rooms Some(1), users 2, broadcasting 0"]);
    assert_eq!(world.rooms.last_room_request("a"), Ok(Some(&"about")));
    assert_eq!(world.rooms.last_room_request("nobody"), Err(Refusal::NoUser));
    world.drop(9);
    assert!(!world.rooms.is_admin(id(9)));
    world.rooms.handle_extra(id(1), "z", world.now);
    world.wait(Duration::from_secs(5));
    assert_eq!(world.sent(), ["2 a: z"]);
}

#[test]
fn an_admin_ends_users_and_rooms() {
    let mut world = World::room(&["a", "b", "c", "d"], request("r"));
    world.leave(4);
    world.rooms.handle_delete_user("a", world.now);
    world.rooms.handle_delete_user("nobody", world.now);
    assert_eq!(world.sent(), ["1 closed", "2 owns r"]);
    world.rooms.handle_delete_room("r", world.now);
    world.rooms.handle_delete_room("nowhere", world.now);
    assert_eq!(world.sent(), ["2 closed", "3 closed"]);
    assert_eq!(world.rooms.counts(), RoomCounts::default());
}
