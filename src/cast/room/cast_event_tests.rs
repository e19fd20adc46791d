//! What the rooms say of casts: each one begins once and ends once.

use super::*;
use crate::cast::model::{CastEnd, CastEvent};

impl World {
    /// The events since the last call, one on each line, without the code.
    fn cast_events(&mut self) -> Vec<String> {
        self.agree();
        std::iter::from_fn(|| self.rooms.poll_cast_event())
            .map(|event| match event {
                CastEvent::Began { caster, tv, .. } => {
                    format!("{caster} casts to {}", tv.map_or(0.to_string(), |tv| tv.to_string()))
                }
                CastEvent::Returned { role, client, .. } => format!("{client} is {role:?}"),
                CastEvent::Ended { reason: CastEnd::Caster(reason), .. } => format!("caster {reason:?}"),
                CastEvent::Ended { reason: CastEnd::Tv(reason), .. } => format!("TV {reason:?}"),
            })
            .collect()
    }
}

#[test]
fn a_cast_begins_with_its_caster_and_ends_with_whoever_leaves() {
    for (leaves, end) in [(CASTER, "caster Left"), (TV, "TV Left")] {
        let mut world = World::new();
        world.cast();
        assert_eq!(world.cast_events(), ["2 casts to 1"]);
        world.rooms.handle_leave(leaves, world.now).expect("has a seat");
        assert_eq!(world.cast_events(), [end]);
    }
}

#[test]
fn whoever_comes_back_continues_the_cast_and_whoever_does_not_ends_it() {
    for (gone, end) in [(CASTER, "caster Lost"), (TV, "TV Lost")] {
        let mut world = World::new();
        let (tv, caster) = world.cast();
        world.cast_events();
        world.drop(gone);
        assert_eq!(world.cast_events(), [""; 0]);
        if gone == CASTER {
            world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("its own seat");
            assert_eq!(world.cast_events(), ["12 is Caster"]);
            world.drop(12);
        } else {
            world.open(11, Some(&tv.resume_token));
            assert_eq!(world.cast_events(), ["11 is Tv"]);
            world.drop(11);
        }
        world.wait(GRACE);
        assert_eq!(world.cast_events(), [end]);
    }
}

#[test]
fn a_caster_with_a_token_of_an_ended_cast_begins_a_new_one() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.cast_events();
    world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("the code is live");
    assert_eq!(world.cast_events(), ["12 casts to 1"]);
}

#[test]
fn a_take_over_ends_one_cast_and_begins_another() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    world.cast_events();
    world.join(SECOND, tv.code.as_str()).expect("take-over is on");
    assert_eq!(world.cast_events(), ["caster TakenOver", "3 casts to 1"]);
    world.drop(SECOND);
    world.join(12, tv.code.as_str()).expect("take-over is on");
    assert_eq!(world.cast_events(), ["caster TakenOver", "12 casts to 1"], "also of a caster that is away");
}

#[test]
fn a_caster_that_changes_rooms_and_one_that_joins_twice() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    world.cast_events();
    world.join(CASTER, tv.code.as_str()).expect("its own seat");
    assert_eq!(world.cast_events(), [""; 0]);
    let other = world.open(10, None);
    world.join(CASTER, other.code.as_str()).expect("live");
    assert_eq!(world.cast_events(), ["caster Left", "2 casts to 10"]);
}

#[test]
fn a_tv_may_be_away_when_a_cast_begins() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    world.drop(TV);
    world.join(CASTER, tv.code.as_str()).expect("the code is live");
    world.open(11, Some(&tv.resume_token));
    assert_eq!(world.cast_events(), ["2 casts to 0", "11 is Tv"]);
}
