//! What the two sides tell each other while a cast runs, how a TV ends it, and what a TV says of itself.

use super::*;

impl World {
    fn end_cast(&mut self, client: ClientId) -> Result<(), Refusal> {
        self.rooms.handle_end_cast(client, self.now)
    }
}

#[test]
fn the_state_of_a_cast_reaches_a_tv_that_is_connected_and_is_kept_for_none() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    let caster = world.join(CASTER, tv.code.as_str()).expect("live");
    world.sent();
    assert_eq!(world.rooms.handle_cast_state(CASTER, "paused"), Ok(()), "before any offer, too");
    assert_eq!(world.sent(), ["1 < CastState(\"paused\")"]);
    assert_eq!(world.rooms.handle_cast_state(TV, "paused"), Err(Refusal::WrongRole));
    assert_eq!(world.rooms.handle_cast_state(SECOND, "paused"), Err(Refusal::NotInRoom));
    world.drop(TV);
    assert_eq!(world.rooms.handle_cast_state(CASTER, "while it is away"), Ok(()));
    world.open(11, Some(&tv.resume_token));
    let back =
        ["2 ! TvAway", "11 ! CasterJoined { username: None, resumed: true }", "2 ! TvBack { reloaded: true, details: None }"];
    assert_eq!(world.sent(), back);
    world.join(SECOND, tv.code.as_str()).expect("take-over is on");
    world.sent();
    assert_eq!(world.rooms.handle_cast_state(CASTER, "of the displaced one"), Err(Refusal::NotInRoom));
    world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("takes over again");
    world.sent();
    assert_eq!(world.rooms.handle_cast_state(12.into(), "again"), Ok(()));
    assert_eq!(world.sent(), ["11 < CastState(\"again\")"]);
}

#[test]
fn a_tv_ends_the_cast_and_the_caster_has_no_seat() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    assert_eq!(world.end_cast(CASTER), Err(Refusal::WrongRole));
    assert_eq!(world.end_cast(SECOND), Err(Refusal::NotInRoom));
    assert_eq!(world.end_cast(TV), Ok(()));
    assert_eq!(world.sent(), ["2 ! CastEnded { by: Tv }", "1 ! CasterLeft { username: None, reason: EndedByTv }"]);
    assert_eq!(world.rooms.handle_signal(CASTER, Signal::Candidate("late"), 1), Err(Refusal::NotInRoom));
    assert_eq!(world.end_cast(TV), Err(Refusal::NoCaster));
    world.join(CASTER, tv.code.as_str()).expect("the same client may cast again");
    world.send(TV, Signal::Answer("late, to the cast that was ended"));
    assert_eq!(world.sent(), ["1 ! CasterJoined { username: None, resumed: false }"]);
}

#[test]
fn a_caster_that_was_away_when_the_tv_ended_its_cast_is_told_once() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    let token = Some(caster.resume_token.as_str());
    world.drop(CASTER);
    world.sent();
    assert_eq!(world.end_cast(TV), Ok(()));
    assert_eq!(world.sent(), ["1 ! CasterLeft { username: None, reason: EndedByTv }"]);
    assert_eq!(world.join_with(12, tv.code.as_str(), token), Err(Refusal::CastEnded));
    assert_eq!(world.sent(), ["12 ! CastEnded { by: Tv }"], "its page does not go on by itself");
    world.join_with(12, tv.code.as_str(), token).expect("whoever wants to cast again may");

    world.drop(12);
    assert_eq!(world.end_cast(TV), Ok(()));
    world.join(SECOND, tv.code.as_str()).expect("another cast");
    assert_eq!(world.end_cast(TV), Ok(()));
    world.join_with(13, tv.code.as_str(), token).expect("what was ended last is another cast");
    assert_eq!(world.end_cast(TV), Ok(()));
    world.join_with(13, tv.code.as_str(), token).expect("it has been told at once");
    assert_eq!(world.end_cast(TV), Ok(()));
    world.sent();
    assert_eq!(world.join_with(14, tv.code.as_str(), token), Err(Refusal::CastEnded), "its old connection only seemed to live");
    assert_eq!(world.sent(), ["14 ! CastEnded { by: Tv }"]);
    world.join(15, tv.code.as_str()).expect("who joins by the code was never away");
}

#[test]
fn a_caster_of_another_room_is_not_told_that_its_cast_has_ended() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.drop(CASTER);
    assert_eq!(world.end_cast(TV), Ok(()));
    let elsewhere = world.open(11, None);
    world.join(SECOND, elsewhere.code.as_str()).expect("live");
    world.sent();
    let token = Some(caster.resume_token.as_str());
    assert_eq!(world.join_with(SECOND, tv.code.as_str(), token), Err(Refusal::CastEnded));
    assert!(world.sent().is_empty());
    assert_eq!(world.rooms.handle_cast_state(SECOND, "its cast goes on"), Ok(()));
}

#[test]
fn after_a_cast_that_the_tv_ended_its_code_changes_as_is_set() {
    let mut world = World::with(|config| config.new_code = NewCodePolicy::AfterCast);
    let tv = world.try_open(OpenRequest { understands_new_codes: true, ..new_tv(TV, HOME) }).expect("a seat");
    let caster = world.join(CASTER, tv.code.as_str()).expect("live");
    world.sent();
    assert_eq!(world.end_cast(TV), Ok(()));
    world.wait(Duration::ZERO);
    let sent = world.sent();
    assert_eq!(sent[..2], ["2 ! CastEnded { by: Tv }", "1 ! CasterLeft { username: None, reason: EndedByTv }"]);
    assert!(sent[2].starts_with("1 ! CodeChanged") && sent[2].ends_with("reason: CastEnded }"), "{sent:?}");
    let again = world.join_with(CASTER, tv.code.as_str(), Some(&caster.resume_token));
    assert_eq!(again, Err(Refusal::UnknownCode));
}

#[test]
fn the_caster_that_takes_over_is_named_to_the_other() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    let join = JoinRequest {
        client: SECOND,
        dialect: Dialect::A,
        from: HOME,
        code: tv.code.as_str(),
        token: None,
        username: Some("Grace"),
    };
    world.rooms.handle_join(join, world.now).expect("take-over is on");
    assert_eq!(
        world.sent(),
        [
            "2 ! TakenOver { by: Some(\"Grace\") }",
            "1 ! CasterLeft { username: None, reason: TakenOver }",
            "1 ! CasterJoined { username: Some(\"Grace\"), resumed: false }",
        ]
    );
}

#[test]
fn a_tv_is_what_it_last_said_of_itself() {
    let mut world = World::with(|config| config.max_rooms = 1);
    let named = |name: &str| Arc::new(TvDetails { name: Some(name.to_owned()), screen: None });
    let (kitchen, hall) = (named("Kitchen"), named("Hall"));
    let tv = world.try_open(OpenRequest { details: Some(&kitchen), ..new_tv(TV, HOME) }).expect("a seat");
    assert_eq!(world.rooms.tv_details(tv.code), Some(&kitchen));
    world.try_open(OpenRequest { details: Some(&hall), ..new_tv(TV, HOME) }).expect("its seat");
    assert_eq!(world.rooms.tv_details(tv.code), Some(&hall), "it asks again");

    let caster = world.join(CASTER, tv.code.as_str()).expect("live");
    world.drop(TV);
    assert_eq!(world.rooms.tv_details(tv.code), Some(&hall), "while it is away");
    world.sent();
    let back = OpenRequest { token: Some(&tv.resume_token), details: Some(&kitchen), ..new_tv(11, HOME) };
    world.try_open(back).expect("its seat");
    let told = format!("2 ! TvBack {{ reloaded: true, details: {:?} }}", Some(&kitchen));
    assert_eq!(world.sent(), ["11 ! CasterJoined { username: None, resumed: true }", &told]);
    world.drop(CASTER);
    world.try_open(OpenRequest { client: ClientId::new(12), details: Some(&hall), ..back }).expect("its seat");
    world.sent();
    world.join_with(13, tv.code.as_str(), Some(&caster.resume_token)).expect("its own seat");
    let told = format!("13 ! TvBack {{ reloaded: true, details: {:?} }}", Some(&hall));
    assert_eq!(world.sent(), ["12 ! CasterJoined { username: None, resumed: true }", &told]);

    world.try_open(OpenRequest { details: None, ..back }).expect("its seat");
    assert_eq!(world.rooms.tv_details(tv.code), None, "a page without a name");
    world.rooms.handle_leave(ClientId::new(11), world.now).expect("has a seat");
    assert_eq!(world.rooms.tv_details(tv.code), None);
}

#[test]
fn a_tv_that_waits_for_a_place_keeps_what_it_said_of_itself() {
    let mut world = World::with(|config| config.max_rooms = 1);
    let details = Arc::new(TvDetails { name: Some("Kitchen".to_owned()), screen: None });
    world.open(TV, None);
    world.waits(OpenRequest { details: Some(&details), ..new_tv(10, HOME) });
    world.rooms.handle_leave(TV, world.now).expect("has a seat");
    world.wait(Duration::from_secs(2));
    let code = world.rooms.code_of(ClientId::new(10)).expect("it has a place");
    assert_eq!(world.rooms.tv_details(code), Some(&details));
}
