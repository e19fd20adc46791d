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
