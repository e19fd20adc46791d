//! Requirements 37 to 48.

use super::*;

fn udp(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
}

fn limited(change: impl FnOnce(&mut Limits)) -> World {
    let mut settings = settings();
    change(&mut settings.limits);
    World::with(settings)
}

#[test]
fn r37_strangers_leave_nothing_behind() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let messages = [
        alice.unsigned(Method::Binding, |_| {}),
        alice.unsigned(Method::Allocate, udp),
        alice.signed(Method::Allocate, udp),
        alice.signed(Method::Refresh, |_| {}),
        send_indication(addr(OUTSIDE_PEER), b"x"),
        channel_data(0x4000, b"x"),
        vec![0xFF; 40],
    ];
    for number in 0..100_000_u32 {
        let client = SocketAddr::from((number.to_be_bytes(), number as u16));
        let from = FiveTuple { client, ..alice.from };
        let verdict = world.engine.handle_client(from, &messages[number as usize % messages.len()], world.now);
        assert!(matches!(verdict, Verdict::Drop(_) | Verdict::Reply { .. }), "{verdict:?}");
    }
    assert_eq!((world.engine.poll_output(), world.engine.next_timeout()), (None, None));
    assert!(world.engine.reply.capacity() <= 1024);
    world.assert_empty();
}

#[test]
fn r38_a_binding_reply_is_32_or_44_bytes() {
    let mut world = World::new();
    for (client, len, offset) in [("198.51.100.1:1111", 32, 24), ("[2606:4700::9]:1111", 44, 24)] {
        let mut client = Client::new("", client);
        let bytes = client.unsigned(Method::Binding, |_| {});
        let answer = world.ask(client.from, &bytes).expect("an answer");
        assert_eq!(answer.addresses(attribute::XOR_MAPPED_ADDRESS), [client.from.client]);
        assert_eq!((answer.0.len(), answer.0[offset - 4..offset].to_vec()), (len, vec![0, 0x20, 0, (len - 24) as u8]));
    }
}

#[test]
fn r38_a_client_of_a_dual_stack_socket_is_told_its_ipv4_address() {
    let (mut world, mut client) = (World::new(), Client::new("alice", "[::ffff:198.51.100.1]:1111"));
    let bytes = client.unsigned(Method::Binding, |_| {});
    let answer = world.ask(client.from, &bytes).expect("an answer");
    assert_eq!((answer.0.len(), answer.addresses(attribute::XOR_MAPPED_ADDRESS)), (32, vec![addr("198.51.100.1:1111")]));
    let answer = world.request(&mut client, Method::Allocate, udp);
    assert_eq!(answer.addresses(attribute::XOR_MAPPED_ADDRESS), [addr("198.51.100.1:1111")]);
}

#[test]
fn r39_a_401_is_at_most_2_2_times_the_smallest_allocate() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let bytes = alice.unsigned(Method::Allocate, udp);
    assert_eq!(bytes.len(), 28);
    let answer = world.ask(alice.from, &bytes).expect("an answer");
    assert_eq!(answer.code(), Some(401));
    assert!(answer.0.len() * 10 <= bytes.len() * 22, "{} bytes", answer.0.len());
    for padding in 0..100 {
        world.now += secs(1);
        let bytes = alice.unsigned(Method::Allocate, |writer| {
            udp(writer);
            writer.attribute(attribute::SOFTWARE, &vec![b'x'; padding]);
        });
        let answer = world.ask(alice.from, &bytes).expect("an answer");
        assert!(answer.0.len() * 10 <= bytes.len() * 22, "{} of {} bytes", answer.0.len(), bytes.len());
    }
}

#[test]
fn r39_a_bare_allocate_gets_nothing() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    for method in [Method::Allocate, Method::Refresh, Method::CreatePermission, Method::ChannelBind] {
        let bytes = alice.unsigned(method, |_| {});
        assert_eq!(bytes.len(), 20);
        assert_eq!(world.handle(alice.from, &bytes), Verdict::Drop(DropReason::Bare));
    }
}

/// The answers to forged requests of an address, which come from a thousand of its ports in each of `seconds`.
fn answers_to_victim(world: &mut World, victim: &str, method: Method, seconds: u64) -> usize {
    let mut forged = Client::new("alice", &format!("{victim}:1"));
    let mut answered = 0;
    for step in 0..seconds * 20 {
        for port in 0..50 {
            forged.from.client.set_port(1000 + 50 * (step % 20) as u16 + port);
            let bytes = forged.unsigned(method, udp);
            answered += usize::from(world.ask(forged.from, &bytes).is_some());
        }
        world.now += Duration::from_millis(50);
    }
    answered
}

#[test]
fn r39_ten_challenges_a_second_to_one_source() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 1), 10);
    let in_ten_seconds = answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 10);
    assert!((80..=100).contains(&in_ten_seconds), "{in_ten_seconds}");
    // A wrong password and a nonce of another port prove nothing about the address.
    let mut thief = Client::new("alice", "198.51.100.1:5");
    thief.password = "wrong".to_owned();
    world.now += secs(2);
    world.login(&mut thief);
    let bytes = thief.signed(Method::Allocate, udp);
    assert_eq!(world.ask(thief.from, &bytes).and_then(|answer| answer.code()), Some(401));
    let forged = Client { nonce: thief.nonce, ..Client::alice() }.signed(Method::Allocate, udp);
    assert_eq!(world.ask(alice.from, &forged).and_then(|answer| answer.code()), Some(438));
    world.now += secs(2);
    assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 1), 10);
    world.allocate(&mut Client::bob());
    world.now += secs(2);
    let bindings = (0..1000).filter(|_| {
        let bytes = alice.unsigned(Method::Binding, |_| {});
        world.ask(alice.from, &bytes).is_some()
    });
    assert_eq!(bindings.count(), 50);
}

#[test]
fn r78_a_spoofed_victim_gets_at_most_200_answers_a_second() {
    for over_tcp in [false, true] {
        let (mut world, alice) = (World::new(), Client::alice());
        let mut alice = if over_tcp { alice.over_tcp() } else { alice };
        world.allocate(&mut alice);
        world.now += secs(2);
        assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 1), 200);
        let in_ten_seconds = answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 10);
        assert!((1600..=2000).contains(&in_ten_seconds), "{in_ten_seconds}");
        world.now += secs(2);
        assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Binding, 1), 150);
        assert_eq!(answers_to_victim(&mut world, "198.51.100.7", Method::Allocate, 1), 10, "its neighbour has not authenticated");
        // An allocation that its client refreshes keeps the address known, and an hour after its last request it is forgotten.
        for _ in 0..8 {
            world.advance(secs(500));
            assert_eq!(world.refresh(&mut alice, 600).code(), None);
        }
        world.now += secs(3500);
        assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 1), 200);
        world.now += secs(100);
        assert_eq!(answers_to_victim(&mut world, "198.51.100.1", Method::Allocate, 1), 10);
    }
}

#[test]
fn r78_an_ipv6_64_counts_as_one_address() {
    let mut world = World::new();
    world.allocate(&mut Client::new("alice", "[2001:4860:1::1]:1111"));
    world.now += secs(2);
    let answered = (1..=500).filter(|number| {
        let mut forged = Client::new("alice", &format!("[2001:4860:1::{number}]:{number}"));
        let bytes = forged.unsigned(Method::Allocate, udp);
        world.ask(forged.from, &bytes).is_some()
    });
    assert_eq!(answered.count(), 200);
    assert_eq!(answers_to_victim(&mut world, "[2001:4860:1:1::1]", Method::Allocate, 1), 10);
}

/// When the last of `clients` behind one address gets in, in milliseconds, where all start at the same time and repeat their requests
/// (RFC 8489 §6.2.1). Each asks for its own address first with `binding`; their requests take 20 ms to the relay and back. Other
/// clients of that address fail in a loop.
fn all_are_in(clients: u16, binding: bool, failing: u16) -> u64 {
    let mut world = World::with_ports(settings(), 50_000..=51_999);
    let client = |port: u16| Client::new("alice", &format!("198.51.100.1:{port}"));
    let mut thieves: Vec<Client> = (1..=failing).map(client).collect();
    thieves.iter_mut().for_each(|thief| "wrong".clone_into(&mut thief.password));
    // Each with the time of its next request, and how often it has sent that.
    let mut waiting: Vec<(Client, bool, u64, u32)> = (0..clients).map(|n| (client(1000 + n), !binding, 0, 0)).collect();
    let begin = world.now;
    for now in (0..=40_000).step_by(10) {
        world.now = begin + Duration::from_millis(now);
        for thief in &mut thieves {
            let bytes =
                if thief.nonce.is_empty() { thief.unsigned(Method::Allocate, udp) } else { thief.signed(Method::Allocate, udp) };
            if let Some(answer) = world.ask(thief.from, &bytes) {
                thief.take_nonce(&answer);
            }
        }
        waiting.retain_mut(|(client, is_bound, next, sent)| {
            if *next > now {
                return true;
            }
            let bytes = match (*is_bound, client.nonce.is_empty()) {
                (false, _) => client.unsigned(Method::Binding, |_| {}),
                (true, true) => client.unsigned(Method::Allocate, udp),
                (true, false) => client.signed(Method::Allocate, udp),
            };
            let Some(answer) = world.ask(client.from, &bytes) else {
                *next += 500 << *sent;
                *sent += 1;
                return true;
            };
            if *is_bound && !client.nonce.is_empty() {
                assert_eq!(answer.code(), None);
                return false;
            }
            if *is_bound {
                client.take_nonce(&answer)
            } else {
                *is_bound = true
            }
            (*next, *sent) = (now + 20, 0);
            true
        });
        if waiting.is_empty() {
            return now;
        }
    }
    u64::MAX
}

#[test]
fn r39_all_behind_one_address_get_in() {
    assert_eq!(all_are_in(10, false, 0), 20, "a few are not delayed");
    assert!(all_are_in(40, false, 1) < 2_000);
}

#[test]
fn r78_300_clients_behind_one_address_get_in_within_10_seconds_by_their_own_timers() {
    for (binding, failing) in [(false, 0), (true, 0), (false, 2), (true, 2)] {
        let latest = all_are_in(300, binding, failing);
        assert!(latest <= 10_000, "{latest} ms, with Binding first: {binding}, beside {failing} that fail");
    }
    assert!(all_are_in(600, false, 0) <= 10_000);
}

#[test]
fn r39_streams_have_proved_their_address() {
    let (mut world, mut alice) = (World::new(), Client::alice().over_tcp());
    for _ in 0..100 {
        let bytes = alice.unsigned(Method::Allocate, udp);
        assert!(world.ask(alice.from, &bytes).is_some());
    }
}

#[test]
fn r40_responses_and_indications_of_strangers_get_nothing() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    for method in [Method::Binding, Method::Allocate, Method::Send, Method::Data, Method::Unknown(0x0FF)] {
        for class in [Class::Indication, Class::Success, Class::Error] {
            let mut bytes = Vec::new();
            MessageWriter::new(&mut bytes, class, method, &TransactionId([1; 12])).attribute(0x7777, b"unknown");
            assert!(matches!(world.handle(alice.from, &bytes), Verdict::Drop(_)), "{class:?} {method:?}");
        }
        if matches!(method, Method::Send | Method::Data | Method::Unknown(_)) {
            let bytes = alice.unsigned(method, udp);
            assert_eq!(world.handle(alice.from, &bytes), Verdict::Drop(DropReason::UnsupportedMethod));
        }
    }
}

#[test]
fn r41_a_users_quota_is_486() {
    let mut world = limited(|limits| limits.user_quota = Some(3));
    let clients = |user: &'static str| (1..=3).map(move |port| Client::new(user, &format!("198.51.100.1:{port}")));
    for mut client in clients("alice") {
        world.allocate(&mut client);
    }
    let mut fourth = Client::new("alice", "198.51.100.1:4");
    assert_eq!(world.request(&mut fourth, Method::Allocate, udp).code(), Some(486));
    world.allocate(&mut Client::bob());
    world.engine.revoke(Scope::Anyone, "alice");
    world.drain_outputs();
    world.allocate(&mut fourth);
}

#[test]
fn r42_an_empty_pool_is_508_and_recovers() {
    let mut world = World::with_ports(settings(), 50_000..=50_001);
    let (mut alice, mut bob, mut third) = (Client::alice(), Client::bob(), Client::new("bob", "198.51.100.3:3"));
    world.allocate(&mut alice);
    world.allocate(&mut bob);
    assert_eq!(world.request(&mut third, Method::Allocate, udp).code(), Some(508));
    assert_eq!(world.shared.allocations(), 2, "nothing is counted for the refused");
    world.refresh(&mut alice, 0);
    world.allocate(&mut third);
    let mut world = limited(|limits| limits.total_quota = Some(1));
    world.allocate(&mut alice);
    assert_eq!(world.request(&mut bob, Method::Allocate, udp).code(), Some(508));
    world.advance(secs(600));
    world.allocate(&mut bob);
}

#[test]
fn r43_permissions_and_channels_are_capped() {
    let mut world = limited(|limits| {
        limits.permissions = 5;
        limits.channels = 3;
        limits.new_peers = None;
    });
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    for host in 1..=5_u16 {
        assert_eq!(world.permit(&mut alice, &[&format!("198.51.101.{host}:1")]), None);
    }
    assert_eq!(world.permit(&mut alice, &["198.51.101.6:1"]), Some(508));
    assert_eq!(world.permit(&mut alice, &["198.51.101.5:1"]), None, "a refresh");
    for host in 1..=3_u16 {
        assert_eq!(world.bind(&mut alice, 0x4000 + host, &format!("198.51.101.{host}:1")), None);
    }
    assert_eq!(world.bind(&mut alice, 0x4004, "198.51.101.4:1"), Some(508));
    assert_eq!(world.bind(&mut alice, 0x4003, "198.51.101.3:1"), None, "a refresh");
    world.advance(secs(300));
    assert_eq!(world.permit(&mut alice, &["198.51.101.6:1"]), None);
}

#[test]
fn r43_new_peers_a_second_are_capped() {
    let mut world = limited(|limits| {
        limits.permissions = 1000;
        limits.new_peers = Some(10);
    });
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    let scan = |world: &mut World, alice: &mut Client, from: u32| {
        let hosts = (from..from + 100).map(|host| format!("198.51.{}.{}:1", 101 + host / 250, host % 250));
        hosts.filter(|peer| world.permit(alice, &[peer]).is_none()).count()
    };
    assert_eq!(scan(&mut world, &mut alice, 0), 10);
    world.now += secs(1);
    assert_eq!(scan(&mut world, &mut alice, 100), 10);
}

#[test]
fn r44_bandwidth_is_capped_by_allocation_user_and_server() {
    type Cap = fn(&mut Limits);
    let caps: [(Cap, [usize; 3]); 3] = [
        (|limits| limits.allocation_bandwidth = Some(100_000), [100, 100, 100]),
        (|limits| limits.user_bandwidth = Some(100_000), [100, 0, 100]),
        (|limits| limits.server_bandwidth = Some(100_000), [100, 0, 0]),
    ];
    for (cap, expected) in caps {
        let mut world = limited(cap);
        let mut clients = [Client::alice(), Client::new("alice", "198.51.100.1:2"), Client::bob()];
        let relayed = clients.each_mut().map(|client| {
            let relayed = world.allocate(client);
            assert_eq!(world.bind(client, 0x4000, OUTSIDE_PEER), None);
            relayed
        });
        let passed = clients.each_ref().map(|client| {
            let packets = (0..200).filter(|_| matches!(world.channel_data(client, 0x4000, &[0; 1000]), Verdict::ToPeer { .. }));
            packets.count()
        });
        assert_eq!(passed, expected);
        assert_eq!(world.channel_data(&clients[0], 0x4000, &[0; 1000]), Verdict::Drop(DropReason::Bandwidth));
        assert!(matches!(world.peer_data(relayed[0], OUTSIDE_PEER, &[0; 1000]), Verdict::ToClient { .. }), "the other direction");
        world.now += secs(1);
        assert!(matches!(world.channel_data(&clients[0], 0x4000, &[0; 1000]), Verdict::ToPeer { .. }));
    }
}

#[test]
fn r47_a_socket_that_does_not_open_is_508_and_holds_nothing() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.open_results = [Err(OpenError::Failed)].into();
    let answer = world.request(&mut alice, Method::Allocate, udp);
    assert_eq!(answer.code(), Some(508));
    assert!(IntegrityAlgorithm::Sha1.verify(&answer.message(), &alice.key()));
    world.assert_empty();
    world.open_results = [Err(OpenError::PortInUse), Err(OpenError::PortInUse)].into();
    world.allocate(&mut alice);
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 1);
    world.open_results = [Err(OpenError::PortInUse); 100].into();
    assert_eq!(world.request(&mut Client::bob(), Method::Allocate, udp).code(), Some(508), "somebody else has all ports");
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 1);
}

#[test]
fn r48_many_allocations_come_and_go_in_the_same_places() {
    let mut world = World::new();
    for round in 0..2_000_u32 {
        let mut client = Client::new("alice", &format!("198.51.{}.{}:{}", round % 100, round / 256, 1 + round));
        let _ = world.allocate(&mut client);
        if round % 2 == 0 {
            world.refresh(&mut client, 0);
        }
        world.now += secs(20);
        world.outputs.clear();
    }
    assert!(world.engine.allocation_count() <= 16);
    world.advance(secs(600));
    world.assert_empty();
}

#[test]
fn a_closed_stream_ends_its_allocation() {
    let (mut world, mut alice) = (World::new(), Client::alice().over_tcp());
    world.allocate(&mut alice);
    world.engine.handle_client_closed(&Client::bob().from, world.now);
    assert_eq!(world.engine.allocation_count(), 1);
    world.engine.handle_client_closed(&alice.from, world.now);
    world.drain_outputs();
    world.assert_empty();
}
