//! Requirements 3 to 15.

use super::super::codec::framing::{ChannelNumber, Framing};
use super::super::codec::message::ParseError;
use super::*;

fn allocate_with(world: &mut World, client: &mut Client, attributes: impl Fn(&mut MessageWriter<'_>)) -> super::Response {
    world.request(client, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        attributes(writer);
    })
}

#[test]
fn r03_unknown_comprehension_required_attributes_get_420_with_the_list() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let binding = alice.unsigned(Method::Binding, |writer| {
        writer.attribute(0x7777, b"").attribute(0x0033, b"abc").attribute(0x7777, b"").attribute(0xC001, b"optional");
    });
    let answer = world.ask(alice.from, &binding).expect("an answer");
    assert_eq!(answer.code(), Some(420));
    assert_eq!(answer.find(attribute::UNKNOWN_ATTRIBUTES), Some(vec![0x77, 0x77, 0x00, 0x33]));
    let answer = allocate_with(&mut world, &mut alice, |writer| {
        writer.attribute(0x0666, b"x");
    });
    assert_eq!((answer.code(), answer.find(attribute::UNKNOWN_ATTRIBUTES)), (Some(420), Some(vec![0x06, 0x66])));
    assert!(IntegrityAlgorithm::Sha1.verify(&answer.message(), &alice.key()), "who has authenticated gets signed errors");
}

#[test]
fn r03_dont_fragment_is_unknown_where_the_shell_cannot() {
    let mut world = World::with(EngineSettings { dont_fragment: false, ..settings() });
    let mut alice = Client::alice();
    let answer = allocate_with(&mut world, &mut alice, |writer| {
        writer.attribute(attribute::DONT_FRAGMENT, b"");
    });
    assert_eq!((answer.code(), answer.find(attribute::UNKNOWN_ATTRIBUTES)), (Some(420), Some(vec![0, 0x1A])));
}

#[test]
fn r04_attributes_after_message_integrity_are_ignored() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.login(&mut alice);
    let mut bytes = alice.signed(Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
    });
    MessageWriter::resume(&mut bytes).attribute(0x0666, b"required").number(attribute::LIFETIME, 3000).fingerprint();
    let answer = world.ask(alice.from, &bytes).expect("an answer");
    assert_eq!((answer.code(), answer.lifetime()), (None, Some(600)));
    assert!(answer.message().fingerprint(), "FINGERPRINT is answered with FINGERPRINT");
}

#[test]
fn r05_a_bad_fingerprint_is_dropped() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let mut bytes = alice.unsigned(Method::Binding, |writer| writer.fingerprint());
    let answer = world.ask(alice.from, &bytes).expect("an answer");
    assert!(answer.message().fingerprint());
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(world.handle(alice.from, &bytes), Verdict::Drop(DropReason::Malformed(ParseError::Fingerprint)));
    bytes[last] ^= 1;
    MessageWriter::resume(&mut bytes).attribute(0x8022, b"late");
    assert_eq!(world.handle(alice.from, &bytes), Verdict::Drop(DropReason::Malformed(ParseError::Fingerprint)));
}

#[test]
fn r06_retransmitted_allocate_gets_the_identical_reply() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.login(&mut alice);
    let bytes = alice.signed(Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::EVEN_PORT, &[0x80]);
    });
    let first = world.ask(alice.from, &bytes).expect("an answer");
    assert_eq!(first.code(), None);
    world.now += secs(7);
    assert_eq!(world.ask(alice.from, &bytes), Some(first.clone()));
    assert_eq!(world.refresh(&mut alice, 1200).code(), None);
    assert_eq!(world.ask(alice.from, &bytes), Some(first));
    assert_eq!(world.shared.allocations(), 1);
}

#[test]
fn r06_a_new_transaction_on_the_same_five_tuple_gets_437() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    assert_eq!(allocate_with(&mut world, &mut alice, |_| {}).code(), Some(437));
}

#[test]
fn r06_a_retransmission_while_the_socket_opens_waits() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.login(&mut alice);
    let bytes = alice.signed(Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
    });
    assert_eq!(world.engine.handle_client(alice.from, &bytes, world.now), Verdict::Accepted);
    assert_eq!(world.engine.handle_client(alice.from, &bytes, world.now), Verdict::Drop(DropReason::Pending));
    world.drain_outputs();
    assert_eq!(world.outputs.len(), 1, "one answer: {:?}", world.outputs);
}

#[test]
fn r07_refresh_0_frees_everything() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    for round in 0..10_000 {
        let relayed = world.allocate(&mut alice);
        if round % 100 == 0 {
            assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
            assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), to_peer(&world, relayed, OUTSIDE_PEER, 36..37));
        }
        assert_eq!(world.refresh(&mut alice, 0).lifetime(), Some(0));
        assert_eq!(world.refresh(&mut alice, 0).code(), Some(437));
        world.outputs.clear();
    }
    world.assert_empty();
    assert_eq!(world.engine.next_timeout(), None);
}

#[test]
fn r08_lifetimes_are_600_to_3600() {
    let mut world = World::new();
    for (wish, granted) in
        [(None, 600), (Some(0), 600), (Some(1), 600), (Some(777), 777), (Some(3600), 3600), (Some(u32::MAX), 3600)]
    {
        let mut alice = Client::alice();
        let answer = allocate_with(&mut world, &mut alice, |writer| {
            if let Some(wish) = wish {
                writer.number(attribute::LIFETIME, wish);
            }
        });
        assert_eq!(answer.lifetime(), Some(granted));
        world.advance(secs(u64::from(granted) - 1));
        assert_eq!(world.engine.allocation_count(), 1);
        world.advance(secs(1));
        world.assert_empty();
    }
}

#[test]
fn r08_refresh_extends_an_allocation() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    for _ in 0..5 {
        world.advance(secs(599));
        assert_eq!(world.refresh(&mut alice, 600).lifetime(), Some(600));
    }
    assert_eq!(world.engine.next_timeout().map(|at| at <= world.now + secs(600)), Some(true));
    world.advance(secs(600));
    world.assert_empty();
}

#[test]
fn r08_a_permission_lives_300_seconds_and_a_channel_600() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    world.refresh(&mut alice, 3600);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    world.advance(secs(299));
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), to_peer(&world, relayed, OUTSIDE_PEER, 36..37));
    world.advance(secs(1));
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.bind(&mut alice, 0x4001, OUTSIDE_PEER), None);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None, "makes the permission of the channel end no earlier");
    world.advance(secs(599));
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), to_peer(&world, relayed, OUTSIDE_PEER, 4..5));
    let channel = Framing::Channel(ChannelNumber::new(0x4001).expect("a channel"));
    assert_eq!(
        world.peer_data(relayed, OUTSIDE_PEER, b"x"),
        Verdict::ToClient { to: alice.from, framing: channel, payload: 0..1 }
    );
    world.outputs.clear();
    world.advance(secs(1));
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), Verdict::Drop(DropReason::NoChannel));
    assert_eq!(world.outputs, []);
}

#[test]
fn r09_channel_numbers_and_no_rebinding() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    for channel in [0, 0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(world.bind(&mut alice, channel, OUTSIDE_PEER), Some(400));
    }
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    assert_eq!(world.bind(&mut alice, 0x4FFF, "198.51.101.7:7001"), None);
    assert_eq!(world.bind(&mut alice, 0x5000, "198.51.101.7:7002"), None, "as clients of RFC 5766 choose it");
    assert_eq!(world.bind(&mut alice, 0x7FFF, "198.51.101.7:7003"), None);
    assert!(matches!(world.channel_data(&alice, 0x7FFF, b"x"), Verdict::ToPeer { .. }));
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None, "a refresh");
    assert_eq!(world.bind(&mut alice, 0x4000, "198.51.101.8:7000"), Some(400));
    assert_eq!(world.bind(&mut alice, 0x4001, OUTSIDE_PEER), Some(400));
    let incomplete = world.request(&mut alice, Method::ChannelBind, |writer| {
        writer.number(attribute::CHANNEL_NUMBER, 0x4002_0000);
    });
    assert_eq!(incomplete.code(), Some(400));
}

#[test]
fn r10_data_without_a_permission_is_dropped_both_ways() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.peer_data(relayed, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.channel_data(&alice, 0x4000, b"x"), Verdict::Drop(DropReason::NoChannel));
    assert_eq!(world.permit(&mut alice, &["198.51.101.7:1"]), None, "a permission is for any port");
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), to_peer(&world, relayed, OUTSIDE_PEER, 36..37));
    let Verdict::ToClient { to, framing: Framing::Data { peer, .. }, payload } = world.peer_data(relayed, OUTSIDE_PEER, b"xyz")
    else {
        panic!("a Data indication");
    };
    assert_eq!((to, peer, payload), (alice.from, addr(OUTSIDE_PEER), 0..3));
    assert_eq!(world.bind(&mut alice, 0x4321, OUTSIDE_PEER), None);
    let channel = Framing::Channel(ChannelNumber::new(0x4321).expect("a channel"));
    assert_eq!(
        world.peer_data(relayed, OUTSIDE_PEER, b"xyz"),
        Verdict::ToClient { to: alice.from, framing: channel, payload: 0..3 }
    );
    let stranger = Client::bob();
    assert_eq!(world.send(&stranger, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoAllocation));
    assert_eq!(world.channel_data(&stranger, 0x4321, b"x"), Verdict::Drop(DropReason::NoAllocation));
}

#[test]
fn r12_channel_data_beyond_the_packet_is_dropped() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    let beyond = world.handle(alice.from, &[0x40, 0, 0, 5, 1, 2, 3, 4]);
    assert_eq!(beyond, Verdict::Drop(DropReason::MalformedChannelData));
    assert_eq!(world.handle(alice.from, &[0x40, 0, 0, 0]), to_peer(&world, relayed, OUTSIDE_PEER, 4..4));
    assert_eq!(world.handle(alice.from, &[0x40, 0, 0, 1, 1, 0, 0, 0]), to_peer(&world, relayed, OUTSIDE_PEER, 4..5));
}

#[test]
fn r13_requested_address_family() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let answer = allocate_with(&mut world, &mut alice, |writer| {
        writer.number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6);
    });
    assert_eq!(answer.relayed()[0].ip(), ip("2001:4860::1"));
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), Some(443));
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), Some(443));
    assert_eq!(world.bind(&mut alice, 0x4000, "[2606:4700::1]:5"), None);
    let mismatch = world.request(&mut alice, Method::Refresh, |writer| {
        writer.number(attribute::REQUESTED_ADDRESS_FAMILY, IPV4);
    });
    assert_eq!(mismatch.code(), Some(443));
    for (family, code) in [(0, 440), (3, 440), (1, 437)] {
        let answer = allocate_with(&mut world, &mut alice, |writer| {
            writer.number(attribute::REQUESTED_ADDRESS_FAMILY, family << 24);
        });
        // The five-tuple is checked first.
        assert_eq!(answer.code(), Some(437), "{family} {code}");
        let answer = allocate_with(&mut world, &mut Client::bob(), |writer| {
            writer.number(attribute::REQUESTED_ADDRESS_FAMILY, family << 24);
        });
        assert_eq!(answer.code(), if code == 437 { None } else { Some(code) });
    }
    let mut only_v4 = World::with(EngineSettings { relayed: [settings().relayed[0], None], ..settings() });
    let answer = allocate_with(&mut only_v4, &mut Client::alice(), |writer| {
        writer.number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6);
    });
    assert_eq!(answer.code(), Some(440));
}

#[test]
fn r73_a_request_without_a_family_gets_the_default_or_the_family_there_is() {
    use DefaultFamily::{Ipv4, Ipv6, OfClient};
    let [v4, v6] = settings().relayed;
    let (four, six) = ("198.51.100.1:1111", "[2001:db8::9]:1111");
    for (default_family, relayed, client, is_ipv4) in [
        (Ipv4, [v4, v6], four, true),
        (Ipv4, [v4, v6], six, true),
        (Ipv4, [None, v6], four, false),
        (Ipv4, [None, v6], six, false),
        (Ipv6, [v4, v6], four, false),
        (Ipv6, [v4, None], six, true),
        (OfClient, [v4, v6], four, true),
        (OfClient, [v4, v6], six, false),
        (OfClient, [v4, v6], "[::ffff:198.51.100.1]:1111", true),
        (OfClient, [v4, None], six, true),
        (OfClient, [None, v6], four, false),
    ] {
        let mut world = World::with(EngineSettings { default_family, relayed, ..settings() });
        let mut alice = Client::new("alice", client);
        assert_eq!(world.allocate(&mut alice).is_ipv4(), is_ipv4, "{default_family:?} {relayed:?} {client}");
    }
}

#[test]
fn r73_a_family_that_is_asked_for_is_never_replaced() {
    let [v4, v6] = settings().relayed;
    for (relayed, asked) in [([None, v6], IPV4), ([v4, None], IPV6)] {
        for default_family in [DefaultFamily::Ipv4, DefaultFamily::Ipv6, DefaultFamily::OfClient] {
            let mut world = World::with(EngineSettings { default_family, relayed, ..settings() });
            let answer = allocate_with(&mut world, &mut Client::alice(), |writer| {
                writer.number(attribute::REQUESTED_ADDRESS_FAMILY, asked);
            });
            assert_eq!(answer.code(), Some(440), "RFC 8656 §7.2, step 7");
        }
    }
}

#[test]
fn r13_additional_address_family_gives_both() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let both = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6);
    };
    let answer = allocate_with(&mut world, &mut alice, both);
    let relayed = answer.relayed();
    assert_eq!((relayed[0].ip(), relayed[1].ip()), (ip("203.0.114.1"), ip("2001:4860::1")));
    assert_eq!(world.shared.allocations(), 1);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER, "[2606:4700::1]:5"]), None);
    assert_eq!(world.bind(&mut alice, 0x4006, "[2606:4700::1]:5"), None);
    assert_eq!(world.send(&alice, "[2606:4700::1]:5", b"x"), to_peer(&world, relayed[1], "[2606:4700::1]:5", 48..49));
    let half = world.request(&mut alice, Method::Refresh, |writer| {
        writer.number(attribute::LIFETIME, 0).number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6);
    });
    assert_eq!((half.code(), world.sockets.len()), (None, 1));
    assert_eq!(world.send(&alice, "[2606:4700::1]:5", b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), to_peer(&world, relayed[0], OUTSIDE_PEER, 36..37));
    for (kind, value) in [(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV4), (attribute::REQUESTED_ADDRESS_FAMILY, IPV6)] {
        let answer = allocate_with(&mut world, &mut Client::bob(), |writer| {
            writer.number(kind, value);
            if kind == attribute::REQUESTED_ADDRESS_FAMILY {
                both(writer);
            }
        });
        assert_eq!(answer.code(), Some(400));
    }
}

#[test]
fn r13_a_family_that_fails_is_named_and_the_other_given() {
    let mut only_v4 = World::with(EngineSettings { relayed: [settings().relayed[0], None], ..settings() });
    let both = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6);
    };
    let answer = allocate_with(&mut only_v4, &mut Client::alice(), both);
    assert_eq!((answer.relayed().len(), answer.find(attribute::ADDRESS_ERROR_CODE)), (1, Some(vec![2, 0, 4, 40])));
    let mut world = World::new();
    world.open_results = [Ok(()), Err(OpenError::Failed)].into();
    let answer = allocate_with(&mut world, &mut Client::alice(), both);
    assert_eq!((answer.relayed().len(), answer.find(attribute::ADDRESS_ERROR_CODE)), (1, Some(vec![2, 0, 5, 8])));
    assert_eq!(world.shared.taken_ports(AddressFamily::V6), 0);
    world.open_results = [Err(OpenError::Failed), Err(OpenError::Failed)].into();
    let answer = allocate_with(&mut world, &mut Client::bob(), both);
    assert_eq!(answer.code(), Some(508));
    assert_eq!((world.shared.allocations(), world.shared.taken_ports(AddressFamily::V4)), (1, 1));
}

#[test]
fn r14_even_port_without_r_leaks_no_sibling() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let answer = allocate_with(&mut world, &mut alice, |writer| {
        writer.attribute(attribute::EVEN_PORT, &[0]);
    });
    assert_eq!((answer.relayed()[0].port() % 2, answer.find(attribute::RESERVATION_TOKEN)), (0, None));
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 1);
    world.refresh(&mut alice, 0);
    world.assert_empty();
}

#[test]
fn r14_a_reservation_token_gives_the_next_port_once() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let reserve = |writer: &mut MessageWriter<'_>| {
        writer.attribute(attribute::EVEN_PORT, &[0x80]);
    };
    let answer = allocate_with(&mut world, &mut alice, reserve);
    let even = answer.relayed()[0];
    let token = answer.find(attribute::RESERVATION_TOKEN).expect("a token");
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 2);
    let claim = |writer: &mut MessageWriter<'_>| {
        writer.attribute(attribute::RESERVATION_TOKEN, &token);
    };
    let mut second = Client::new("alice", "198.51.100.1:1112");
    assert_eq!(allocate_with(&mut world, &mut Client::bob(), claim).code(), Some(508), "another user's");
    for (kind, value) in [(attribute::EVEN_PORT, vec![0]), (attribute::REQUESTED_ADDRESS_FAMILY, vec![1, 0, 0, 0])] {
        let answer = allocate_with(&mut world, &mut second, |writer| {
            claim(writer);
            writer.attribute(kind, &value);
        });
        assert_eq!(answer.code(), Some(400));
    }
    let odd = allocate_with(&mut world, &mut second, claim).relayed()[0];
    assert_eq!(odd.port(), even.port() + 1);
    assert_eq!(allocate_with(&mut world, &mut Client::new("alice", "198.51.100.1:1113"), claim).code(), Some(508), "spent");
    world.refresh(&mut alice, 0);
    world.refresh(&mut second, 0);
    world.assert_empty();
}

#[test]
fn r14_an_unclaimed_reservation_ends_after_30_seconds() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let answer = allocate_with(&mut world, &mut alice, |writer| {
        writer.attribute(attribute::EVEN_PORT, &[0x80]);
    });
    assert_eq!(world.engine.next_timeout(), Some(world.now + secs(30)));
    world.advance(secs(29));
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 2);
    world.advance(secs(1));
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 1);
    world.refresh(&mut alice, 0);
    world.assert_empty();
    let token = answer.find(attribute::RESERVATION_TOKEN).expect("a token");
    let late = allocate_with(&mut world, &mut alice, |writer| {
        writer.attribute(attribute::RESERVATION_TOKEN, &token);
    });
    assert_eq!(late.code(), Some(508));
}

#[test]
fn r14_an_unclaimed_reservation_ends_with_its_allocation() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    for _ in 0..1000 {
        let answer = allocate_with(&mut world, &mut alice, |writer| {
            writer.attribute(attribute::EVEN_PORT, &[0x80]);
        });
        assert_eq!(answer.code(), None);
        world.refresh(&mut alice, 0);
        world.assert_empty();
        assert_eq!(world.engine.next_timeout(), None);
    }
}

#[test]
fn r14_a_failed_or_revoked_opening_gives_both_ports_back() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let reserve = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::EVEN_PORT, &[0x80]);
    };
    world.open_results = [Err(OpenError::PortInUse), Err(OpenError::Failed)].into();
    assert_eq!(world.request(&mut alice, Method::Allocate, reserve).code(), Some(508));
    world.assert_empty();
    let bytes = alice.signed(Method::Allocate, reserve);
    assert_eq!(world.engine.handle_client(alice.from, &bytes, world.now), Verdict::Accepted);
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 2);
    world.engine.revoke(Scope::Anyone, "alice");
    world.drain_outputs();
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 0);
    assert_eq!(world.outputs, []);
}

#[test]
fn r15_payloads_pass_unchanged() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    for len in [0, 1, 2, 3, 4, 5, 160, 1200, 1452, 9000, 65_500] {
        let payload: Vec<u8> = (0..len).map(|at: usize| (at * 31) as u8).collect();
        for bytes in [channel_data(0x4000, &payload), send_indication(addr(OUTSIDE_PEER), &payload)] {
            let Verdict::ToPeer { payload: range, .. } = world.handle(alice.from, &bytes) else { panic!("{len} bytes") };
            assert_eq!(&bytes[range], payload);
        }
        assert!(
            matches!(world.peer_data(relayed, OUTSIDE_PEER, &payload), Verdict::ToClient { payload, .. } if payload == (0..len))
        );
    }
    assert_eq!(world.permit(&mut alice, &["198.51.101.9:1"]), None);
    let huge = vec![0; 65_530];
    assert_eq!(world.peer_data(relayed, "198.51.101.9:1", &huge), Verdict::Drop(DropReason::TooLong));
}

#[test]
fn create_permission_installs_all_peers_or_none() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    assert_eq!(world.permit(&mut alice, &[]), Some(400));
    assert_eq!(world.permit(&mut alice, &["198.51.101.1:1", "10.0.0.1:1", "198.51.101.2:1"]), Some(403));
    assert_eq!(world.send(&alice, "198.51.101.1:1", b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &["198.51.101.1:1", "198.51.101.2:1", "198.51.101.3:1"]), None);
    for peer in ["198.51.101.1:9", "198.51.101.2:9", "198.51.101.3:9"] {
        assert!(matches!(world.send(&alice, peer, b"x"), Verdict::ToPeer { .. }));
    }
    let malformed = world.request(&mut alice, Method::CreatePermission, |writer| {
        writer.attribute(attribute::XOR_PEER_ADDRESS, &[0, 1, 0, 0]);
    });
    assert_eq!(malformed.code(), Some(400));
}

#[test]
fn dont_fragment_reaches_the_verdict() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    let mut bytes = send_indication(addr(OUTSIDE_PEER), b"x");
    MessageWriter::resume(&mut bytes).attribute(attribute::DONT_FRAGMENT, b"");
    assert!(matches!(world.handle(alice.from, &bytes), Verdict::ToPeer { dont_fragment: true, .. }));
}

#[test]
fn an_incomplete_allocate_is_refused() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let none = world.request(&mut alice, Method::Allocate, |_| {});
    assert_eq!(none.code(), Some(400));
    for (transport, code) in [(0, 442), (1 << 24, 442), (TCP, 442)] {
        let answer = world.request(&mut alice, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, transport);
        });
        assert_eq!(answer.code(), Some(code));
    }
    world.assert_empty();
}

#[test]
fn an_alternate_server_is_named_to_those_who_authenticate() {
    let mut world = World::with(EngineSettings { alternate_server: [Some(addr("203.0.114.9:3478")), None], ..settings() });
    let mut alice = Client::alice();
    let answer = allocate_with(&mut world, &mut alice, |_| {});
    assert_eq!(answer.code(), Some(300));
    assert_eq!(answer.find(attribute::ALTERNATE_SERVER), Some(vec![0, 1, 0x0D, 0x96, 203, 0, 114, 9]));
    assert!(IntegrityAlgorithm::Sha1.verify(&answer.message(), &alice.key()));
    world.assert_empty();
}

#[test]
fn software_is_left_out_unless_set() {
    let mut alice = Client::alice();
    let answer = allocate_with(&mut World::new(), &mut alice, |_| {});
    assert_eq!(answer.find(attribute::SOFTWARE), None);
    let mut world = World::with(EngineSettings { software: Some("Castway".to_owned()), ..settings() });
    let answer = allocate_with(&mut world, &mut Client::alice(), |_| {});
    assert_eq!(answer.find(attribute::SOFTWARE), Some(b"Castway".to_vec()));
}

#[test]
fn an_icmp_error_reaches_the_client() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    let relayed_id = world.relayed_at(relayed);
    let icmp = |world: &mut World| world.engine.handle_icmp(relayed_id, addr(OUTSIDE_PEER), 3, 3, [0, 0, 5, 0], world.now);
    assert_eq!(icmp(&mut world), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    assert_eq!(icmp(&mut world), Verdict::Reply { to: alice.from, answer: Answer::Indication { method: Method::Data } });
    let indication = StunMessage::parse(world.engine.reply()).expect("a message");
    assert_eq!((indication.class(), indication.method()), (Class::Indication, Method::Data));
    assert_eq!(indication.find(attribute::ICMP), Some(&[0, 0, 3, 3, 0, 0, 5, 0][..]));
}

fn to_peer(world: &World, relayed: SocketAddr, peer: &str, payload: std::ops::Range<usize>) -> Verdict {
    Verdict::ToPeer { relayed: world.relayed_at(relayed), peer: addr(peer), payload, dont_fragment: false }
}
