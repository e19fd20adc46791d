//! Requirement 71: what strangers hold and send is bounded, and they yield to each other and to users.

use super::*;

const TOO_MANY: Option<u16> = Some(486);
const NO_CAPACITY: Option<u16> = Some(508);

/// A world with this many ports for allocations without a socket. The attackers of these tests need no patience.
fn world_with(internal_ports: u16, change: impl FnOnce(&mut EngineSettings)) -> World {
    World::with(settings_with(internal_ports, change))
}

fn settings_with(internal_ports: u16, change: impl FnOnce(&mut EngineSettings)) -> EngineSettings {
    let mut settings = settings();
    settings.internal_ports = vec![2000..=1999 + internal_ports];
    settings.limits.challenges = u16::MAX;
    change(&mut settings);
    settings
}

/// A stranger at this address.
fn stranger(ip: &str, port: u16) -> Client {
    let from = SocketAddr::new(ip.parse().expect("an address"), port).to_string();
    Client::new("alice", &from).into_stranger()
}

/// An Allocate; returns the error code.
fn ask_for_allocation(world: &mut World, client: &mut Client, family: u32) -> Option<u16> {
    let attributes = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).number(attribute::REQUESTED_ADDRESS_FAMILY, family);
    };
    world.request(client, Method::Allocate, attributes).code()
}

/// Strangers at this address allocate until one is refused, or until there are `most`. Returns those who have an allocation, and
/// the error code.
fn fill(world: &mut World, ip: &str, most: u16) -> (Vec<Client>, Option<u16>) {
    let mut clients = Vec::new();
    for port in 1..=most {
        let mut client = stranger(ip, port);
        let code = ask_for_allocation(world, &mut client, IPV4);
        if code.is_some() {
            return (clients, code);
        }
        clients.push(client);
    }
    (clients, None)
}

fn live(world: &World, clients: &[Client]) -> usize {
    clients.iter().filter(|client| world.engine.has_allocation(&client.from)).count()
}

#[test]
fn r71_the_limits_are_2000_of_an_ipv4_400_of_a_64_and_80_percent() {
    let limits = Limits::default();
    assert_eq!((limits.clients_per_address, limits.clients_capacity, limits.clients_bandwidth), (2000, 80, Some(25_000_000)));
    for (ip, other, bound) in [("198.51.100.1", "198.51.100.2", 20), ("2606:4700:1:1::9", "2606:4700:1:2::9", 4)] {
        let mut world = world_with(1000, |settings| settings.limits.clients_per_address = 20);
        let (clients, code) = fill(&mut world, ip, 100);
        assert_eq!((clients.len(), code), (bound, TOO_MANY), "although there is capacity");
        assert_eq!(world.shared.allocations() as usize, bound, "the refused take nothing");
        assert_eq!(world.shared.taken_ports(AddressFamily::V4), bound);
        let mut another = clients[0].clone();
        another.from.client = SocketAddr::new(other.parse().expect("an address"), 1);
        assert_eq!(ask_for_allocation(&mut world, &mut another, IPV4), None, "another address has its own");
        let mut user = Client::new("bob", &clients[0].from.client.to_string());
        user.from.client.set_port(999);
        world.allocate(&mut user);
        world.refresh(&mut clients[3].clone(), 0);
        assert_eq!(ask_for_allocation(&mut world, &mut stranger(ip, 500), IPV4), None, "and it recovers");
    }
}

#[test]
fn r71_below_80_percent_nobody_is_refused_and_above_it_the_largest_holder_yields() {
    let mut world = world_with(100, |_| {});
    let (school, code) = fill(&mut world, "198.51.100.1", 20);
    assert_eq!((school.len(), code), (20, None));
    let (attackers, code) = fill(&mut world, "198.51.100.2", 100);
    assert_eq!((attackers.len(), code), (60, NO_CAPACITY), "80% is in use, and the attacker has the most");
    let (more, code) = fill(&mut world, "198.51.100.3", 20);
    assert_eq!((more.len(), code), (20, None), "another address is admitted");
    assert_eq!((live(&world, &attackers), live(&world, &attackers[..40])), (40, 40), "the attacker's youngest have ended");
    assert_eq!((live(&world, &school), world.shared.allocations()), (20, 80), "and nobody else's");
    assert_eq!(world.channel_data(&attackers[50], 0x4000, b"x"), Verdict::Drop(DropReason::NoAllocation));
    for turn in 100..109 {
        assert_eq!(ask_for_allocation(&mut world, &mut stranger("198.51.100.2", turn), IPV4), NO_CAPACITY);
        assert_eq!(ask_for_allocation(&mut world, &mut stranger("198.51.100.1", turn), IPV4), None);
    }
    assert_eq!(live(&world, &attackers), 31);
    assert_eq!(
        ask_for_allocation(&mut world, &mut stranger("198.51.100.1", 200), IPV4),
        NO_CAPACITY,
        "31 is not two more than 30"
    );
    assert!(world.outputs.is_empty(), "an allocation of this engine ends without the shell: {:?}", world.outputs);
}

#[test]
fn r71_a_48_that_uses_a_64_for_each_allocation_yields_to_a_school() {
    let mut world = world_with(100, |_| {});
    let attackers: Vec<_> = (0..80_u16).map(|number| stranger(&format!("2606:4700:1:{number:x}::9"), 1)).collect();
    for attacker in &attackers {
        assert_eq!(ask_for_allocation(&mut world, &mut attacker.clone(), IPV4), None);
    }
    let (school, _) = fill(&mut world, "198.51.100.1", 30);
    assert_eq!((school.len(), live(&world, &attackers)), (30, 50));
    assert_eq!(ask_for_allocation(&mut world, &mut stranger("2606:4700:1:ffff::9", 1), IPV4), NO_CAPACITY);
}

#[test]
fn r71_the_families_have_their_own_capacity() {
    let mut world = world_with(10, |_| {});
    assert_eq!(fill(&mut world, "198.51.100.1", 20).0.len(), 8);
    let ipv6 = (100..120).filter(|port| ask_for_allocation(&mut world, &mut stranger("198.51.100.1", *port), IPV6).is_none());
    assert_eq!(ipv6.count(), 8);
}

#[test]
fn r71_an_allocation_that_ends_for_another_gives_one_port_and_not_two() {
    let mut world = world_with(100, |_| {});
    let even_and_next = |world: &mut World, port| {
        let answer = world.request(&mut stranger("198.51.100.2", port), Method::Allocate, |writer| {
            udp(writer);
            writer.attribute(attribute::EVEN_PORT, &[0x80]);
        });
        answer.code()
    };
    assert_eq!(even_and_next(&mut world, 1), None);
    assert_eq!(fill(&mut world, "198.51.100.1", 100).0.len(), 78);
    assert_eq!(even_and_next(&mut world, 2), NO_CAPACITY);
    assert_eq!(ask_for_allocation(&mut world, &mut stranger("198.51.100.2", 3), IPV4), None);
    assert_eq!(world.shared.taken_ports(AddressFamily::V4), 80);
}

#[test]
fn r71_strangers_yield_to_users_who_need_the_same() {
    let mut world = world_with(1000, |settings| settings.limits.total_quota = Some(20));
    let (strangers, code) = fill(&mut world, "198.51.100.1", 20);
    assert_eq!((strangers.len(), code), (16, NO_CAPACITY));
    for port in 1..=20 {
        world.allocate(&mut Client::new("bob", &format!("198.51.100.9:{port}")));
        let left = 16_u16.saturating_sub(port);
        assert_eq!(live(&world, &strangers), usize::from(left), "one yields to each user");
    }
    assert_eq!(world.engine.allocation_count(), 20, "users get everything");
    assert_eq!(world.request(&mut Client::new("bob", "198.51.100.9:21"), Method::Allocate, udp).code(), NO_CAPACITY);
    assert_eq!(ask_for_allocation(&mut world, &mut strangers[0].clone(), IPV4), NO_CAPACITY);
}

#[test]
fn r71_users_and_strangers_who_need_different_ports_do_not_compete() {
    let mut world = world_with(100, |_| {});
    let (strangers, _) = fill(&mut world, "198.51.100.1", 80);
    for port in 1..=100 {
        world.allocate(&mut Client::new("bob", &format!("198.51.100.9:{port}")));
    }
    assert_eq!(live(&world, &strangers), 80, "their ports are of no use to the users");
    for client in &strangers[..70] {
        world.refresh(&mut client.clone(), 0);
    }
    assert_eq!(fill(&mut world, "198.51.100.2", 50).1, None, "and the full range is nothing to strangers");
    // A second relay is allowed as a peer, so strangers have sockets too.
    let mut world = world_with(100, |_| {});
    let policy = PeerPolicy { clients_peers: vec!["192.0.2.0/24".parse().expect("a network")], ..PeerPolicy::default() };
    world.engine.set_policy(policy, world.now);
    let (strangers, code) = fill(&mut world, "198.51.100.1", 100);
    assert_eq!((strangers.len(), code), (80, NO_CAPACITY), "of the 100 ports of the range");
    world.allocate(&mut Client::bob());
    assert_eq!((live(&world, &strangers), world.sockets.len()), (79, 80));
    world.shared.set_relayed_descriptors(7, 10);
    assert_eq!(fill(&mut world, "198.51.100.2", 2).1, None);
    world.shared.set_relayed_descriptors(8, 10);
    world.engine.end_all();
    world.drain_outputs();
    assert_eq!(fill(&mut world, "198.51.100.3", 2).1, NO_CAPACITY, "80% of the descriptors are in use");
    world.shared.set_relayed_descriptors(7, 10);
    assert_eq!(fill(&mut world, "198.51.100.3", 2).1, None);
}

#[test]
fn r71_an_allocation_of_another_shard_yields_too() {
    let settings = settings_with(100, |_| {});
    let epoch = Instant::now();
    let shared = SharedState::new(&settings, [1; 32], epoch);
    let mut users = StaticUsers::default();
    users.insert_in_scope(Scope::Clients, "alice", REALM, STRANGERS_PASSWORD);
    let users: Arc<dyn CredentialSource> = Arc::new(users);
    let mut worlds = [0, 1].map(|index| {
        let shard = ShardSettings { index, ports: 50_000..=50_099 };
        World::shard(settings.clone(), shard, Arc::clone(&shared), Arc::clone(&users), epoch + secs(1000))
    });
    let (attackers, code) = fill(&mut worlds[0], "198.51.100.2", 100);
    assert_eq!((attackers.len(), code), (80, NO_CAPACITY));
    let (school, _) = fill(&mut worlds[1], "198.51.100.1", 20);
    assert_eq!(school.len(), 20);
    assert_eq!(live(&worlds[0], &attackers), 80, "the other engine has not been told yet");
    let outputs = std::mem::take(&mut worlds[1].outputs);
    let displaced = outputs.iter().map(|output| {
        let Output::DisplaceAllocation { shard: 0, allocation } = output else { panic!("{output:?}") };
        *allocation
    });
    let displaced: Vec<_> = displaced.collect();
    for allocation in displaced.iter().chain(&displaced) {
        worlds[0].engine.displace(*allocation);
        worlds[0].drain_outputs();
    }
    assert_eq!((live(&worlds[0], &attackers), live(&worlds[0], &attackers[..60])), (60, 60));
    assert_eq!(shared.allocations(), 80);
    worlds.iter_mut().for_each(|world| world.advance(secs(600)));
    worlds.iter().for_each(World::assert_empty);
    assert_eq!(fill(&mut worlds[1], "198.51.100.1", 80).0.len(), 80, "all of it can be had again");
}

/// The scope of an attacker's credentials reaches other clients alone, so each of his ten pairs sends from one client to the other.
#[test]
fn r71_ten_pairs_of_one_address_do_not_starve_the_cast_of_another() {
    let mut world = world_with(100, |settings| settings.limits.clients_bandwidth = Some(1_000_000));
    let mut pair = |ip: &str, port: u16| {
        let mut ends = [stranger(ip, port), stranger(ip, port + 1)];
        let relayed = ends.each_mut().map(|end| world.allocate(end));
        for (end, peer) in ends.iter_mut().zip([relayed[1], relayed[0]]) {
            assert_eq!(world.bind(end, 0x4000, &peer.to_string()), None);
            assert!(matches!(world.channel_data(end, 0x4000, b"first"), Verdict::ToClient { .. } | Verdict::Drop(_)));
        }
        ends
    };
    let cast = pair("198.51.100.1", 1000);
    let attackers: Vec<_> = (0..10).map(|number| pair("198.51.100.2", 1000 + 2 * number)).collect();
    let (mut lost, mut flooded) = (0, 0);
    for tick in 0..4000_u32 {
        world.now += Duration::from_millis(1);
        // 200 kB/s, and 10 MB/s, where 1 MB/s may pass.
        if tick % 5 == 0 {
            lost += u32::from(!matches!(world.channel_data(&cast[0], 0x4000, &[0; 1000]), Verdict::ToClient { .. }));
        }
        for [attacker, _] in &attackers {
            let verdict = world.engine.handle_client(attacker.from, &channel_data(0x4000, &[0; 1000]), world.now);
            flooded += u32::from(matches!(verdict, Verdict::ToClient { .. }));
        }
    }
    assert_eq!(lost, 0);
    assert!((3500..4500).contains(&flooded), "what is left of the rate, and the burst: {flooded} kB");
    let mut user = Client::bob();
    world.allocate(&mut user);
    assert_eq!(world.bind(&mut user, 0x4000, OUTSIDE_PEER), None);
    assert!(
        (0..2000).all(|_| matches!(world.channel_data(&user, 0x4000, &[0; 1000]), Verdict::ToPeer { .. })),
        "users don't yield"
    );
}

fn udp(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
}
