//! What a check of a code tells, and what it costs.

use std::sync::Arc;

use super::*;
use crate::cast::model::{CheckRequest, CodeCheck, PresentCaster, TvDetails};
use crate::cast::room::OwnSeat;

const ASKER: ClientId = ClientId::new(30);

impl World {
    fn check(&self, code: &str, token: Option<&str>) -> Result<CodeCheck, Refusal> {
        self.check_from(ASKER, HOME, code, token)
    }

    fn check_from(&self, client: ClientId, from: IpAddr, code: &str, token: Option<&str>) -> Result<CodeCheck, Refusal> {
        self.rooms.handle_check(CheckRequest { client, from, code, token }, self.now)
    }

    fn join_as(&mut self, client: ClientId, code: &str, token: Option<&str>, username: &str) -> Seated {
        let join = JoinRequest { client, dialect: Dialect::A, from: HOME, code, token, username: Some(username) };
        self.rooms.handle_join(join, self.now).expect("a seat")
    }
}

#[test]
fn a_check_says_whose_tv_it_is_who_casts_and_what_a_join_would_do() {
    for takeover in [true, false] {
        let mut world = World::with(|config| config.takeover = takeover);
        let details = Arc::new(TvDetails { name: Some("Kitchen".to_owned()), screen: None });
        let tv = world.try_open(OpenRequest { details: Some(&details), ..new_tv(TV, HOME) }).expect("a seat");
        let code = tv.code.as_str();
        let nobody = CodeCheck { code: tv.code, details: Some(details), tv_is_away: false, caster: None, takes_over: false };
        assert_eq!(world.check(&code.to_lowercase(), None), Ok(nobody.clone()));
        let ada = world.join_as(CASTER, code, None, "Ada");
        let cast = |is_own| {
            let caster = Some(PresentCaster { username: Some("Ada".to_owned()), is_own });
            CodeCheck { caster, takes_over: takeover && !is_own, ..nobody.clone() }
        };
        let token = Some(ada.resume_token.as_str());
        assert_eq!(world.check(code, None), Ok(cast(false)));
        assert_eq!(world.check(code, token), Ok(cast(true)), "the caster that was reloaded");
        assert_eq!(world.check_from(CASTER, HOME, code, None), Ok(cast(true)), "the connection that casts");
        assert_eq!(world.check(code, Some(&tv.resume_token)), Ok(cast(false)), "a TV's token is no caster's");
        world.drop(CASTER);
        world.drop(TV);
        assert_eq!(world.check(code, None), Ok(CodeCheck { tv_is_away: true, ..cast(false) }), "both are away");
        world.wait(GRACE);
        assert_eq!(world.check(code, None), Err(Refusal::UnknownCode));
    }
}

#[test]
fn a_check_changes_nothing_and_nobody_is_told() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    while world.rooms.poll_cast_event().is_some() {}
    for _ in 0..100 {
        world.check(tv.code.as_str(), Some(&caster.resume_token)).expect("live");
        world.check(tv.code.as_str(), None).expect("live");
    }
    assert!(world.sent().is_empty());
    assert_eq!(world.rooms.poll_cast_event(), None);
    for _ in 0..10 {
        world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("checks used up none of its joins");
    }
}

#[test]
fn a_tv_checks_no_code_and_guesses_none() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    let other = world.open(10, None);
    for client in [TV, ClientId::new(10)] {
        assert_eq!(world.check_from(client, HOME, other.code.as_str(), None), Err(Refusal::WrongRole));
        assert_eq!(world.check_from(client, HOME, "AAAAAA", None), Err(Refusal::WrongRole));
    }
    assert!(world.check(tv.code.as_str(), None).is_ok());
}

#[test]
fn wrong_checks_and_wrong_joins_have_one_limit_and_beyond_it_all_codes_look_alike() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    let code = tv.code.as_str();
    for wrong in ["AAAAAA", "nonsense", "", "BBBBBB", "会议"] {
        assert!(world.check(code, None).is_ok(), "a right code costs nothing");
        assert_eq!(world.check(wrong, Some(&caster.resume_token)), Err(Refusal::UnknownCode), "with a proof of another code");
        assert_eq!(world.join(SECOND, wrong), Err(Refusal::UnknownCode));
    }
    let refused = Refusal::TooManyAttempts { wait: Duration::from_secs(60) };
    assert_eq!(world.check("AAAAAA", None), Err(refused));
    assert_eq!(world.check(code, None), Err(refused), "so a check does not find the live code among wrong ones");
    assert_eq!(world.join(SECOND, code), Err(refused));
    let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 77));
    assert!(world.check_from(ASKER, elsewhere, code, None).is_ok());
    assert!(world.check(code, Some(&caster.resume_token)).is_ok(), "who proves the code does not guess");
    world.wait(Duration::from_secs(60));
    assert!(world.check(code, None).is_ok());
}

#[test]
fn only_the_casters_own_token_and_connection_show_its_seat() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    let code = tv.code.as_str();
    let own = |world: &World, client, token| world.rooms.own_caster_seat(client, token, code);
    assert_eq!(own(&world, CASTER, None), Some(tv.code));
    assert_eq!(own(&world, ASKER, Some(&caster.resume_token)), Some(tv.code));
    assert_eq!(own(&world, ASKER, None), None);
    assert_eq!(own(&world, ASKER, Some(&tv.resume_token)), None);
    world.drop(CASTER);
    assert_eq!(own(&world, ASKER, Some(&caster.resume_token)), Some(tv.code), "the seat is kept");
    world.wait(GRACE);
    assert_eq!(own(&world, ASKER, Some(&caster.resume_token)), None, "a seat that was once the caster's is nobody's own");
}

#[test]
fn a_tv_that_has_its_seat_asks_for_none() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    let asked = |world: &World, open| world.rooms.asked_code(open, world.now);
    assert_eq!(asked(&world, new_tv(TV, HOME)), Err(OwnSeat), "it asks once more");
    assert_eq!(asked(&world, new_tv(ASKER, HOME)), Ok(None), "another TV");
    let resume = OpenRequest { token: Some(&tv.resume_token), ..new_tv(ASKER, HOME) };
    assert_eq!(asked(&world, resume), Err(OwnSeat));
    let other = OpenRequest { code: Some("AAAAAA"), dialect: Dialect::B, ..new_tv(TV, HOME) };
    assert_eq!(asked(&world, other).map(|code| code.map(|code| code.as_str().to_owned())), Ok(Some("AAAAAA".to_owned())));
    world.rooms.handle_leave(TV, world.now).expect("it has a seat");
    assert_eq!(asked(&world, resume), Ok(Some(tv.code)), "its room has ended");
}

#[test]
fn the_cast_of_a_former_user_ends_for_both_sides() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.rooms.handle_former_user(tv.code, world.now);
    assert_eq!(world.rooms.own_caster_seat(CASTER, Some(&caster.resume_token), tv.code.as_str()), None);
    assert_eq!(world.check(tv.code.as_str(), None).map(|check| check.caster), Ok(None));
    world.rooms.handle_former_user(tv.code, world.now);
}
