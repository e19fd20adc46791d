//! What the rooms say of calls: each pair of members is one call.

use super::*;
use crate::apprtc::model::{CallEnd, CallEvent};

impl World {
    /// The events since the last call, one on each line.
    fn call_events(&mut self) -> Vec<String> {
        self.assert_tables_agree();
        std::iter::from_fn(|| self.rooms.poll_call_event())
            .map(|event| match event {
                CallEvent::Began { members: [first, second], .. } => format!("{} calls {}", first.client, second.client),
                CallEvent::Ended { reason, .. } => format!("{reason:?}"),
            })
            .collect()
    }
}

#[test]
fn a_call_begins_with_the_second_member_and_ends_when_one_leaves() {
    let mut world = World::new();
    let caller = world.join().client;
    assert_eq!(world.call_events(), [""; 0]);
    let callee = world.join().client;
    assert_eq!(world.call_events(), [format!("{caller} calls {callee}")]);
    world.say(&caller, "offer").expect("a member");
    assert_eq!(world.call_events(), [""; 0]);
    world.leave(&callee);
    world.leave(&caller);
    assert_eq!(world.call_events(), ["Left"]);
}

#[test]
fn a_client_that_takes_the_place_of_a_lost_one_begins_a_new_call() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.call_events();
    world.drop(&caller, 1);
    world.wait(10 * SECOND);
    let next = world.join().client;
    assert_eq!(world.call_events(), ["Lost".to_owned(), format!("{callee} calls {next}")]);
}

/// The rows, one on each line: number, seconds, and the addresses.
fn listed(world: &World) -> Vec<String> {
    let row = |room: crate::apprtc::model::ListedRoom<'_>| {
        let here = room.clients.iter().map(|client| client.address.map_or("away", |_| "here")).collect::<Vec<_>>().join(" ");
        format!("{}: {here}, {} s", room.number, world.now.duration_since(room.since).as_secs())
    };
    world.rooms.listed_after(0, world.now).map(row).collect()
}

#[test]
fn an_operator_sees_calls_and_those_who_wait() {
    let mut world = World::new();
    let caller = world.join().client;
    assert_eq!(listed(&world), [""; 0], "it may never connect");
    world.register(&caller, 1).expect("free");
    world.wait(SECOND);
    assert_eq!(listed(&world), ["1: here, 1 s"]);
    let callee = world.join().client;
    world.wait(2 * SECOND);
    assert_eq!(listed(&world), ["1: here here, 2 s"]);
    world.register(&callee, 2).expect("free");
    world.drop(&callee, 2);
    world.wait(10 * SECOND);
    assert_eq!(listed(&world), ["1: here away, 12 s"]);
    world.leave(&callee);
    world.drop(&caller, 1);
    world.wait(SLOT_GRACE);
    assert_eq!(listed(&world), [""; 0], "a member that forgot to leave");

    world.rooms.handle_register("other", "x", &3, world.context()).expect("free");
    let agent = |agent: &str| crate::apprtc::model::ClientDetails { agent: Some(agent.to_owned()), user: None };
    world.rooms.describe("other", "x", agent("Collider's"));
    let joined = world.rooms.handle_join("other", true, world.context()).expect("free").client;
    world.rooms.describe("other", &joined, agent("at the join"));
    world.rooms.describe("other", &joined, agent("at the socket"));
    let rows: Vec<_> = world.rooms.listed_after(1, world.now).collect();
    let agents: Vec<_> = rows[0].clients.iter().map(|client| client.details.and_then(|details| details.agent.clone())).collect();
    assert_eq!(agents, [Some("at the join".to_owned()), Some("Collider's".to_owned())], "without the loopback member");
}

#[test]
fn an_operator_closes_a_call_for_good() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.call_events();
    world.drop(&callee, 2);
    world.say(&caller, "waits for the callee").expect("a member");
    assert_eq!(world.rooms.handle_operator_end(1, world.now).as_deref(), Some(ROOM));
    assert_eq!(world.outputs(), ["1 < bye of the operator", "1 closed"]);
    assert_eq!(world.call_events(), [format!("{:?}", CallEnd::EndedByOperator)]);
    assert_eq!((world.rooms.counts(), world.rooms.next_timeout()), (RoomCounts::default(), None));
    assert_eq!(world.rooms.handle_operator_end(1, world.now), None);
    assert_eq!(world.say(&caller, "more"), Err(Refusal::UnknownRoom));
    world.call();
    assert_eq!(listed(&world), ["2: here here, 0 s"], "another room by the same name");
}

#[test]
fn a_loopback_call_is_no_call() {
    let mut world = World::new();
    let joined = world.rooms.handle_join(ROOM, true, world.context()).expect("a place is free");
    world.leave(&joined.client);
    assert_eq!(world.call_events(), [""; 0]);
}

#[test]
fn a_call_that_lasts_longer_than_its_room_expires() {
    let mut world = World::new();
    world.call();
    world.call_events();
    world.wait(24 * 3600 * SECOND);
    assert_eq!(world.call_events(), [format!("{:?}", CallEnd::Expired)]);
}
