//! Which hang-ups, reloads and network failures end a membership, and what the other client receives. [`super`] has a tour of the kit.

use super::super::super::slots::{BYE, SLOT_GRACE};
use super::*;
use Farewell::{Bye, Delete, Drop, Leave};

// A client that has sent a bye and closed its socket has left.

/// The steps of a hang-up. Each step may be lost, and the steps reach the server in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Leave,
    Bye,
    Drop,
    Delete,
}

impl World {
    /// `client` with `socket` does these steps in order; after a drop it posts its bye.
    fn hang_up(&mut self, client: &str, socket: u32, steps: &[Farewell]) {
        let mut dropped = false;
        for step in steps {
            match step {
                Leave => self.leave(client),
                Bye if dropped => drop(self.post(client, BYE)),
                Bye => drop(self.send(client, socket, BYE)),
                Drop => {
                    dropped = true;
                    self.drop(client, socket);
                }
                Delete => self.delete(client),
            }
        }
    }
}

/// Every order of every hang-up that sends a bye and ends the socket, by the client or by a DELETE.
fn farewells() -> Vec<Vec<Farewell>> {
    let mut all = vec![vec![]];
    for step in [Leave, Bye, Drop, Delete] {
        let with = |order: &Vec<Farewell>| {
            (0..=order.len())
                .map(|at| order[..at].iter().copied().chain([step]).chain(order[at..].iter().copied()).collect())
                .collect::<Vec<_>>()
        };
        let longer: Vec<Vec<Farewell>> = all.iter().flat_map(with).collect();
        all.extend(longer);
    }
    all.retain(|order| order.contains(&Bye) && (order.contains(&Drop) || order.contains(&Delete)));
    assert_eq!(all.len(), 24 + 6 + 6 + 6 + 2 + 2);
    all
}

fn byes(outputs: &[String], socket: u32) -> usize {
    outputs.iter().filter(|line| **line == format!("{socket} < {BYE}")).count()
}

#[test]
fn every_order_of_a_hang_up_leaves_the_survivor_alone_with_one_bye() {
    for steps in farewells() {
        let mut world = World::new();
        let (caller, callee) = world.call();
        world.hang_up(&callee, 2, &steps);
        assert_eq!(byes(&world.outputs(), 1), 1, "{steps:?}");
        assert_eq!(world.rooms.counts().members, 1, "{steps:?}");
        assert_eq!(world.say(&caller, "offer again"), Ok(()));
        let next = world.join();
        assert_eq!((next.initiator, next.messages), (false, vec!["offer again".to_owned()]), "{steps:?}");
        world.register(&next.client, 3).expect("the slot is free");
        assert!(world.outputs().is_empty(), "{steps:?}");
        world.send(&next.client, 3, "answer").expect("both are there");
        assert_eq!(world.outputs(), ["1 < answer"], "{steps:?}");
        world.wait(60 * SECOND);
        assert!(world.outputs().is_empty(), "{steps:?}");
    }
}

#[test]
fn the_survivors_offer_after_the_bye_is_for_the_next_member_at_any_time() {
    for steps in farewells() {
        for at in steps.iter().position(|step| *step == Bye).expect("it says bye")..steps.len() {
            let mut world = World::new();
            let (caller, callee) = world.call();
            let dropped = steps[..=at].contains(&Drop);
            world.hang_up(&callee, 2, &steps[..=at]);
            assert_eq!(world.say(&caller, "offer again"), Ok(()));
            assert_eq!(world.say(&caller, "candidate"), Ok(()));
            if dropped {
                // The callee has sent its bye.
                world.drop(&callee, 2);
            }
            world.hang_up(&callee, 2, &steps[at + 1..]);
            let next = world.join();
            assert_eq!(
                (next.initiator, next.messages),
                (false, vec!["offer again".into(), "candidate".into()]),
                "{steps:?} {at}"
            );
            world.outputs();
            world.register(&next.client, 3).expect("the slot is free");
            assert_eq!(world.outputs(), [""; 0], "{steps:?} {at}: it has them already");
        }
    }
}

#[test]
fn every_order_of_a_hang_up_alone_leaves_an_empty_room_and_no_dead_offer() {
    for steps in farewells() {
        let mut world = World::new();
        let caller = world.join().client;
        world.register(&caller, 1).expect("a slot is free");
        assert_eq!(world.say(&caller, "offer"), Ok(()));
        world.hang_up(&caller, 1, &steps);
        assert_eq!(world.rooms.counts().members, 0, "{steps:?}");
        world.outputs();
        let again = world.join();
        assert!(again.initiator && again.messages.is_empty(), "{steps:?}");
        world.register(&again.client, 2).expect("a slot is free");
        assert!(world.outputs().is_empty(), "{steps:?}: not its own bye");
    }
}

#[test]
fn a_bye_that_the_survivor_missed_is_delivered_once_when_it_comes_back() {
    for steps in farewells() {
        let mut world = World::new();
        let (caller, callee) = world.call();
        world.drop(&caller, 1);
        world.hang_up(&callee, 2, &steps);
        world.outputs();
        world.wait(3 * SECOND);
        world.register(&caller, 3).expect("its own slot");
        assert_eq!(world.outputs(), [format!("3 < {BYE}")], "{steps:?}");
        world.drop(&caller, 3);
        world.register(&caller, 4).expect("its own slot");
        assert!(world.outputs().is_empty(), "{steps:?}");
    }
}

#[test]
fn a_survivor_that_comes_back_after_a_join_receives_the_bye_first() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.drop(&caller, 1);
    world.hang_up(&callee, 2, &[Bye, Drop]);
    let next = world.join().client;
    world.register(&next, 3).expect("the slot is free");
    world.send(&next, 3, "candidate").expect("it waits");
    world.register(&caller, 4).expect("its own slot");
    assert_eq!(world.outputs(), [format!("4 < {BYE}"), "4 < candidate".to_owned()]);
}

#[test]
fn a_drop_without_a_bye_keeps_its_place() {
    let mut world = World::new();
    let (_, callee) = world.call();
    world.send(&callee, 2, r#"{"type":"candidate","candidate":"bye"}"#).expect("both are there");
    world.drop(&callee, 2);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.register(&callee, 3).expect("its own slot");
}

#[test]
fn a_bye_from_a_client_whose_socket_stays_frees_no_place() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.send(&callee, 2, BYE).expect("both are there");
    world.wait(60 * SECOND);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.say(&caller, "offer again").expect("both are there");
    assert_eq!(world.outputs(), [format!("1 < {BYE}"), "2 < offer again".to_owned()]);
}

#[test]
fn a_bye_that_is_not_the_last_message_does_not_count() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.send(&callee, 2, BYE).expect("both are there");
    world.say(&caller, "offer again").expect("both are there");
    world.send(&callee, 2, "answer").expect("both are there");
    world.drop(&callee, 2);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.register(&callee, 3).expect("its own slot");
    world.leave(&callee);
    assert!(world.join().messages.is_empty(), "the offer had its answer");
}

#[test]
fn a_registration_cancels_the_clients_bye() {
    let mut world = World::new();
    let (_, callee) = world.call();
    world.drop(&callee, 2);
    world.register(&callee, 3).expect("its own slot");
    world.send(&callee, 3, BYE).expect("both are there");
    assert_eq!(world.register(&callee, 4), Err(SlotError::Duplicated.into()));
    world.drop(&callee, 2);
    world.drop(&callee, 4);
    assert_eq!(world.try_join(), Err(Refusal::Full), "neither of those sockets is its own");
    world.drop(&callee, 3);
    assert!(world.try_join().is_ok());
}

#[test]
fn one_that_comes_back_after_its_bye_is_no_member_any_more() {
    let mut world = World::new();
    let (caller, callee) = world.call();
    world.hang_up(&callee, 2, &[Bye, Drop]);
    world.register(&callee, 3).expect("a slot is free");
    assert_eq!(world.say(&callee, "x"), Err(Refusal::UnknownClient), "and joins again");
    world.say(&caller, "offer again").expect("it is alone");
    let next = world.join();
    assert_eq!(next.messages, ["offer again"]);
    world.register(&next.client, 4).expect("who has left makes way");
}

#[test]
fn clients_that_use_only_collider_have_time_to_receive_a_bye() {
    let mut world = World::new();
    world.register("1", 1).expect("free");
    world.register("2", 2).expect("free");
    world.drop("2", 2);
    world.send("1", 1, BYE).expect("it waits");
    world.drop("1", 1);
    world.wait(SLOT_GRACE - SECOND);
    world.register("2", 3).expect("its own slot");
    assert_eq!(world.outputs(), [format!("3 < {BYE}")]);
}

#[test]
fn a_client_that_said_bye_in_a_loopback_call_takes_its_phantom_along() {
    let mut world = World::new();
    let client = world.rooms.handle_join(ROOM, true, world.context()).expect("free").client;
    world.register(&client, 1).expect("a slot is free");
    world.register(LOOPBACK_CLIENT, 2).expect("a page plays the phantom");
    world.hang_up(&client, 1, &[Bye, Drop]);
    world.drop(LOOPBACK_CLIENT, 2);
    let again = world.rooms.handle_join(ROOM, true, world.context()).expect("free");
    assert!(again.initiator);
    world.register(&again.client, 3).expect("a slot is free");
    world.register(LOOPBACK_CLIENT, 4).expect("its own slot");
    world.outputs();
    world.say(&again.client, "offer").expect("both are there");
    assert_eq!(world.outputs(), ["4 < offer"]);
}

#[test]
fn the_loopback_member_of_a_reloaded_page_does_not_receive_the_old_bye() {
    let mut world = World::new();
    let client = world.rooms.handle_join(ROOM, true, world.context()).expect("free").client;
    world.register(&client, 1).expect("a slot is free");
    world.register("loopback_client_id", 2).expect("the original names it so");
    world.drop("loopback_client_id", 2);
    world.hang_up(&client, 1, &[Bye, Drop]);
    let again = world.rooms.handle_join(ROOM, true, world.context()).expect("free");
    assert!(again.initiator);
    world.register("loopback_client_id", 3).expect("its own slot");
    world.register(&again.client, 4).expect("a slot is free");
    assert!(world.outputs().is_empty());
}

#[test]
fn no_join_replaces_a_loopback_member_whose_socket_is_closed() {
    let mut world = World::new();
    let client = world.rooms.handle_join(ROOM, true, world.context()).expect("free").client;
    world.register(&client, 1).expect("a slot is free");
    world.register(LOOPBACK_CLIENT, 2).expect("a page plays the phantom");
    world.drop(LOOPBACK_CLIENT, 2);
    world.wait(60 * SECOND);
    assert_eq!(world.try_join(), Err(Refusal::Full));
    world.delete(LOOPBACK_CLIENT);
    assert_eq!(world.try_join(), Err(Refusal::Full));
}

// A client joins a caller that may have gone.

#[test]
fn a_caller_that_comes_back_in_time_has_kept_its_offer_for_the_callee() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("a slot is free");
    world.say(&caller, "offer").expect("it is alone");
    world.drop(&caller, 1);
    world.wait(3 * SECOND);
    let callee = world.join();
    assert_eq!((callee.initiator, callee.messages), (false, vec!["offer".to_owned()]));
    world.register(&callee.client, 2).expect("a slot is free");
    world.send(&callee.client, 2, "answer").expect("it waits");
    world.wait(3 * SECOND);
    world.register(&caller, 3).expect("its own slot");
    world.wait(60 * SECOND);
    assert_eq!(world.outputs(), ["3 < answer"]);
    assert_eq!(world.try_join(), Err(Refusal::Full));
}

#[test]
fn a_callee_whose_caller_never_comes_back_receives_bye_and_becomes_the_caller() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("a slot is free");
    world.say(&caller, "offer").expect("it is alone");
    world.drop(&caller, 1);
    world.wait(3 * SECOND);
    let callee = world.join().client;
    world.register(&callee, 2).expect("a slot is free");
    world.send(&callee, 2, "answer").expect("it waits");
    world.wait(7 * SECOND);
    assert_eq!(world.outputs(), [format!("2 < {BYE}")]);
    world.say(&callee, "offer again").expect("it is alone");
    let next = world.join();
    assert_eq!((next.initiator, next.messages), (false, vec!["offer again".to_owned()]));
    world.register(&next.client, 3).expect("a slot is free");
    assert!(world.outputs().is_empty());
}

#[test]
fn a_caller_that_has_met_its_callee_is_not_evicted_before_a_join() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("a slot is free");
    world.drop(&caller, 1);
    let callee = world.join().client;
    world.register(&callee, 2).expect("a slot is free");
    world.register(&caller, 3).expect("its own slot");
    world.drop(&caller, 3);
    world.wait(600 * SECOND);
    assert!(world.outputs().is_empty());
    assert_eq!(world.say(&caller, "I am still here"), Ok(()));
}

#[test]
fn a_caller_whose_callee_has_left_is_not_evicted_before_a_join_either() {
    let mut world = World::new();
    let caller = world.join().client;
    world.register(&caller, 1).expect("a slot is free");
    world.drop(&caller, 1);
    let callee = world.join().client;
    world.leave(&callee);
    world.wait(600 * SECOND);
    assert_eq!(world.say(&caller, "I am still here"), Ok(()));
}
