//! Transcripts that show when TVs get new codes.

use super::*;

const IDLE: Duration = Duration::from_secs(12 * 3600);
const INSTANT: Duration = Duration::from_secs(1);

impl World {
    fn with_rule(rule: NewCodePolicy) -> Self {
        Self::with(|config| config.new_code = rule)
    }

    /// A TV whose page supports new codes.
    fn open_announcing(&mut self, client: impl Into<ClientId>, token: Option<&str>) -> Seated {
        self.try_open(announcing(client, token)).expect("a seat")
    }

    /// The code, the token and the reason of the only change since the last call.
    fn change(&mut self) -> (String, String, NewCodeReason) {
        let mut changes = self.changes();
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(0)
    }

    fn times(&self, token: &str) -> Times {
        self.rooms.key.verify(Role::Tv, token, CodeAlphabet::Letters).expect("genuine").times
    }

    fn changes(&mut self) -> Vec<(String, String, NewCodeReason)> {
        self.agree();
        std::iter::from_fn(|| self.rooms.poll_output())
            .filter_map(|output| match output {
                Output::Notify { notice: Notice::CodeChanged { code, resume_token, reason }, .. } => {
                    Some((code.to_string(), resume_token, reason))
                }
                Output::Notify { .. } | Output::Deliver { .. } | Output::CastState { .. } | Output::Seated { .. } => None,
            })
            .collect()
    }
}

fn announcing(client: impl Into<ClientId>, token: Option<&str>) -> OpenRequest<'_> {
    OpenRequest { token, understands_new_codes: true, ..new_tv(client, HOME) }
}

#[test]
fn a_code_changes_when_nobody_has_cast_for_12_hours_and_the_old_one_opens_nothing() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE - INSTANT);
    assert_eq!(world.changes(), []);
    world.wait(INSTANT);
    let (code, token, reason) = world.change();
    assert_ne!(code, tv.code.as_str());
    assert_eq!(reason, NewCodeReason::Idle);
    assert_eq!(world.join(CASTER, tv.code.as_str()), Err(Refusal::UnknownCode));
    world.join(CASTER, &code).expect("the new code is live");
    assert_eq!(world.sent(), ["1 ! CasterJoined { username: None, resumed: false }"]);
    world.drop(TV);
    let again = world.open_announcing(10, Some(&token));
    assert_eq!((again.code.to_string(), again.resumed), (code, true));
}

#[test]
fn codes_go_on_changing_each_12_hours() {
    let mut world = World::new();
    world.open_announcing(TV, None);
    world.wait(IDLE * 3);
    assert_eq!(world.changes().len(), 3);
    assert_eq!(world.rooms.len(), 1);
}

#[test]
fn front_ends_that_announce_nothing_keep_their_code_whatever_is_set() {
    for rule in [NewCodePolicy::Never, NewCodePolicy::AfterIdle, NewCodePolicy::AfterCast] {
        let mut world = World::with_rule(rule);
        let tv = world.open(TV, None);
        world.join(CASTER, tv.code.as_str()).expect("live");
        world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
        world.wait(IDLE * 3);
        world.drop(TV);
        world.wait(GRACE * 2);
        assert_eq!(world.open(10, Some(&tv.resume_token)), Seated { resumed: true, ..tv.clone() });
        world.restart();
        assert_eq!(world.open(11, Some(&tv.resume_token)), Seated { resumed: true, ..tv });
        world.wait(IDLE);
        assert_eq!(world.changes(), [], "{rule:?}");
    }
}

#[test]
fn a_code_never_changes_under_the_policy_never() {
    let mut world = World::with_rule(NewCodePolicy::Never);
    let tv = world.open_announcing(TV, None);
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.wait(IDLE * 3);
    world.restart();
    assert_eq!(world.open_announcing(TV, Some(&tv.resume_token)), Seated { resumed: true, ..tv });
    assert_eq!(world.changes(), []);
}

#[test]
fn a_caster_keeps_the_code_and_its_grace_does_and_12_hours_begin_when_the_cast_ends() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE - INSTANT);
    let caster = world.join(CASTER, tv.code.as_str()).expect("live");
    world.wait(IDLE * 2);
    world.drop(CASTER);
    world.wait(GRACE - INSTANT);
    world.join_with(CASTER, tv.code.as_str(), Some(&caster.resume_token)).expect("its grace is not over");
    world.drop(CASTER);
    world.wait(GRACE);
    world.wait(IDLE - INSTANT);
    assert_eq!(world.changes(), []);
    world.wait(INSTANT);
    assert_eq!(world.change().2, NewCodeReason::Idle);
    let token = Some(caster.resume_token.as_str());
    assert_eq!(world.join_with(CASTER, tv.code.as_str(), token), Err(Refusal::UnknownCode), "its token was for the old code");
}

#[test]
fn after_a_cast_the_code_changes_at_its_end_and_not_while_the_grace_lasts() {
    let mut world = World::with_rule(NewCodePolicy::AfterCast);
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE * 2);
    assert_eq!(world.changes(), [], "nobody has cast");
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.join(SECOND, tv.code.as_str()).expect("takes over");
    world.drop(SECOND);
    world.wait(GRACE - INSTANT);
    assert_eq!(world.changes(), [], "a take-over ends no cast");
    world.wait(INSTANT);
    let (code, _, reason) = world.change();
    assert_eq!(reason, NewCodeReason::CastEnded);
    world.join(CASTER, &code).expect("live");
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.wait(Duration::ZERO);
    assert_ne!(world.change().0, code, "and after the next cast again");
}

#[test]
fn a_caster_that_joins_before_the_change_keeps_the_code() {
    let mut world = World::with_rule(NewCodePolicy::AfterCast);
    let tv = world.open_announcing(TV, None);
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.join(SECOND, tv.code.as_str()).expect("the time-out was not handled yet");
    world.wait(GRACE);
    assert_eq!(world.changes(), []);
}

#[test]
fn the_end_of_a_cast_that_the_tv_does_not_see_counts_too() {
    for (waits, still_there) in [(GRACE / 2, true), (GRACE * 2, false)] {
        let mut world = World::with_rule(NewCodePolicy::AfterCast);
        let tv = world.open_announcing(TV, None);
        world.join(CASTER, tv.code.as_str()).expect("live");
        world.drop(TV);
        world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
        world.wait(waits);
        assert_eq!(world.rooms.len(), usize::from(still_there));
        let again = world.open_announcing(10, Some(&tv.resume_token));
        assert_ne!(again.code, tv.code, "{waits:?}");
        assert!(!again.resumed);
        let (code, token, reason) = world.change();
        assert_eq!((code, token, reason), (again.code.to_string(), again.resume_token, NewCodeReason::CastEnded));
    }
}

#[test]
fn a_tv_that_was_away_gets_a_new_code_as_soon_as_it_is_back_and_nobody_gets_the_old_one() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.drop(TV);
    world.wait(IDLE - GRACE);
    let before = world.open_announcing(10, Some(&tv.resume_token));
    assert_eq!((before.code, before.resumed), (tv.code, true), "12 hours are not over");
    world.drop(10);
    world.restart();
    world.wait(GRACE);
    let again = world.open_announcing(11, Some(&tv.resume_token));
    assert_ne!(again.code, tv.code);
    assert_eq!(world.change(), (again.code.to_string(), again.resume_token.clone(), NewCodeReason::Idle));
    assert_eq!(world.join(CASTER, tv.code.as_str()), Err(Refusal::UnknownCode));
    let named = OpenRequest { dialect: Dialect::B, code: Some(tv.code.as_str()), ..announcing(12, Some("device")) };
    assert_ne!(world.try_open(named).expect("a seat").code, tv.code, "naming it is not enough");
    assert_ne!(world.open(13, Some(&tv.resume_token)).code, tv.code, "its old token is not either");
}

#[test]
fn reconnects_do_not_set_the_12_hours_back() {
    let mut world = World::new();
    let mut tv = world.open_announcing(TV, None);
    for hour in 1..12 {
        world.wait(Duration::from_secs(3600) - GRACE * 2);
        world.drop(TV);
        // The TV returns within the grace period in every second round.
        world.wait(if hour % 2 == 0 { GRACE / 2 } else { GRACE * 2 });
        world.wait(if hour % 2 == 0 { GRACE * 3 / 2 } else { Duration::ZERO });
        let again = world.open_announcing(TV, Some(&tv.resume_token));
        assert_eq!((again.code, again.resumed), (tv.code, true), "hour {hour}");
        tv = again;
    }
    assert_eq!(world.changes(), []);
    world.wait(Duration::from_secs(3600));
    assert_eq!(world.change().2, NewCodeReason::Idle);
}

#[test]
fn the_last_cast_counts_after_a_restart_too() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE / 2);
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.sent();
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    let sent = std::iter::from_fn(|| world.rooms.poll_output()).find_map(|output| match output {
        Output::Notify { to: TV, notice: Notice::NewToken { code, resume_token }, .. } => Some((code, resume_token)),
        Output::Notify { .. } | Output::Deliver { .. } | Output::CastState { .. } | Output::Seated { .. } => None,
    });
    let (code, token) = sent.expect("a token that knows of the cast");
    assert_eq!(code, tv.code);
    assert_eq!(world.times(&token).since, world.times(&tv.resume_token).since);
    world.wait(IDLE - INSTANT);
    // The result is the same whether or not the token has reached the TV.
    for (client, shown) in [(10, &tv.resume_token), (11, &token), (12, &token)] {
        let again = world.open_announcing(client, Some(shown));
        assert_eq!((again.code, again.resume_token.as_str()), (tv.code, token.as_str()), "{client}");
    }
    world.restart();
    assert_eq!(world.open_announcing(TV, Some(&token)).code, tv.code);
    world.wait(INSTANT);
    assert_eq!(world.change().2, NewCodeReason::Idle);
}

#[test]
fn a_cast_that_a_restart_interrupts_keeps_its_code_and_its_caster() {
    for rule in [NewCodePolicy::AfterIdle, NewCodePolicy::AfterCast] {
        let mut world = World::with_rule(rule);
        let tv = world.open_announcing(TV, None);
        let caster = world.join(CASTER, tv.code.as_str()).expect("live");
        world.wait(IDLE * 2);
        world.restart();
        let open = OpenRequest { casting: true, ..announcing(TV, Some(&tv.resume_token)) };
        assert_eq!(world.try_open(open).expect("a seat").code, tv.code, "{rule:?}");
        world.wait(GRACE - INSTANT);
        world.join_with(CASTER, tv.code.as_str(), Some(&caster.resume_token)).expect("it is back in time");
        world.wait(IDLE * 2);
        assert_eq!(world.changes(), [], "{rule:?}");

        world.restart();
        world.try_open(OpenRequest { shows_picture: true, ..open }).expect("a seat");
        world.wait(GRACE);
        world.change();
    }
}

#[test]
fn a_tv_asks_for_a_new_code_but_not_in_a_cast_and_not_all_the_time() {
    for rule in [NewCodePolicy::Never, NewCodePolicy::AfterIdle, NewCodePolicy::AfterCast] {
        let mut world = World::with_rule(rule);
        assert_eq!(world.rooms.handle_new_code(TV, world.now), Err(Refusal::NotInRoom));
        let tv = world.open_announcing(TV, None);
        let caster = world.join(CASTER, tv.code.as_str()).expect("live");
        assert_eq!(world.rooms.handle_new_code(TV, world.now), Err(Refusal::CastRunning));
        assert_eq!(world.rooms.handle_new_code(CASTER, world.now), Err(Refusal::WrongRole));
        world.drop(CASTER);
        assert_eq!(world.rooms.handle_new_code(TV, world.now), Err(Refusal::CastRunning), "its grace is not over");
        world.wait(GRACE);
        world.changes();
        let asked = world.rooms.handle_new_code(TV, world.now).expect("nobody casts");
        assert_eq!(world.change(), (asked.code.to_string(), asked.resume_token.clone(), NewCodeReason::Asked));
        assert_ne!(asked.code, tv.code);
        let Err(Refusal::RateLimited { wait }) = world.rooms.handle_new_code(TV, world.now) else { panic!("at once again") };
        let token = Some(caster.resume_token.as_str());
        assert_eq!(world.join_with(CASTER, tv.code.as_str(), token), Err(Refusal::UnknownCode));
        world.wait(wait);
        world.rooms.handle_new_code(TV, world.now).expect("it has waited");
    }
}

#[test]
fn a_tv_that_missed_its_new_code_gets_another_and_is_told_why() {
    let mut world = World::with_rule(NewCodePolicy::Never);
    let tv = world.open_announcing(TV, None);
    world.rooms.handle_new_code(TV, world.now).expect("nobody casts");
    world.sent();
    let again = world.open_announcing(10, Some(&tv.resume_token));
    assert!(again.code != tv.code && !again.resumed);
    assert_eq!(world.change(), (again.code.to_string(), again.resume_token, NewCodeReason::Asked));
    // A TV of dialect B first gets a code of its own, and then presents its earlier code and token.
    let own = world.try_open(OpenRequest { dialect: Dialect::B, ..announcing(11, None) }).expect("a seat");
    let open = OpenRequest { dialect: Dialect::B, code: Some(tv.code.as_str()), ..announcing(11, Some(&tv.resume_token)) };
    assert_eq!(world.try_open(open).expect("a seat").code, own.code);
    assert_eq!(world.change().0, own.code.as_str());
}

#[test]
fn a_tv_of_a_version_without_times_keeps_its_code_for_12_hours() {
    let mut world = World::new();
    let code = Code::random(CodeAlphabet::Letters, &mut world.rooms.rng);
    let undated = world.rooms.key.issue(Role::Tv, code, Times::LONG_AGO, &mut world.rooms.rng);
    let tv = world.open_announcing(TV, Some(&undated));
    assert_eq!((tv.code, tv.resumed), (code, true));
    assert_ne!(tv.resume_token, undated, "from now on its age is known");
    assert_eq!(world.open_announcing(10, Some(&undated)).resume_token, tv.resume_token, "also if that token was lost");
    world.wait(IDLE / 2);
    world.restart();
    assert_eq!(world.open_announcing(TV, Some(&tv.resume_token)).code, code);
    world.wait(IDLE / 2);
    assert_eq!(world.change().2, NewCodeReason::Idle);
}

#[test]
fn a_token_of_a_new_code_keeps_the_time_since_which_its_tv_is_known() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE);
    let (_, token, _) = world.change();
    let (first, second) = (world.times(&tv.resume_token), world.times(&token));
    assert_eq!(second, Times { since: first.since, made: first.made + IDLE.as_secs() });
    world.restart();
    world.wait(IDLE);
    let third = world.open_announcing(TV, Some(&token));
    assert_eq!(world.times(&third.resume_token).since, first.since);
}

#[test]
fn a_clock_that_is_wrong_changes_no_code_early() {
    let mut world = World::new();
    let tv = world.open_announcing(TV, None);
    world.rooms.handle_clock(WallClock::new(world.now, SystemTime::UNIX_EPOCH), world.now);
    world.drop(TV);
    world.wait(GRACE);
    let again = world.open_announcing(TV, Some(&tv.resume_token));
    assert_eq!((again.code, again.resumed), (tv.code, true), "its token is from the future");
    world.wait(IDLE - INSTANT);
    assert_eq!(world.changes(), []);
    world.wait(INSTANT);
    world.change();
}

#[test]
fn a_tv_keeps_its_code_and_the_time_since_which_it_is_known_when_the_clock_is_set() {
    const YEARS: u64 = 10 * 365 * 86_400;
    for (from, to) in [(0, YEARS), (YEARS, 0)] {
        let mut world = World::new();
        world.rooms.handle_clock(WallClock::new(world.now, wall(from)), world.now);
        let tv = world.open_announcing(TV, None);
        let old = world.open(CASTER, None);
        world.wait(Duration::from_secs(1000));
        world.sent();
        world.rooms.handle_clock(WallClock::new(world.now, wall(to + 1000)), world.now);
        assert!(world.sent().is_empty(), "nothing unless the credentials are renewed");
        world.rooms.renew_credentials(world.now);
        world.wait(Duration::ZERO);
        let token = world.rooms.rooms[&tv.code].tv_token.clone();
        let start = 1_800_000_000 + to;
        assert_eq!(world.times(&token), Times { since: start, made: start + 1000 });
        let mut sent = world.sent();
        sent.sort();
        let new_token = format!("1 ! NewToken {{ code: {:?}, resume_token: {token:?} }}", tv.code);
        assert_eq!(sent, ["1 ! Credentials".to_owned(), new_token, "2 ! Credentials".to_owned()]);
        assert_eq!(world.rooms.rooms[&old.code].tv_token, old.resume_token, "an old front end keeps its token");
        // Without the new token, a restarted server would take a token of years ago for one of a TV that was away as long.
        world.restart();
        let again = world.open_announcing(TV, Some(&token));
        assert_eq!((again.code, again.resumed), (tv.code, true));
        assert_eq!(world.changes(), []);
    }
}

#[test]
fn renewing_sends_fresh_credentials_to_clients_that_accept_them() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    world.join(CASTER, tv.code.as_str()).expect("live");
    let open = OpenRequest { dialect: Dialect::B, ..announcing(10, None) };
    let other = world.try_open(open).expect("a seat");
    let join = JoinRequest {
        client: ClientId::new(11),
        dialect: Dialect::B,
        from: HOME,
        code: other.code.as_str(),
        token: None,
        username: None,
    };
    world.rooms.handle_join(join, world.now).expect("live");
    world.sent();
    world.rooms.renew_credentials(world.now);
    world.wait(Duration::ZERO);
    let mut sent = world.sent();
    sent.sort();
    assert_eq!(sent, ["1 ! Credentials", "2 ! Credentials"]);
}

#[test]
fn retired_codes_are_bounded() {
    let mut retired = RetiredCodes::default();
    let mut rng = StdRng::seed_from_u64(1);
    let codes: Vec<Code> = (0..70_000).map(|_| Code::random(CodeAlphabet::Letters, &mut rng)).collect();
    codes.iter().for_each(|code| retired.insert(*code, NewCodeReason::Idle));
    assert_eq!(retired.reason(&codes[0]), None);
    assert_eq!(retired.reason(codes.last().expect("many")), Some(NewCodeReason::Idle));
    assert_eq!(codes.iter().filter(|code| retired.reason(code).is_some()).count(), 1 << 16);
}

#[test]
fn a_token_of_a_changed_code_does_not_prove_how_long_a_tv_is_known() {
    let mut world = World::with(|config| config.max_rooms = 100);
    let tv = world.open_announcing(TV, None);
    world.wait(IDLE * 4);
    world.rooms.handle_new_code(TV, world.now).expect("nobody casts");
    for client in 10..20 {
        let other = world.open_announcing(client, Some(&tv.resume_token));
        assert_eq!(world.times(&other.resume_token), Times::new(world.rooms.clock.unix_seconds(world.now)), "{client}");
    }
}
