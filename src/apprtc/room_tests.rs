//! The rules of the two wire contracts, with a test for each, against the pure core.
//!
//! A tour of the kit: [`World`] has the rooms and its own clock. Its methods are the inputs for the room [`ROOM`]: `join`, `say`
//! and `leave` over HTTP, `register`, `send`, `drop` of a socket (a number), `post` and `delete` of Collider. `wait` lets time
//! pass, and `outputs` returns the outputs to sockets since the last call, one on each line: `"2 < offer"` is a message to socket
//! 2, and `"2 closed"` its end. `call` begins a call of two. `assert_tables_agree` checks the tables against each other.
//! `farewell_tests` has hang-ups in every order, `eviction_tests` many clients at the bounds.

use std::time::Duration;

use rand::RngExt as _;

use super::super::queue::MAX_MESSAGES;
use super::super::room::{LOOPBACK_CLIENT, MAX_MEMBERS};
use super::super::slots::{BYE, SLOT_GRACE};
use super::*;
use crate::apprtc::model::ClientDetails;

#[path = "call_event_tests.rs"]
mod call_events;
#[path = "eviction_tests.rs"]
mod eviction;
#[path = "farewell_tests.rs"]
mod farewells;

const ROOM: &str = "room";
/// A small number, so that tests reach the bound.
const MAX_ROOMS: usize = 3;
const SECOND: Duration = Duration::from_secs(1);

struct World {
    rooms: Rooms<u32>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { rooms: Rooms::new(MAX_ROOMS, [9; 32]), now: Instant::now() }
    }

    fn context(&self) -> EventContext {
        EventContext { from: "192.0.2.1".parse().expect("an address"), now: self.now }
    }

    fn join(&mut self) -> Joined {
        self.try_join().expect("a place is free")
    }

    fn try_join(&mut self) -> Result<Joined, Refusal> {
        self.rooms.handle_join(ROOM, false, self.context())
    }

    fn say(&mut self, client: &str, message: &str) -> Result<(), Refusal> {
        self.rooms.handle_message(ROOM, client, message.to_owned(), self.context())
    }

    fn leave(&mut self, client: &str) {
        self.rooms.handle_leave(ROOM, client, self.context());
    }

    fn register(&mut self, client: &str, socket: u32) -> Result<(), Refusal> {
        self.rooms.handle_register(ROOM, client, &socket, self.context())
    }

    fn send(&mut self, client: &str, socket: u32, message: &str) -> Result<(), Refusal> {
        self.rooms.handle_send(ROOM, client, &socket, message.to_owned(), self.context())
    }

    fn post(&mut self, client: &str, message: &str) -> Result<(), Refusal> {
        self.rooms.handle_post(ROOM, client, message.to_owned(), self.context())
    }

    fn delete(&mut self, client: &str) {
        self.rooms.handle_delete(ROOM, client, self.context());
    }

    fn drop(&mut self, client: &str, socket: u32) {
        self.rooms.handle_drop(ROOM, client, &socket, self.context());
    }

    /// Lets time pass, and handles every timeout when it is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.rooms.next_timeout().filter(|&due| due <= end) {
            self.now = due;
            self.rooms.handle_timeout(due);
        }
        self.now = end;
    }

    /// The outputs since the last call, one on each line.
    fn outputs(&mut self) -> Vec<String> {
        self.assert_tables_agree();
        std::iter::from_fn(|| self.rooms.poll_output())
            .map(|output| match output {
                Output::Send { to, message } => format!("{to} < {message}"),
                Output::SendOperatorBye { to } => format!("{to} < bye of the operator"),
                Output::Close { socket } => format!("{socket} closed"),
            })
            .collect()
    }

    /// Caller and callee, registered as the sockets 1 and 2.
    fn call(&mut self) -> (String, String) {
        let (caller, callee) = (self.join().client, self.join().client);
        self.register(&caller, 1).expect("a slot is free");
        self.register(&callee, 2).expect("a slot is free");
        (caller, callee)
    }

    /// Asserts that the tables and the counts agree, and that the bounds hold.
    fn assert_tables_agree(&self) {
        let rooms = &self.rooms;
        let (mut total, mut timers, mut held) = (RoomCounts::default(), 0, 0);
        for (name, room) in &rooms.rooms {
            assert!(!room.members.is_empty() || !room.slots.is_empty(), "an empty room is remembered");
            assert!(room.members.len() <= MAX_MEMBERS && room.slots.clients().count() <= MAX_MEMBERS);
            assert_eq!(room.due, room.next_timeout());
            if let Some(due) = room.due {
                assert!(rooms.timers.contains(&(due, name.clone())), "a room without its timer");
                timers += 1;
            }
            let counts = room.counts();
            assert!(counts.waiting <= MAX_ROOM_TEXT_BYTES);
            total.rooms += 1;
            total.members += counts.members;
            total.sockets += counts.sockets;
            let usage = room.usage().expect("it has somebody in it");
            total.waiting += counts.waiting;
            held += usage.queued.iter().map(|(_, bytes)| bytes).sum::<usize>();
        }
        assert_eq!(rooms.timers.len(), timers, "a timer without its room");
        assert_eq!(rooms.numbers.len(), rooms.rooms.len(), "a number without its room");
        assert!(rooms.rooms.values().all(|room| rooms.numbers.name(room.number) == Some(&room.name)));
        assert_eq!(rooms.counts(), total);
        assert!(rooms.rooms.len() <= rooms.max_rooms);
        assert_eq!(rooms.eviction.queued_bytes(), held);
        assert!(held <= MAX_QUEUED_BYTES);
        assert_eq!(rooms.eviction.room_count(), total.rooms, "a room that is not noted, or one that is gone");
    }
}

// The room server.

#[test]
fn a_banned_member_leaves_at_once_and_its_peer_gets_a_bye() {
    let mut world = World::new();
    let banned: IpAddr = "198.51.100.7".parse().unwrap();
    let context = EventContext { from: banned, ..world.context() };
    let one = world.rooms.handle_join(ROOM, false, context).unwrap().client;
    world.rooms.handle_register(ROOM, &one, &1, context).unwrap();
    let other = world.join().client;
    world.register(&other, 2).unwrap();
    world.outputs();
    world.rooms.handle_ban(|ip, _| ip == banned, world.now);
    assert_eq!(world.outputs(), [format!("2 < {BYE}"), "1 closed".to_owned()]);
    assert!(!world.rooms.has_member(ROOM, &one) && world.rooms.has_member(ROOM, &other));
    world.rooms.handle_ban(|ip, _| ip == banned, world.now);
    assert_eq!(world.outputs(), [""; 0], "nothing more of it is here");
    world.join();
}

#[test]
fn a_former_user_leaves_and_who_calls_without_a_name_stays() {
    let mut world = World::new();
    let (alice, other) = (world.join().client, world.join().client);
    let details = ClientDetails { agent: None, user: Some(ProvenUser::named("alice")) };
    world.rooms.describe(ROOM, &alice, details);
    let end =
        |world: &mut World, name: &str| world.rooms.handle_ban(|_, user| user.is_some_and(|user| user.name == name), world.now);
    end(&mut world, "bob");
    assert!(world.rooms.has_member(ROOM, &alice));
    end(&mut world, "alice");
    assert!(!world.rooms.has_member(ROOM, &alice) && world.rooms.has_member(ROOM, &other));
}

#[test]
fn the_first_is_the_initiator_the_second_is_not_and_the_third_finds_it_full() {
    let mut world = World::new();
    assert!(world.join().initiator);
    assert!(!world.join().initiator);
    assert_eq!(world.try_join(), Err(Refusal::Full));
}

#[test]
fn when_both_have_left_the_next_one_is_the_initiator() {
    let mut world = World::new();
    let (caller, callee) = (world.join().client, world.join().client);
    world.leave(&caller);
    world.leave(&callee);
    assert!(!world.rooms.contains(ROOM), "the last one out deletes the room");
    assert!(world.join().initiator);
}

#[test]
fn client_ids_are_eight_digits_and_no_two_are_the_same() {
    let mut world = World::new();
    let (one, other) = (world.join().client, world.join().client);
    assert_ne!(one, other);
    for id in [one, other] {
        assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    }
}

#[test]
fn the_second_gets_the_firsts_messages_in_order_and_nobody_gets_them_again() {
    let mut world = World::new();
    let caller = world.join();
    assert!(caller.messages.is_empty());
    for message in ["1", "2", "3"] {
        assert_eq!(world.say(&caller.client, message), Ok(()));
    }
    let callee = world.join();
    assert_eq!(callee.messages, ["1", "2", "3"]);
    world.leave(&callee.client);
    assert!(world.join().messages.is_empty());
}

#[test]
fn a_message_in_company_goes_to_the_peers_socket() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    assert_eq!(world.say(&caller, "offer"), Ok(()));
    assert_eq!(world.send(&callee, 2, "answer"), Ok(()));
    assert_eq!(world.outputs(), ["2 < offer", "1 < answer"]);
}

#[test]
fn a_message_to_a_peer_that_has_not_registered_yet_is_delivered_when_it_does() {
    let mut world = World::new();
    let (caller, callee) = (world.join().client, world.join().client);
    world.register(&caller, 1).expect("a slot is free");
    assert_eq!(world.say(&caller, "candidate 1"), Ok(()));
    assert_eq!(world.say(&caller, "candidate 2"), Ok(()));
    assert!(world.outputs().is_empty());
    world.register(&callee, 2).expect("a slot is free");
    assert_eq!(world.outputs(), ["2 < candidate 1", "2 < candidate 2"]);
}

#[test]
fn unknown_rooms_and_unknown_clients_are_different_errors_and_may_leave() {
    let mut world = World::new();
    assert_eq!(world.say("1", "x"), Err(Refusal::UnknownRoom));
    world.register("1", 1).expect("a slot is free");
    assert_eq!(world.say("1", "x"), Err(Refusal::UnknownRoom), "Collider's clients are no members");
    world.join();
    assert_eq!(world.say("nobody", "x"), Err(Refusal::UnknownClient));
    world.leave("nobody");
    world.rooms.handle_leave("elsewhere", "nobody", world.context());
    assert_eq!(world.rooms.counts().members, 1);
}

#[test]
fn a_phantom_takes_the_second_place_of_a_loopback_call_and_leaves_with_its_client() {
    let mut world = World::new();
    let joined = world.rooms.handle_join(ROOM, true, world.context()).expect("free");
    assert!(joined.initiator);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.register(&joined.client, 1).expect("a slot is free");
    world.register(LOOPBACK_CLIENT, 2).expect("a page plays the phantom");
    assert_eq!(world.say(&joined.client, "offer"), Ok(()));
    assert_eq!(world.outputs(), ["2 < offer"]);
    world.leave(&joined.client);
    assert!(world.join().initiator);
}

#[test]
fn a_client_that_joins_a_survivor_is_not_the_initiator_and_gets_its_new_offer() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.leave(&caller);
    world.send(&caller, 1, BYE).expect("its socket is still there for a farewell");
    assert_eq!(world.outputs(), [format!("2 < {BYE}")]);
    world.delete(&caller);
    assert_eq!(world.outputs(), ["1 closed"]);
    assert_eq!(world.say(&callee, "offer again"), Ok(()));
    let next = world.join();
    assert_eq!((next.initiator, next.messages), (false, vec!["offer again".to_owned()]));
}

#[test]
fn members_are_remembered_for_a_day_after_a_join_a_queued_message_or_a_leave() {
    let day = Duration::from_secs(24 * 3600);
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("free");
    world.wait(day - SECOND);
    world.say(&caller, "queued").expect("it is alone");
    world.wait(day - SECOND);
    let callee = world.join().client;
    world.wait(day - SECOND);
    world.leave(&callee);
    world.wait(day - 11 * SECOND);
    world.drop(&caller, 1);
    world.wait(10 * SECOND);
    assert!(world.rooms.contains(ROOM));
    world.wait(SECOND);
    assert!(!world.rooms.contains(ROOM));
    assert_eq!(world.say(&caller, "late"), Err(Refusal::UnknownRoom));
}

#[test]
fn the_queued_messages_of_a_room_are_bounded_in_number_and_bytes() {
    let mut world = World::new();
    let caller = world.join().client;
    for _ in 0..MAX_MESSAGES {
        assert_eq!(world.say(&caller, "x"), Ok(()));
    }
    assert_eq!(world.say(&caller, "x"), Err(SlotError::TooManyWaiting.into()));
    world.leave(&caller);
    let caller = world.join().client;
    let large = "x".repeat(64 * 1024);
    let taken = (0..100).filter(|_| world.say(&caller, &large).is_ok()).count();
    assert_eq!(taken, 16);
    assert_eq!(world.join().messages.len(), 16);
    world.assert_tables_agree();
    assert_eq!(world.rooms.counts().waiting, 0);
}

#[test]
fn the_server_has_a_limit_of_rooms() {
    let mut world = World::new();
    for room in ["a", "b"] {
        world.rooms.handle_join(room, false, world.context()).expect("free");
    }
    world.rooms.handle_register("c", "1", &1, world.context()).expect("free");
    assert_eq!(world.try_join(), Err(Refusal::ServerFull));
    assert_eq!(world.register("1", 2), Err(Refusal::ServerFull));
    assert_eq!(world.post("1", "x"), Err(Refusal::ServerFull));
    world.rooms.handle_delete("c", "1", world.context());
    assert!(world.try_join().is_ok());
    world.assert_tables_agree();
}

#[test]
fn a_message_that_a_delete_overtook_reaches_only_its_peer() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.leave(&caller);
    world.delete(&caller);
    assert_eq!(world.outputs(), ["1 closed"]);
    assert_eq!(world.send(&caller, 1, BYE), Ok(()));
    assert_eq!(world.outputs(), [format!("2 < {BYE}")]);
    let next = world.join().client;
    world.register(&next, 3).expect("free");
    assert_eq!(world.send(&caller, 1, BYE), Err(SlotError::NotRegistered.into()));
    world.delete(&next);
    world.delete(&callee);
    assert_eq!(world.send(&caller, 1, BYE), Err(SlotError::NotRegistered.into()));
    assert_eq!(world.outputs(), ["3 closed", "2 closed"], "not by a later client");
}

// A room with stale members.

#[test]
fn a_new_join_replaces_a_stale_member_and_the_survivor_receives_bye() {
    let mut world = World::new();
    let (_, callee) = world.call();
    world.drop(&callee, 2);
    world.wait(9 * SECOND);
    assert_eq!(world.try_join(), Err(Refusal::Full), "not yet");
    world.wait(SECOND);
    assert!(world.outputs().is_empty(), "nobody is evicted before somebody joins");
    let next = world.join();
    assert!(!next.initiator);
    assert_eq!(world.outputs(), [format!("1 < {BYE}")]);
    assert_eq!(world.say(&callee, "late"), Err(Refusal::UnknownClient));
    world.register(&next.client, 3).expect("the old slot is gone");
    assert!(world.outputs().is_empty());
}

#[test]
fn a_join_replaces_a_stale_member_that_waited_alone_and_drops_its_offer() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("free");
    assert_eq!(world.say(&caller, "offer"), Ok(()));
    world.drop(&caller, 1);
    world.wait(10 * SECOND);
    let next = world.join();
    assert!(next.initiator && next.messages.is_empty());
    assert_eq!(world.say(&caller, "I am back"), Err(Refusal::UnknownClient), "and joins again");
    assert_eq!(world.outputs(), [""; 0]);
}

#[test]
fn the_survivors_new_offer_reaches_the_member_that_took_the_place() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&callee, 2);
    assert_eq!(world.say(&caller, "a candidate for the dead one"), Ok(()));
    world.wait(10 * SECOND);
    let next = world.join().client;
    assert_eq!(world.outputs(), [format!("1 < {BYE}")]);
    assert_eq!(world.say(&caller, "offer again"), Ok(()));
    world.register(&next, 3).expect("free");
    assert_eq!(world.outputs(), ["3 < offer again"], "and nothing that was for the dead one");
}

#[test]
fn one_that_joined_and_never_registered_is_stale_after_a_minute() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("free");
    world.join();
    world.wait(59 * SECOND);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.wait(SECOND);
    assert!(world.try_join().is_ok());
    assert_eq!(world.outputs(), [format!("1 < {BYE}")]);
}

#[test]
fn a_member_that_registers_again_in_time_is_not_stale() {
    let mut world = World::new();
    let (_, callee) = world.call();
    world.drop(&callee, 2);
    world.wait(9 * SECOND);
    world.register(&callee, 3).expect("its own slot");
    world.wait(3600 * SECOND);
    assert_eq!(world.try_join(), Err(Refusal::Full));
}

#[test]
fn a_member_that_comes_back_after_its_slot_was_removed_is_not_stale_either() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&callee, 2);
    world.wait(30 * SECOND);
    assert_eq!(world.say(&caller, "restart"), Ok(()));
    world.register(&callee, 3).expect("a slot is free");
    assert_eq!(world.outputs(), ["3 < restart"]);
    assert_eq!(world.try_join(), Err(Refusal::Full));
}

#[test]
fn where_both_are_stale_a_new_call_begins() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&caller, 1);
    world.drop(&callee, 2);
    world.wait(10 * SECOND);
    let next = world.join();
    assert!(next.initiator && next.messages.is_empty());
    assert!(world.outputs().is_empty());
    assert_eq!(world.rooms.counts().members, 1);
}

#[test]
fn a_survivor_that_registers_again_receives_the_bye_then() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&callee, 2);
    world.wait(5 * SECOND);
    world.drop(&caller, 1);
    world.wait(5 * SECOND);
    world.join();
    assert!(world.outputs().is_empty());
    world.register(&caller, 3).expect("its own slot");
    assert_eq!(world.outputs(), [format!("3 < {BYE}")]);
}

#[test]
fn a_join_replaces_a_loopback_call_whose_client_is_stale() {
    let mut world = World::new();
    world.rooms.handle_join(ROOM, true, world.context()).expect("free");
    world.wait(60 * SECOND);
    assert!(world.join().initiator, "the phantom goes with it");
}

#[test]
fn a_members_slot_replaces_one_whose_client_has_left() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.leave(&callee);
    let next = world.join().client;
    world.register(&next, 3).expect("the one that left makes way");
    assert_eq!(world.outputs(), ["2 closed".to_owned(), format!("1 < {BYE}")], "or the caller would wait for it for ever");
    assert_eq!(world.send(&next, 3, "hello"), Ok(()));
    assert_eq!(world.outputs(), ["1 < hello"]);
    assert_eq!(world.register("stranger", 4), Err(SlotError::Full.into()), "but never for a stranger");
    let _ = caller;
}

#[test]
fn messages_to_a_client_that_left_do_not_reach_the_next() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&callee, 2);
    assert_eq!(world.say(&caller, "for the callee"), Ok(()));
    world.leave(&callee);
    let next = world.join().client;
    world.register(&next, 3).expect("free");
    assert_eq!(world.outputs(), [format!("1 < {BYE}")]);
}

#[test]
fn a_slot_that_was_never_a_members_makes_way_without_a_word() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("free");
    world.register("stranger", 2).expect("free");
    let callee = world.join().client;
    world.register(&callee, 3).expect("a member's");
    assert_eq!(world.outputs(), ["2 closed"], "the caller had no call with it");
}

// Collider without the room server.

#[test]
fn two_clients_are_relayed_to_each_other() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.register("2", 2).expect("free");
    assert_eq!((world.send("1", 1, "hi"), world.send("2", 2, "hello")), (Ok(()), Ok(())));
    assert_eq!(world.outputs(), ["2 < hi", "1 < hello"]);
}

#[test]
fn queued_messages_flush_on_register_in_order_and_the_queue_empties() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    for message in ["a", "b", "c"] {
        world.send("1", 1, message).expect("queued");
    }
    assert!(world.outputs().is_empty());
    world.register("2", 2).expect("free");
    assert_eq!(world.outputs(), ["2 < a", "2 < b", "2 < c"]);
    assert_eq!(world.rooms.counts().waiting, 0);
}

#[test]
fn a_bye_waits_for_the_other_one_like_any_message() {
    for posted in [true, false] {
        let mut world = World::new();
        if posted {
            world.post("1", "a").expect("queued");
            world.post("1", BYE).expect("queued");
        } else {
            world.register("1", 1).expect("free");
            world.send("1", 1, "a").expect("queued");
            world.send("1", 1, BYE).expect("queued");
            world.drop("1", 1);
        }
        world.register("2", 2).expect("free");
        assert_eq!(world.outputs(), ["2 < a".to_owned(), format!("2 < {BYE}")]);
        world.wait(10 * SECOND);
        world.register("3", 3).expect("the first one's grace is over");
    }
}

#[test]
fn a_direct_send_leaves_old_queues_alone() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.send("1", 1, "queued").expect("queued");
    world.post("2", "direct").expect("its sender has no socket, its receiver has");
    assert_eq!(world.outputs(), ["1 < direct"]);
    world.register("2", 2).expect("its own slot");
    assert_eq!(world.outputs(), ["2 < queued"]);
}

#[test]
fn the_1025th_queued_message_is_an_error() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    for _ in 0..MAX_MESSAGES {
        assert_eq!(world.send("1", 1, "x"), Ok(()));
    }
    assert_eq!(world.send("1", 1, "x"), Err(SlotError::TooManyWaiting.into()));
    assert_eq!(world.post("1", "x"), Err(SlotError::TooManyWaiting.into()));
}

#[test]
fn a_second_registration_of_a_live_id_is_refused_and_the_first_unaffected() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    assert_eq!(world.register("1", 2), Err(SlotError::Duplicated.into()));
    world.drop("1", 2);
    world.post("2", "still there").expect("free");
    assert_eq!(world.outputs(), ["1 < still there"]);
}

#[test]
fn a_third_client_finds_no_room_by_register_or_by_post() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.post("2", "x").expect("free");
    assert_eq!(world.register("3", 3), Err(SlotError::Full.into()));
    assert_eq!(world.post("3", "x"), Err(SlotError::Full.into()));
}

#[test]
fn a_post_before_its_peer_registers_is_delivered_on_register() {
    let mut world = World::new();
    world.post("1", "early").expect("free");
    world.register("2", 2).expect("free");
    assert_eq!(world.outputs(), ["2 < early"]);
}

#[test]
fn a_delete_closes_the_socket_and_the_room_is_gone() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.delete("1");
    assert_eq!(world.outputs(), ["1 closed"]);
    assert!(!world.rooms.contains(ROOM));
    assert_eq!(world.send("1", 1, "x"), Err(SlotError::NotRegistered.into()));
    world.delete("1");
    assert!(world.outputs().is_empty());
}

#[test]
fn a_dropped_client_is_kept_until_its_time_is_over_and_then_the_room_is_cleaned_up() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.drop("1", 1);
    world.wait(SLOT_GRACE - SECOND);
    assert!(world.rooms.contains(ROOM));
    world.wait(SECOND);
    assert!(!world.rooms.contains(ROOM));
    world.assert_tables_agree();
}

#[test]
fn one_that_came_by_post_is_removed_the_same_way() {
    let mut world = World::new();
    world.post("1", "x").expect("free");
    world.wait(SLOT_GRACE);
    assert_eq!(world.rooms.counts(), RoomCounts::default());
}

#[test]
fn registering_again_keeps_the_same_record_and_cancels_its_timer() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.send("1", 1, "before the drop").expect("queued");
    world.drop("1", 1);
    world.wait(SLOT_GRACE - SECOND);
    world.register("1", 2).expect("its own slot");
    world.wait(SLOT_GRACE * 10);
    world.register("2", 3).expect("free");
    assert_eq!(world.outputs(), ["3 < before the drop"]);
}

#[test]
fn a_third_client_waits_until_a_dropped_ones_time_is_over() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.register("2", 2).expect("free");
    world.drop("2", 2);
    world.wait(SLOT_GRACE - SECOND);
    assert_eq!(world.register("3", 3), Err(SlotError::Full.into()));
    world.wait(SECOND);
    assert_eq!(world.register("3", 3), Ok(()));
}

#[test]
fn messages_to_a_dropped_client_are_delivered_in_order_when_it_comes_back() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.register("2", 2).expect("free");
    world.drop("2", 2);
    world.send("1", 1, "a").expect("queued");
    world.post("1", "b").expect("queued");
    world.register("2", 3).expect("its own slot");
    assert_eq!(world.outputs(), ["3 < a", "3 < b"]);
}

#[test]
fn a_queue_dies_with_its_sender() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.send("1", 1, "x").expect("queued");
    world.drop("1", 1);
    world.wait(SLOT_GRACE);
    world.register("2", 2).expect("free");
    assert!(world.outputs().is_empty());
}

#[test]
fn a_late_drop_of_an_old_socket_does_not_touch_the_new_one() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.delete("1");
    world.register("1", 2).expect("free");
    world.outputs();
    world.drop("1", 1);
    world.wait(SLOT_GRACE * 2);
    world.post("2", "x").expect("free");
    assert_eq!(world.outputs(), ["2 < x"]);
}

#[test]
fn no_message_reaches_another_room() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.rooms.handle_register("other", "2", &2, world.context()).expect("free");
    world.send("1", 1, "x").expect("queued");
    assert!(world.outputs().is_empty());
}

/// Random events in any order keep the tables in agreement, and a message reaches only sockets of its own room.
#[test]
fn random_histories_keep_the_tables_in_agreement() {
    let mut rng = StdRng::seed_from_u64(42);
    let mut world = World::new();
    let mut known: Vec<(&str, String)> = Vec::new();
    let mut homes: HashMap<u32, &str> = HashMap::new();
    let mut outputs = 0;
    for step in 0..12_000_u32 {
        let room = ["a", "b", "c", "d"][rng.random_range(0..4)];
        let client = match known.iter().rev().filter(|(home, _)| *home == room).nth(rng.random_range(0..4)) {
            Some((_, client)) => client.clone(),
            None => rng.random_range(0..3).to_string(),
        };
        // Often a socket that has recently registered in this room.
        let recent = step.saturating_sub(400)..step;
        let of_room: Vec<u32> = recent.filter(|socket| homes.get(socket) == Some(&room)).collect();
        let socket = if of_room.is_empty() { step } else { of_room[rng.random_range(0..of_room.len())] };
        let (context, rooms, bye) = (world.context(), &mut world.rooms, rng.random_bool(0.1));
        let said = |other| if bye { BYE.to_owned() } else { other };
        match rng.random_range(0..11) {
            10 if rng.random_bool(0.1) => {
                let number = rooms.listed_after(0, context.now).find(|listed| listed.room == room).map(|listed| listed.number);
                assert_eq!(
                    number.and_then(|number| rooms.handle_operator_end(number, context.now)).as_deref(),
                    number.map(|_| room)
                );
            }
            0 | 1 => {
                if let Ok(joined) = rooms.handle_join(room, rng.random_bool(0.1), context) {
                    known.push((room, joined.client));
                }
            }
            2 => rooms.handle_leave(room, &client, context),
            3 | 4 => {
                homes.insert(step, room);
                rooms.handle_register(room, &client, &step, context).ok();
            }
            5 => drop(rooms.handle_message(room, &client, "x".repeat(rng.random_range(1..300_000)), context)),
            6 => drop(rooms.handle_send(room, &client, &socket, said("y".to_owned()), context)),
            7 => drop(rooms.handle_post(room, &client, said("z".repeat(1000)), context)),
            8 => rooms.handle_drop(room, &client, &socket, context),
            _ if rng.random_bool(0.3) => rooms.handle_delete(room, &client, context),
            _ => {
                world.wait(SECOND * rng.random_range(0..4));
                // The socket may belong to any room.
                assert!(world.outputs().iter().all(|line| line.ends_with(BYE)));
            }
        }
        world.assert_tables_agree();
        while let Some(output) = world.rooms.poll_output() {
            let (Output::Send { to: socket, .. } | Output::SendOperatorBye { to: socket } | Output::Close { socket }) = output;
            assert_eq!(homes[&socket], room);
            outputs += 1;
        }
        if known.len() > 40 {
            known.drain(..20);
        }
    }
    assert!(outputs > 500, "{outputs}: hardly anything happened");
}
