//! What an operator sees of the TVs, and how an operator ends casts and changes codes.

use super::*;
use crate::cast::model::OperatorRefusal;

impl World {
    /// The rows, one on each line: number, TV, caster, and how long ago the cast began or the TV came.
    fn listed(&self) -> Vec<String> {
        let client = |client: Option<ClientId>| client.map_or("away".to_owned(), |client| client.to_string());
        let row = |tv: ListedTv<'_>| {
            let caster = tv.caster.map_or("-".to_owned(), |caster| client(caster.client));
            let since = self.now.duration_since(tv.caster.map_or(tv.opened, |caster| caster.began)).as_secs();
            format!("{}: {} < {caster}, {since} s", tv.number, client(tv.client))
        };
        self.rooms.listed_after(0).map(row).collect()
    }

    fn operator_ends(&mut self, number: u64) -> Result<Code, OperatorRefusal> {
        self.rooms.handle_operator_end(number, self.now)
    }
}

#[test]
fn a_row_keeps_its_number_as_long_as_its_tv_has_its_seat() {
    let mut world = World::with(|config| config.new_code = NewCodePolicy::AfterCast);
    let first = world.try_open(OpenRequest { understands_new_codes: true, ..new_tv(TV, HOME) }).expect("a seat");
    world.wait(Duration::from_secs(2));
    let second = world.open(10, None);
    let caster = world.join(CASTER, second.code.as_str()).expect("live");
    world.wait(Duration::from_secs(5));
    assert_eq!(world.listed(), ["1: 1 < -, 7 s", "2: 10 < 2, 5 s"]);
    world.drop(CASTER);
    world.drop(10);
    assert_eq!(world.listed()[1], "2: away < away, 5 s");
    world.open(11, Some(&second.resume_token));
    world.wait(Duration::from_secs(5));
    world.join_with(12, second.code.as_str(), Some(&caster.resume_token)).expect("its own seat");
    assert_eq!(world.listed()[1], "2: 11 < 12, 10 s", "it is the same cast");
    world.join(SECOND, second.code.as_str()).expect("take-over is on");
    assert_eq!(world.listed()[1], "2: 11 < 3, 0 s", "another cast");
    world.rooms.handle_new_code(TV, world.now).expect("nobody casts");
    assert_ne!(world.rooms.code_of(TV), Some(first.code));
    assert_eq!(world.listed()[0], "1: 1 < -, 12 s");
    assert_eq!(world.rooms.listed_after(1).map(|tv| tv.number).collect::<Vec<_>>(), [2]);
    world.rooms.handle_leave(TV, world.now).expect("has a seat");
    world.open(TV, None);
    assert_eq!(world.rooms.listed_after(0).map(|tv| tv.number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(world.operator_ends(1), Err(OperatorRefusal::NoTv), "no other TV gets its number");
    world.sent();
}

#[test]
fn a_row_says_what_the_tv_and_the_caster_say_of_themselves() {
    let mut world = World::new();
    let details = Arc::new(TvDetails { name: Some("Kitchen".to_owned()), screen: None });
    let tv = world.try_open(OpenRequest { details: Some(&details), ..new_tv(TV, HOME) }).expect("a seat");
    let code = tv.code.as_str();
    let join = JoinRequest { client: CASTER, dialect: Dialect::B, from: HOME, code, token: None, username: Some("Ada") };
    world.rooms.handle_join(join, world.now).expect("live");
    let row = world.rooms.listed_after(0).next().expect("a TV");
    assert_eq!((row.code, row.details, row.understands_new_codes), (tv.code, Some(&*details), false));
    assert_eq!(row.caster.expect("somebody casts").username, Some("Ada"));
    assert_eq!(world.rooms.number_of(&code.to_lowercase()), Some(1));
    assert_eq!([world.rooms.number_of("AAAAAA"), world.rooms.number_of("cast-1")], [None, None]);
}

#[test]
fn an_operator_ends_a_cast_and_both_ends_are_told_by_whom() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    assert_eq!(world.operator_ends(1), Ok(tv.code));
    assert_eq!(world.sent(), ["2 ! CastEnded { by: Operator }", "1 ! CasterLeft { username: None, reason: EndedByOperator }"]);
    assert_eq!(world.rooms.handle_signal(CASTER, Signal::Offer("late"), 1), Err(Refusal::NotInRoom));
    assert_eq!([world.operator_ends(1), world.operator_ends(2)], [Err(OperatorRefusal::NoCast), Err(OperatorRefusal::NoTv)]);
    let token = Some(caster.resume_token.as_str());
    world.join_with(CASTER, tv.code.as_str(), token).expect("it was told, and its user wants another cast");
    assert_eq!(world.operator_ends(1), Ok(tv.code));
    world.sent();
    assert_eq!(world.join_with(12, tv.code.as_str(), token), Err(Refusal::CastEnded), "by another connection it may not know");
    assert_eq!(world.sent(), ["12 ! CastEnded { by: Operator }"]);
}

#[test]
fn a_cast_whose_ends_are_away_is_ended_and_each_is_told_when_it_is_back() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.drop(CASTER);
    world.drop(TV);
    world.sent();
    assert_eq!(world.operator_ends(1), Ok(tv.code));
    assert!(world.sent().is_empty());
    world.open(11, Some(&tv.resume_token));
    assert_eq!(world.sent(), [""; 0], "no caster has joined it");
    assert_eq!(world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)), Err(Refusal::CastEnded));
    assert_eq!(world.sent(), ["12 ! CastEnded { by: Operator }"]);
    world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("its user asks for a new cast");
    assert_eq!(world.listed(), ["1: 11 < 12, 0 s"]);
}

#[test]
fn the_end_reaches_the_caster_that_has_taken_over() {
    let mut world = World::new();
    let (tv, first) = world.cast();
    world.join(SECOND, tv.code.as_str()).expect("take-over is on");
    world.sent();
    assert_eq!(world.operator_ends(1), Ok(tv.code));
    assert_eq!(world.sent(), ["3 ! CastEnded { by: Operator }", "1 ! CasterLeft { username: None, reason: EndedByOperator }"]);
    world.join_with(CASTER, tv.code.as_str(), Some(&first.resume_token)).expect("its own cast had ended before");
}

#[test]
fn an_operator_changes_the_code_of_a_tv_that_understands_it() {
    let mut world = World::new();
    world.open(TV, None);
    let tv = world.try_open(OpenRequest { understands_new_codes: true, ..new_tv(10, HOME) }).expect("a seat");
    world.sent();
    let mut change = |number| world.rooms.handle_operator_new_code(number, world.now);
    assert_eq!([change(1), change(3)], [Err(OperatorRefusal::KeepsCode), Err(OperatorRefusal::NoTv)]);
    let code = change(2).expect("nobody casts to it");
    let sent = world.sent();
    assert!(sent.len() == 1 && sent[0].starts_with("10 ! CodeChanged") && sent[0].ends_with("reason: Asked }"), "{sent:?}");
    assert_eq!((world.rooms.code_of(10.into()), world.join(CASTER, tv.code.as_str())), (Some(code), Err(Refusal::UnknownCode)));
    world.join(CASTER, code.as_str()).expect("live");
    assert_eq!(world.rooms.handle_operator_new_code(2, world.now), Err(OperatorRefusal::CastRunning));
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.drop(10);
    assert_eq!(world.rooms.handle_operator_new_code(2, world.now), Err(OperatorRefusal::TvAway));
}
