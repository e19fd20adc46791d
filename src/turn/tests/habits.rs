//! What usual clients do in long calls and when they start again (requirements 6, 7, 8 and 14).

use super::*;

/// How often a client refreshes, in seconds.
struct Habit {
    name: &'static str,
    allocation: u64,
    permission: Option<u64>,
    channel: Option<u64>,
}

/// Permissions live for 300 s, and channels, nonces and allocations for 600 s each. libwebrtc and pjnath refresh each a minute before it ends;
/// aioice and werift refresh no permissions, and channels every 500 s.
const HABITS: [Habit; 4] = [
    Habit { name: "libwebrtc: a channel every 4 minutes", allocation: 540, permission: Some(240), channel: Some(240) },
    Habit { name: "pjnath: permissions of their own", allocation: 540, permission: Some(240), channel: Some(540) },
    Habit { name: "aioice and werift: nothing but the channel", allocation: 500, permission: None, channel: Some(501) },
    Habit { name: "without channels", allocation: 595, permission: Some(270), channel: None },
];

#[test]
fn r08_a_call_of_13_minutes_loses_no_packet() {
    for habit in HABITS {
        for over_tcp in [false, true] {
            let mut world = World::new();
            let mut alice = if over_tcp { Client::alice().over_tcp() } else { Client::alice() };
            let relayed = world.allocate(&mut alice);
            let mut nonces = vec![alice.nonce.clone()];
            for second in 0..=13 * 60 + 30 {
                if second > 0 {
                    world.advance(secs(1));
                }
                if second > 0 && second % habit.allocation == 0 {
                    assert_eq!(world.refresh(&mut alice, 600).lifetime(), Some(600), "{}", habit.name);
                }
                let is_due = |interval: Option<u64>| interval.is_some_and(|interval| second % interval == 0);
                if is_due(habit.permission) {
                    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None, "{}", habit.name);
                }
                if is_due(habit.channel) {
                    assert_eq!(world.bind(&mut alice, 0x4001, OUTSIDE_PEER), None, "{}", habit.name);
                }
                let sent = match habit.channel {
                    Some(_) => world.channel_data(&alice, 0x4001, b"x"),
                    None => world.send(&alice, OUTSIDE_PEER, b"x"),
                };
                assert!(matches!(sent, Verdict::ToPeer { .. }), "{} after {second} s: {sent:?}", habit.name);
                let received = world.peer_data(relayed, OUTSIDE_PEER, b"x");
                assert!(matches!(received, Verdict::ToClient { .. }), "{} after {second} s: {received:?}", habit.name);
                if nonces.last() != Some(&alice.nonce) {
                    nonces.push(alice.nonce.clone());
                }
            }
            assert_eq!(world.refresh(&mut alice, 0).lifetime(), Some(0), "{}", habit.name);
            world.assert_empty();
            nonces.push(alice.nonce);
            nonces.dedup();
            assert_eq!(nonces.len(), 2, "{}: one nonce has expired", habit.name);
        }
    }
}

/// RFC 8656 §8.3: a client takes the 437 for a success.
#[test]
fn r07_a_second_refresh_0_gets_437_also_as_a_retransmission() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    let bytes = alice.signed(Method::Refresh, |writer| {
        writer.number(attribute::LIFETIME, 0);
    });
    assert_eq!(world.ask(alice.from, &bytes).expect("an answer").lifetime(), Some(0));
    assert_eq!(world.ask(alice.from, &bytes).expect("an answer").code(), Some(437));
    assert_eq!(world.refresh(&mut alice, 0).code(), Some(437));
    world.assert_empty();
    world.allocate(&mut alice);
}

#[test]
fn r06_a_client_that_starts_again_on_its_port_gets_in_after_refresh_0_or_from_another_port() {
    let (mut world, mut before) = (World::new(), Client::alice());
    let first = world.allocate(&mut before);
    let mut again = Client { transaction: 1000, ..Client::alice() };
    assert_eq!(again.from, before.from);
    let allocate = |world: &mut World, client: &mut Client| {
        world.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        })
    };
    assert_eq!(allocate(&mut world, &mut again).code(), Some(437));
    // Another user can't end it.
    let mut other = Client { username: "bob".to_owned(), transaction: 2000, ..Client::alice() };
    assert_eq!((allocate(&mut world, &mut other).code(), world.refresh(&mut other, 0).code()), (Some(441), Some(441)));
    let mut elsewhere = Client::alice();
    elsewhere.from.client.set_port(before.from.client.port() + 1);
    assert_eq!(allocate(&mut world, &mut elsewhere).code(), None);
    assert!(world.sockets.values().any(|open| *open == first), "the first one stays");
    assert_eq!(world.refresh(&mut again, 0).lifetime(), Some(0));
    assert_eq!(allocate(&mut world, &mut again).code(), None);
}

#[test]
fn r14_even_port_in_a_range_of_four() {
    let mut world = World::with_ports(settings(), 50_000..=50_003);
    let client = |port| Client::new("alice", &format!("192.0.2.1:{port}"));
    let even = |world: &mut World, client: &mut Client, reserve: bool| {
        world.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::EVEN_PORT, &[if reserve { 0x80 } else { 0 }]);
        })
    };
    let claim = |world: &mut World, client: &mut Client, token: &[u8]| {
        world.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::RESERVATION_TOKEN, token);
        })
    };
    for _ in 0..3 {
        let [mut rtp, mut rtcp, mut second, mut third] = [1000, 1001, 1002, 1003].map(client);
        let answer = even(&mut world, &mut rtp, true);
        let (port, token) = (answer.relayed()[0].port(), answer.find(attribute::RESERVATION_TOKEN).expect("a token"));
        assert_eq!(port % 2, 0);
        let answer = even(&mut world, &mut second, true);
        let (other, unclaimed) = (answer.relayed()[0].port(), answer.find(attribute::RESERVATION_TOKEN).expect("a token"));
        assert_eq!([port.min(other), port.max(other)], [50_000, 50_002]);
        assert_eq!(claim(&mut world, &mut rtcp, &token).relayed()[0].port(), port + 1);
        assert_eq!(even(&mut world, &mut third, false).code(), Some(508), "no even port is left");
        assert_eq!(
            world
                .request(&mut third, Method::Allocate, |writer| {
                    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
                })
                .code(),
            Some(508),
            "the last port is reserved"
        );
        assert_eq!(claim(&mut world, &mut third, &token).code(), Some(508), "the token was used");
        world.refresh(&mut second, 0);
        assert_eq!(claim(&mut world, &mut third, &unclaimed).code(), Some(508), "the reservation ended with its allocation");
        let answer = even(&mut world, &mut third, true);
        assert_eq!(answer.relayed()[0].port(), other, "the pair is free again");
        for client in [&mut rtp, &mut rtcp, &mut third] {
            assert_eq!(world.refresh(client, 0).lifetime(), Some(0));
        }
        world.assert_empty();
    }
}
