//! Which TV gets a seat, which one waits, and which one is evicted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn home(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

/// A server with `max_rooms` places, of which one stranger's TVs have all except `spare`. The TVs have the client ids from 1000
/// on.
fn full_server(max_rooms: usize, spare: usize) -> World {
    let mut world = World::with(|config| config.max_rooms = max_rooms);
    for n in spare..max_rooms {
        world.try_open(new_tv(1000 + u64::try_from(n).expect("small"), home(666))).expect("a seat");
    }
    world.sent();
    world
}

/// A token that is old enough to protect its TV.
fn old_token(world: &mut World, seed: u8) -> (Code, String) {
    let mut rng = StdRng::from_seed([seed; 32]);
    let code = Code::random(CodeAlphabet::Letters, &mut rng);
    let since = world.rooms.clock.unix_seconds(world.now) - DAY.as_secs();
    let key = TokenKey::new([7; 32]);
    (code, key.issue(Role::Tv, code, Times { since, made: since }, &mut rng))
}

#[test]
fn a_new_tv_displaces_the_newest_tv_of_the_site_with_most() {
    let mut world = full_server(10, 1);
    world.try_open(new_tv(1, home(1))).expect("the last place");
    world.try_open(new_tv(2, home(2))).expect("a seat");
    assert_eq!(world.sent(), ["1009 ! Evicted"]);
    assert_eq!((world.rooms.len(), world.waiting_and_evicted()), (10, (1, 1)));
    world.wait(Duration::from_secs(100));
    assert!(world.sent().is_empty(), "there is no place for the one that made way");
    world.rooms.handle_leave(ClientId::new(1), world.now).expect("has a seat");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.sent(), ["1009 = resumed"], "it has its code again");
}

#[test]
fn the_site_with_most_tvs_waits_instead_of_displacing_another() {
    let mut world = full_server(10, 0);
    assert_eq!(world.ask(new_tv(5, home(666))), Ok(OpenOutcome::Waiting));
    assert_eq!(world.sent(), ["5 ! WaitingForPlace { reason: Server { most: 10 } }"]);
    for n in 1..=5 {
        world.try_open(new_tv(100 + u64::from(n), home(n))).expect("a seat");
    }
    let evicted = ["1009 ! Evicted", "1008 ! Evicted", "1007 ! Evicted", "1006 ! Evicted", "1005 ! Evicted"];
    assert_eq!(world.sent(), evicted);
    for n in 6..=9 {
        world.try_open(new_tv(100 + u64::from(n), home(n))).expect("a seat");
    }
    assert_eq!(world.ask(new_tv(110, home(10))), Ok(OpenOutcome::Waiting), "all have one");
    world.wait(Duration::from_secs(60));
    world.sent();
    assert_eq!(world.rooms.capacity.len(), 10);
    world.drop(101);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.sent().iter().filter(|line| line.contains(" = ")).count(), 1, "a TV that is away makes way at once");
}

#[test]
fn the_tv_that_is_away_longest_makes_way_first() {
    let mut world = World::new();
    for n in 1..=3 {
        world.try_open(new_tv(n, home(u32::try_from(n).expect("small")))).expect("a seat");
    }
    world.drop(2);
    world.drop(1);
    world.try_open(new_tv(10, home(3))).expect("the place of the one that is away longest");
    assert!(world.sent().is_empty());
    world.try_open(new_tv(11, home(3))).expect("the other one's");
    assert_eq!(world.ask(new_tv(12, home(3))), Ok(OpenOutcome::Waiting));
    assert_eq!(world.rooms.len(), 3);
}

#[test]
fn a_tv_in_a_cast_is_evicted_last_of_its_address() {
    let mut world = full_server(3, 0);
    let (code, _) = world.rooms.seats[&ClientId::new(1002)];
    world.join_with(50, code.as_str(), None).expect("live");
    world.sent();
    world.try_open(new_tv(1, home(1))).expect("a seat");
    assert_eq!(world.sent(), ["1001 ! Evicted"]);
    let (_, token) = old_token(&mut world, 1);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(2, home(2)) }).expect("a seat");
    assert_eq!(world.sent(), ["1000 ! Evicted"], "the newest, the caster's TV, is still there");
    let (_, token) = old_token(&mut world, 2);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(3, home(2)) }).expect("a seat");
    assert_eq!(
        world.sent(),
        ["50 ! TvLeft { reason: Evicted }", "1002 ! Evicted"],
        "1 and 1002 have one each; their caster is told"
    );
}

#[test]
fn a_tv_whose_caster_is_there_is_not_away() {
    let mut world = full_server(1, 0);
    let (code, _) = world.rooms.seats[&ClientId::new(1000)];
    world.join(CASTER, code.as_str()).expect("live");
    world.drop(1000);
    world.sent();
    world.waits(new_tv(1, home(1)));
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.sent(), ["1 ! WaitingForPlace { reason: Server { most: 1 } }", "1 = new"]);
}

#[test]
fn a_token_protects_once_it_is_a_day_old() {
    let mut world = World::new();
    let young = world.try_open(new_tv(1, home(1))).expect("a seat");
    let (_, token) = old_token(&mut world, 1);
    let old = OpenRequest { token: Some(&token), ..new_tv(2, home(1)) };
    assert!(world.try_open(old).expect("a seat").resumed);
    world.try_open(new_tv(3, home(1))).expect("a seat");
    world.sent();
    world.try_open(new_tv(4, home(2))).expect("a seat");
    assert_eq!(world.sent(), ["3 ! Evicted"]);
    let (_, token) = old_token(&mut world, 2);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(5, home(3)) }).expect("a seat");
    assert_eq!(world.sent().len(), 1, "either of the two that have no old token");
    let (_, token) = old_token(&mut world, 3);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(6, home(3)) }).expect("a seat");
    world.sent();
    assert!(world.rooms.seats.contains_key(&ClientId::new(2)));
    assert_eq!(world.ask(new_tv(7, home(4))), Ok(OpenOutcome::Waiting), "all that are left have old tokens");
    assert!(!young.resumed);
}

#[test]
fn a_tv_that_stays_for_a_day_is_protected_whether_or_not_it_keeps_its_token() {
    let mut world = full_server(3, 1);
    world.wait(DAY);
    world.try_open(new_tv(1, home(1))).expect("a seat");
    world.sent();
    assert_eq!(world.ask(new_tv(2, home(2))), Ok(OpenOutcome::Waiting), "1 has no more than 2 would have, the others are old");
    let (_, token) = old_token(&mut world, 1);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(3, home(3)) }).expect("a seat");
    assert_eq!(world.sent(), ["2 ! WaitingForPlace { reason: Server { most: 3 } }", "1 ! Evicted"]);
}

#[test]
fn a_token_of_the_future_is_new() {
    let mut world = full_server(3, 0);
    let mut rng = StdRng::from_seed([1; 32]);
    let code = Code::random(CodeAlphabet::Letters, &mut rng);
    let since = world.rooms.clock.unix_seconds(world.now) + 1000;
    let token = TokenKey::new([7; 32]).issue(Role::Tv, code, Times { since, made: since }, &mut rng);
    world.waits(OpenRequest { token: Some(&token), ..new_tv(1, home(666)) });
}

#[test]
fn tvs_of_an_address_and_of_a_site_are_bounded() {
    let mut world = World::with(|config| config.max_rooms = 10_000);
    let flat = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1));
    let mut client = 0;
    let mut come = |world: &mut World, from, many: usize| {
        for _ in 0..many {
            client += 1;
            world.now += Duration::from_millis(2);
            world.try_open(new_tv(client, from)).expect("a seat");
        }
    };
    come(&mut world, flat(1), 1000);
    world.waits(new_tv(9001, flat(1)));
    come(&mut world, flat(2), 1000);
    world.waits(new_tv(9002, flat(3)));
    assert_eq!(
        world.sent(),
        ["9001 ! WaitingForPlace { reason: Address { most: 1000 } }", "9002 ! WaitingForPlace { reason: Site { most: 2000 } }"]
    );
    let (_, token) = old_token(&mut world, 1);
    world
        .try_open(OpenRequest { token: Some(&token), ..new_tv(9003, flat(1)) })
        .expect("an old token's TV has another one's place");
    assert_eq!(world.sent(), ["1000 ! Evicted"]);
    world.drop(5);
    world.wait(Duration::from_secs(1));
    let sent = world.sent();
    assert_eq!(sent, ["9001 = new"], "a hotel's TVs that lost power make way to those that come back");
}

#[test]
fn the_rate_defers_and_refuses_nobody() {
    let mut world = World::with(|config| config.max_rooms = 10_000);
    let mut waits = 0;
    for client in 1..=1000 {
        waits += u32::from(world.ask(new_tv(client, HOME)).expect("never refused") == OpenOutcome::Waiting);
    }
    assert_eq!(waits, 750);
    world.waits(new_tv(2000, home(1)));
    world.wait(Duration::from_millis(10));
    assert!(world.sent().iter().any(|line| line == "2000 = new"), "it does not wait for those of another address");
    world.wait(Duration::from_secs(2));
    assert_eq!(world.rooms.len(), 1001);
}

#[test]
fn known_tvs_do_not_wait_for_their_turn_but_are_counted() {
    let mut world = World::with(|config| config.max_rooms = 10_000);
    let tokens: Vec<_> = (1..=300)
        .map(|client| {
            world.now += Duration::from_millis(2);
            world.open(client, None)
        })
        .collect();
    world.restart();
    for client in 1000..1300 {
        world.ask(new_tv(client, HOME)).expect("never refused");
    }
    for (client, seated) in (2000..).zip(&tokens) {
        assert_eq!(world.open(client, Some(&seated.resume_token)).code, seated.code);
    }
    assert_eq!(world.rooms.capacity.len(), 550);
    world.rooms.handle_leave(ClientId::new(2000), world.now).expect("has a seat");
    let again = OpenRequest { token: Some(&tokens[0].resume_token), asked_before: true, ..new_tv(2000, HOME) };
    world.waits(again);
}

#[test]
fn a_tv_that_leaves_the_queue_is_forgotten() {
    let mut world = full_server(3, 0);
    for client in 1..=3 {
        world.ask(new_tv(client, home(666))).expect("waits");
    }
    assert_eq!(world.join(1, "AAAAAA"), Err(Refusal::WrongRole));
    world.drop(1);
    world.rooms.handle_leave(ClientId::new(2), world.now).expect("it waited");
    assert_eq!(world.rooms.handle_leave(ClientId::new(2), world.now), Err(Refusal::NotInRoom));
    world.sent();
    world.drop(1000);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.sent(), ["3 = new"]);
    assert!(world.rooms.waiting_tvs.len() == 0 && world.rooms.waiting_tvs.agree());
}

#[test]
fn a_tv_that_waits_and_names_its_code_gets_that() {
    let mut world = full_server(3, 0);
    world.ask(new_tv(1, home(666))).expect("waits");
    let (code, token) = old_token(&mut world, 1);
    world.rooms.config.max_rooms = 3;
    assert_eq!(
        world.ask(OpenRequest { token: Some(&token), ..new_tv(1, home(666)) }),
        Ok(OpenOutcome::Waiting),
        "its turn comes"
    );
    world.wait(Duration::from_secs(1));
    assert_eq!(world.rooms.seats[&ClientId::new(1)].0, code);
}

#[test]
fn the_queue_is_bounded_and_the_newest_of_the_longest_line_goes() {
    let mut world = full_server(1, 0);
    let (_, token) = old_token(&mut world, 1);
    world.try_open(OpenRequest { token: Some(&token), ..new_tv(1, home(1)) }).expect("a seat");
    for n in 0..10_000_u32 {
        let opened = world.ask(new_tv(10_000 + u64::from(n), home(100 + n / 1000)));
        assert_eq!(opened, Ok(OpenOutcome::Waiting));
    }
    world.sent();
    assert_eq!(world.ask(new_tv(5, home(100))), Err(Refusal::TooManyTvs));
    world.waits(new_tv(6, home(1)));
    let gone: Vec<_> = world.sent().into_iter().filter(|line| line.contains(" = ")).collect();
    assert_eq!(gone, ["19999 = TooManyTvs"]);
    assert_eq!(world.rooms.waiting_tvs.len(), 10_000);
}

#[test]
fn storms_of_moves_end() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    let joins = (0..100).filter(|n| world.join_with(50 + n % 2, tv.code.as_str(), Some(&caster.resume_token)).is_ok());
    assert_eq!(joins.count(), 20);
    let refused = world.join_with(50, tv.code.as_str(), Some(&caster.resume_token));
    assert_eq!(refused, Err(Refusal::RateLimited { wait: Duration::from_secs(1) }));
    let opens = (0..100).filter(|n| {
        let open = OpenRequest { token: Some(&tv.resume_token), ..new_tv(60 + n % 2, HOME) };
        world.ask(open).is_ok()
    });
    assert_eq!(opens.count(), 20, "a caster's storm does not count for the TV");
    world.wait(Duration::from_secs(1));
    assert!(world.join_with(50, tv.code.as_str(), Some(&caster.resume_token)).is_ok());
}

#[derive(Debug, Clone)]
enum Act {
    Open { from: u32, dialect_b: bool, with_token: bool },
    Join,
    Leave,
    Drop,
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_u32..6, any::<bool>(), any::<bool>()).prop_map(|(from, dialect_b, with_token)| Act::Open { from, dialect_b, with_token }),
        2 => Just(Act::Join),
        1 => Just(Act::Leave),
        2 => Just(Act::Drop),
        2 => (0_u16..90).prop_map(Act::Wait),
    ]
}

/// Actions of strangers who have no old tokens, on several connections.
fn strangers(world: &mut World, acts: &[(u64, Act)], tokens: &mut BTreeMap<u64, Seated>) {
    for (client, act) in acts {
        let client = 100 + client;
        match act {
            Act::Open { from, dialect_b, with_token } => {
                let token = tokens.values().nth(usize::try_from(client % 7).expect("small")).filter(|_| *with_token);
                let token = token.map(|seated| seated.resume_token.clone());
                let dialect = if *dialect_b { Dialect::B } else { Dialect::A };
                let open = OpenRequest { dialect, token: token.as_deref(), ..new_tv(client, home(*from)) };
                if let Ok(OpenOutcome::Seated(seated)) = world.ask(open) {
                    tokens.insert(client, seated);
                }
            }
            Act::Join => {
                let code = tokens.values().last().map_or_else(|| "AAAAAA".to_owned(), |seated| seated.code.as_str().to_owned());
                world.join(client, &code).ok();
            }
            Act::Leave => drop(world.rooms.handle_leave(client.into(), world.now)),
            Act::Drop => world.drop(client),
            Act::Wait(seconds) => world.wait(Duration::from_secs((*seconds).into())),
        }
        world.sent();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever strangers do, a TV with an old token gets its seat and keeps it, if its address has few TVs.
    #[test]
    fn a_tv_with_an_old_token_always_has_its_seat(
        before in proptest::collection::vec((0_u64..20, act()), 0..120),
        after in proptest::collection::vec((0_u64..20, act()), 0..120),
    ) {
        let mut world = World::with(|config| config.max_rooms = 8);
        let mut tokens = BTreeMap::new();
        strangers(&mut world, &before, &mut tokens);
        let (code, token) = old_token(&mut world, 77);
        let open = OpenRequest { token: Some(&token), ..new_tv(1, home(99)) };
        prop_assert_eq!(world.try_open(open).expect("a seat").code, code);
        strangers(&mut world, &after, &mut tokens);
        prop_assert_eq!(world.rooms.seats.get(&ClientId::new(1)), Some(&(code, Role::Tv)));
        prop_assert!(world.rooms.len() <= 8);
    }
}
