//! Requirements 29 to 36.

use super::super::codec::framing::{ChannelNumber, Framing};
use super::*;

const DENIED_PEERS: [&str; 16] = [
    "0.0.0.0:1",
    "10.0.0.1:1",
    "100.100.100.200:80",
    "127.0.0.1:1",
    "168.63.129.16:80",
    "169.254.169.254:80",
    "172.16.0.1:1",
    "192.168.1.1:1",
    "224.0.0.1:1",
    "255.255.255.255:1",
    "203.0.114.2:1",
    "203.0.114.1:3478",
    "[::ffff:127.0.0.1]:1",
    "[::ffff:169.254.169.254]:80",
    "[::ffff:203.0.114.1]:3478",
    "198.51.101.7:0",
];

const DENIED_V6_PEERS: [&str; 8] = [
    "[::1]:1",
    "[fe80::1]:1",
    "[fd00:ec2::254]:80",
    "[64:ff9b::7f00:1]:1",
    "[2002:7f00:1::1]:1",
    "[::127.0.0.1]:1",
    "[2001:4860::1]:3478",
    "[ff02::1]:1",
];

/// Makes an allocation with both address families.
fn allocate(world: &mut World, client: &mut Client) -> [SocketAddr; 2] {
    let answer = world.request(client, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6);
    });
    answer.relayed().try_into().expect("both families")
}

fn policy(allowed: &[&str], denied: &[&str]) -> PeerPolicy {
    let networks = |list: &[&str]| list.iter().map(|network| network.parse().expect("a network")).collect();
    PeerPolicy { allowed: networks(allowed), denied: networks(denied), ..PeerPolicy::default() }
}

#[test]
fn r30_denied_peers_get_403_from_every_verb() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    allocate(&mut world, &mut alice);
    for peer in DENIED_PEERS.into_iter().chain(DENIED_V6_PEERS) {
        assert_eq!(world.bind(&mut alice, 0x4000, peer), Some(403), "{peer}");
        // A permission is for an address, so the port does not count, except on this machine.
        let port_matters = peer.ends_with(":0");
        assert_eq!(world.permit(&mut alice, &[peer]), if port_matters { None } else { Some(403) }, "{peer}");
        assert!(
            matches!(world.send(&alice, peer, b"x"), Verdict::Drop(DropReason::NoPermission | DropReason::DeniedPeer)),
            "{peer}"
        );
    }
}

#[test]
fn peers_in_networks_of_this_machine_get_403_from_every_verb_and_are_counted() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let networks = ["203.0.114.0/24", "2001:4860::/64"].map(|network| network.parse().expect("a network"));
    allocate(&mut world, &mut alice);
    assert_eq!(world.permit(&mut alice, &["203.0.114.9:9"]), None);
    let own = settings().own_addresses;
    world
        .engine
        .set_addresses(&MachineAddresses { own, neighbours: networks.into(), ..machine_at(settings().relayed) }, world.now);
    assert!(
        matches!(world.send(&alice, "203.0.114.9:9", b"x"), Verdict::Drop(DropReason::NoPermission)),
        "what it had is closed"
    );
    for (count, peer) in (1..).zip(["203.0.114.9:9", "203.0.114.255:9", "[2001:4860::9]:9", "[::ffff:203.0.114.9]:9"]) {
        assert_eq!(world.permit(&mut alice, &[peer]), Some(403), "{peer}");
        assert_eq!(world.bind(&mut alice, 0x4000, peer), Some(403), "{peer}");
        assert_eq!(world.engine.refused_neighbours(), 2 * count, "{peer}");
    }
    // Own relays and the next network stay reachable.
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:0", "203.0.115.9:9", "[2001:4860:0:1::9]:9"]), None);
    assert_eq!(world.permit(&mut alice, &["192.168.1.9:9"]), Some(403));
    assert_eq!(world.engine.refused_neighbours(), 8, "what is denied anyway is not counted");
    // An operator can allow a neighbour explicitly.
    world.engine.set_policy(PeerPolicy { neighbours: networks.to_vec(), ..policy(&["203.0.114.9/32"], &[]) }, world.now);
    assert_eq!(world.permit(&mut alice, &["203.0.114.9:9"]), None);
    assert_eq!(world.permit(&mut alice, &["203.0.114.10:9"]), Some(403));
}

#[test]
fn r31_own_addresses_are_denied_except_live_relay_ports() {
    let (mut world, mut alice, mut bob) = (World::new(), Client::alice(), Client::bob());
    let ours = world.allocate(&mut alice);
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:0"]), None);
    let theirs = world.allocate(&mut bob);
    let not_live = (50_000..50_100).find(|port| ![ours.port(), theirs.port()].contains(port)).expect("a free port");
    let denied = Verdict::Drop(DropReason::DeniedPeer);
    for port in [not_live, 3478, 22] {
        let peer = format!("203.0.114.1:{port}");
        assert_eq!(world.send(&alice, &peer, b"x"), denied, "{peer}");
        assert_eq!(world.bind(&mut alice, 0x4000, &peer), Some(403));
        assert_eq!(world.peer_data(ours, &peer, b"x"), denied);
    }
    assert_eq!(world.bind(&mut bob, 0x4000, &ours.to_string()), None);
    assert!(matches!(world.send(&alice, &theirs.to_string(), b"x"), Verdict::ToClient { to, .. } if to == bob.from));
    assert_eq!(world.bind(&mut alice, 0x4000, &theirs.to_string()), None);
    assert!(matches!(world.channel_data(&alice, 0x4000, b"x"), Verdict::ToClient { to, .. } if to == bob.from));
    assert_eq!(world.peer_data(ours, &theirs.to_string(), b"x"), denied, "packets between relayed addresses use no socket");
    world.refresh(&mut bob, 0);
    assert_eq!(world.channel_data(&alice, 0x4000, b"x"), denied, "the port is no relay any more");
    assert_eq!(world.peer_data(ours, &theirs.to_string(), b"x"), denied);
}

/// An SFU on this machine is told about with its port, and the client learns that the relay does not reach it.
#[test]
fn r31_a_permission_that_names_a_port_of_this_machine_needs_a_live_relayed_address() {
    let nat = |bound, advertised| Some(RelayedIp { bound: ip(bound), advertised: ip(advertised) });
    let relayed = [nat("10.0.0.5", "203.0.114.1"), nat("2001:4860::1", "2001:4860::1")];
    let own_addresses = ["10.0.0.5", "203.0.114.1", "203.0.114.2", "2001:4860::1", "127.0.0.1"].map(ip).to_vec();
    for stranger in [false, true] {
        let of_kind = |client: Client| if stranger { client.into_stranger() } else { client };
        let mut world = World::with(EngineSettings { relayed, own_addresses: own_addresses.clone(), ..settings() });
        let both = |writer: &mut MessageWriter<'_>| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP).number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6);
        };
        let (mut alice, mut bob) = (of_kind(Client::alice()), of_kind(Client::bob()));
        world.request(&mut alice, Method::Allocate, both);
        let live = world.request(&mut bob, Method::Allocate, both).relayed();
        assert_eq!(live.len(), 2);
        // Both addresses of the relay, mapped ones, the other addresses of this machine, and its listeners.
        for address in ["10.0.0.5", "203.0.114.1", "[::ffff:203.0.114.1]", "203.0.114.2", "[2001:4860::1]", "127.0.0.1"] {
            for port in [22, 3478, 10_000] {
                let sfu = format!("{address}:{port}");
                assert_eq!(world.permit(&mut alice, &[&sfu]), Some(403), "{sfu}");
                assert_eq!(world.bind(&mut alice, 0x4000, &sfu), Some(403), "{sfu}");
                // None of several peers is permitted then.
                assert_eq!(world.permit(&mut alice, &[&live[0].to_string(), &sfu]), Some(403), "{sfu}");
            }
        }
        let dropped = Verdict::Drop(DropReason::NoPermission);
        assert_eq!(world.send(&alice, &live[0].to_string(), b"x"), dropped, "no permission was left behind");
        let mapped = format!("[::ffff:203.0.114.1]:{}", live[0].port());
        let named = [live[0].to_string(), live[1].to_string(), mapped, format!("10.0.0.5:{}", live[0].port())];
        for peer in named.iter().map(String::as_str).chain(["203.0.114.1:0", "10.0.0.5:0", "[2001:4860::1]:0"]) {
            assert_eq!(world.permit(&mut alice, &[peer]), None, "{peer}");
        }
        // The permission covers all ports, so each packet is checked.
        for sfu in ["203.0.114.1:10000", "[2001:4860::1]:10000"] {
            assert_eq!(world.permit(&mut alice, &[sfu]), Some(403), "{sfu}, although its address is permitted");
            assert_eq!(world.send(&alice, sfu, b"x"), Verdict::Drop(DropReason::DeniedPeer), "{sfu}");
        }
    }
}

#[test]
fn r31_a_permission_is_refreshed_under_the_port_that_the_client_named_first() {
    let (mut world, mut alice, mut bob) = (World::new(), Client::alice(), Client::bob());
    world.allocate(&mut alice);
    let first = world.allocate(&mut bob).to_string();
    let second = world.allocate(&mut Client::new("mallory", "198.51.100.3:3333")).to_string();
    assert_eq!(world.permit(&mut alice, &[&first]), None);
    let _ = world.send(&alice, &first, b"x");
    world.refresh(&mut bob, 0);
    // Browsers allocate over several transports, keep one, and end the others.
    assert_eq!(world.permit(&mut alice, &[&first, OUTSIDE_PEER]), None);
    let _ = world.send(&alice, &second, b"x");
    assert_eq!(world.send(&alice, &first, b"x"), Verdict::Drop(DropReason::DeniedPeer));
    assert_eq!(world.bind(&mut alice, 0x4000, &first), Some(403), "a channel is for one port");
    world.advance(secs(301));
    assert_eq!(world.permit(&mut alice, &[&first]), Some(403), "no permission is left to refresh");
}

#[test]
fn r31_an_sfu_on_this_machine_is_reached_where_the_operator_allows_its_address() {
    let (mut world, mut alice, mut stranger) = (World::new(), Client::alice(), Client::bob().into_stranger());
    let ours = world.allocate(&mut alice);
    let sfu = "203.0.114.1:10000";
    assert_eq!(world.permit(&mut alice, &[sfu]), Some(403));
    world.engine.set_policy(policy(&["203.0.114.1/32"], &[]), world.now);
    assert_eq!(world.permit(&mut alice, &[sfu]), None);
    assert!(matches!(world.send(&alice, sfu, b"x"), Verdict::ToPeer { .. }));
    assert!(matches!(world.peer_data(ours, sfu, b"x"), Verdict::ToClient { .. }));
    assert_eq!(world.bind(&mut alice, 0x4000, sfu), None);
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:3478"]), Some(403), "a listener of ours is no SFU");
    // The list is not for strangers, who have one of their own.
    world.allocate(&mut stranger);
    assert_eq!(world.permit(&mut stranger, &[sfu]), Some(403));
    let clients_peers = vec!["203.0.114.1/32".parse().expect("a network")];
    world.engine.set_policy(PeerPolicy { clients_peers, ..PeerPolicy::default() }, world.now);
    stranger.from.client.set_port(2223);
    stranger.nonce.clear();
    world.allocate(&mut stranger);
    assert_eq!(world.permit(&mut stranger, &[sfu]), None);
    assert!(matches!(world.send(&stranger, sfu, b"x"), Verdict::ToPeer { .. }));
    assert_eq!(world.permit(&mut alice, &[sfu]), Some(403));
}

#[test]
fn r31_two_clients_of_one_server_reach_each_other_where_both_permit() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let ours = world.allocate(&mut alice);
    let theirs = world.allocate(&mut bob);
    assert_eq!(world.bind(&mut alice, 0x4001, &theirs.to_string()), None);
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), Verdict::Drop(DropReason::NotContacted), "bob has not agreed");
    assert_eq!(world.permit(&mut bob, &[&ours.to_string()]), None);
    let verdict = Verdict::ToClient {
        to: alice.from,
        framing: Framing::Channel(ChannelNumber::new(0x4001).expect("a channel")),
        payload: SEND_HEADER..SEND_HEADER + 3,
    };
    assert_eq!(world.send(&bob, &ours.to_string(), b"xyz"), verdict);
    let Verdict::ToClient { to, framing: Framing::Data { peer, .. }, payload } = world.channel_data(&alice, 0x4001, b"x") else {
        panic!("bob has sent to alice");
    };
    assert_eq!((to, peer, payload), (bob.from, ours, 4..5));
    assert_eq!(world.bind(&mut bob, 0x4002, &ours.to_string()), None);
    let channel = |number| Framing::Channel(ChannelNumber::new(number).expect("a channel"));
    let verdict =
        Verdict::ToClient { to: bob.from, framing: channel(0x4002), payload: CHANNEL_DATA_HEADER..CHANNEL_DATA_HEADER + 1 };
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), verdict);
    for client in [&mut alice, &mut bob] {
        world.refresh(client, 3600);
    }
    world.advance(secs(599));
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), verdict, "a channel's permission lives as long as the channel");
    world.advance(secs(1));
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), Verdict::Drop(DropReason::NoChannel), "alice's has expired");
    assert_eq!(world.bind(&mut alice, 0x4001, &theirs.to_string()), None);
    let dropped = Verdict::Drop(DropReason::NotContacted);
    assert_eq!(world.channel_data(&alice, 0x4001, b"x"), dropped, "bob's permission has expired, and his consent with it");
}

#[test]
fn r31_behind_a_nat_relays_know_each_other_by_the_advertised_address() {
    let nat = RelayedIp { bound: ip("10.0.0.5"), advertised: ip("203.0.114.1") };
    let settings = EngineSettings { relayed: [Some(nat), None], ..settings() };
    let mut world = World::with(settings);
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (ours, theirs) = (world.allocate(&mut alice), world.allocate(&mut bob));
    assert_eq!(world.permit(&mut alice, &[&theirs.to_string()]), None);
    assert_eq!(world.bind(&mut bob, 0x4000, &ours.to_string()), None);
    let verdict = world.send(&alice, &theirs.to_string(), b"x");
    assert!(
        matches!(verdict, Verdict::ToClient { to, framing: Framing::Channel(_), .. } if to == bob.from),
        "no hairpin is needed"
    );
    let Verdict::ToClient { framing: Framing::Data { peer, .. }, .. } = world.channel_data(&bob, 0x4000, b"x") else {
        panic!("a Data indication");
    };
    assert_eq!(peer, theirs);
}

/// Three allocations, each after a change of the advertised address.
fn before_and_after() -> (World, [Client; 3], [SocketAddr; 3]) {
    let nat = RelayedIp { bound: ip("10.0.0.5"), advertised: ip("203.0.114.1") };
    let mut world = World::with(EngineSettings { relayed: [Some(nat), None], ..settings() });
    let mut clients = [Client::alice(), Client::bob(), Client::new("mallory", "198.51.100.3:3333")];
    let mut relayed = Vec::new();
    for (client, advertised) in clients.iter_mut().zip(["203.0.114.1", "203.0.114.8", "203.0.114.9"]) {
        let nat = RelayedIp { bound: ip("10.0.0.5"), advertised: ip(advertised) };
        world.engine.set_addresses(&machine_at([Some(nat), None]), world.now);
        relayed.push(world.allocate(client));
    }
    (world, clients, relayed.try_into().expect("three"))
}

#[test]
fn r54_a_new_external_address_is_for_new_allocations() {
    let (mut world, [mut alice, ..], relayed) = before_and_after();
    assert_eq!(relayed.map(|relayed| relayed.ip().to_string()), ["203.0.114.1", "203.0.114.8", "203.0.114.9"]);
    let allocations = world.engine.allocations.iter();
    let shown: Vec<_> = allocations.filter_map(|(_, allocation)| allocation.relayed_address(AddressFamily::V4)).collect();
    assert!(relayed.iter().all(|relayed| shown.contains(relayed)), "{shown:?}");
    // An address that a relay no longer has is judged like any other address.
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:22"]), None);
    assert!(matches!(world.send(&alice, "203.0.114.1:22", b"x"), Verdict::ToPeer { .. }));
    assert_eq!(world.permit(&mut alice, &["203.0.114.9:22"]), Some(403));
    assert_eq!(world.permit(&mut alice, &["203.0.114.9:0"]), None);
    assert_eq!(world.send(&alice, "203.0.114.9:22", b"x"), Verdict::Drop(DropReason::DeniedPeer));
    world.engine.set_policy(policy(&[], &["203.0.114.1/32"]), world.now);
    assert_eq!(world.send(&alice, "203.0.114.1:22", b"x"), Verdict::Drop(DropReason::DeniedPeer));
}

#[test]
fn r54_relays_of_before_and_after_a_new_external_address_reach_each_other() {
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        let (mut world, mut clients, relayed) = before_and_after();
        assert_eq!(world.permit(&mut clients[from], &[&relayed[to].to_string()]), None);
        assert_eq!(world.permit(&mut clients[to], &[&relayed[from].to_string()]), None);
        let dropped = Verdict::Drop(DropReason::NotContacted);
        assert_eq!(world.send(&clients[to], &relayed[from].to_string(), b"x"), dropped);
        let verdict = world.send(&clients[from], &relayed[to].to_string(), b"x");
        let Verdict::ToClient { to: client, framing: Framing::Data { peer, .. }, .. } = verdict else {
            panic!("{from} to {to}: {verdict:?}");
        };
        assert_eq!((client, peer), (clients[to].from, relayed[from]), "{from} to {to}");
    }
}

#[test]
fn former_external_addresses_are_few() {
    let (mut world, ..) = before_and_after();
    for last in 0..=255_u8 {
        let nat = RelayedIp { bound: ip("10.0.0.5"), advertised: IpAddr::from([203, 0, 114, last]) };
        world.engine.set_addresses(&machine_at([Some(nat), None]), world.now);
    }
    let former = &world.engine.settings.former_addresses;
    assert_eq!((former.len(), former[0], former[7]), (8, ip("203.0.114.254"), ip("203.0.114.247")));
}

/// A relayed address on this machine itself, without a NAT.
fn bound_to(ip: &str) -> Option<RelayedIp> {
    let ip = super::ip(ip);
    Some(RelayedIp { bound: ip, advertised: ip })
}

#[test]
fn r72_after_a_change_of_the_machines_address_new_allocations_have_the_new_one() {
    let mut world = World::with(EngineSettings { relayed: [bound_to("203.0.114.1"), None], ..settings() });
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let old = world.allocate(&mut alice);
    world.engine.set_addresses(&machine_at([bound_to("203.0.114.9"), None]), world.now);
    let new = world.allocate(&mut bob);
    assert_eq!((old.ip(), new.ip()), (ip("203.0.114.1"), ip("203.0.114.9")));
    let sockets: Vec<SocketAddr> = world.sockets.values().copied().collect();
    assert!(
        sockets.contains(&old) && sockets.contains(&new),
        "the old socket stays open, the new one is bound to the new address"
    );
    // The two clients reach each other, and the old allocation lives on.
    assert_eq!(world.permit(&mut alice, &[&new.to_string()]), None);
    assert_eq!(world.permit(&mut bob, &[&old.to_string()]), None);
    assert_eq!(world.send(&alice, &new.to_string(), b"x"), Verdict::Drop(DropReason::NotContacted));
    assert!(matches!(world.send(&bob, &old.to_string(), b"x"), Verdict::ToClient { .. }));
    assert!(matches!(world.send(&alice, &new.to_string(), b"x"), Verdict::ToClient { .. }));
    assert_eq!(world.refresh(&mut alice, 600).code(), None);
}

#[test]
fn r72_an_address_that_goes_and_comes_back_ends_no_allocation_and_no_permission() {
    for relayed in [[None, bound_to("2001:4860::1")], [bound_to("127.0.0.1"), None]] {
        let mut world = World::with(EngineSettings { relayed: [bound_to("203.0.114.1"), None], ..settings() });
        let (mut alice, mut bob) = (Client::alice(), Client::bob());
        let (one, other) = (world.allocate(&mut alice), world.allocate(&mut bob));
        assert_eq!(world.permit(&mut alice, &[&other.to_string(), OUTSIDE_PEER]), None);
        assert_eq!(world.bind(&mut bob, 0x4000, &one.to_string()), None);
        for machine in [relayed, [bound_to("203.0.114.1"), None], relayed] {
            world.engine.set_addresses(&machine_at(machine), world.now);
            assert!(matches!(
                world.send(&alice, &other.to_string(), b"x"),
                Verdict::Drop(DropReason::NotContacted) | Verdict::ToClient { .. }
            ));
            assert!(matches!(world.channel_data(&bob, 0x4000, b"x"), Verdict::ToClient { .. }));
            assert!(matches!(world.send(&alice, OUTSIDE_PEER, b"x"), Verdict::ToPeer { .. }));
        }
        let third = world.allocate(&mut Client::new("mallory", "198.51.100.3:3333"));
        assert_eq!(Some(third.ip()), relayed.iter().flatten().next().map(|relayed| relayed.bound));
    }
}

#[test]
fn r72_a_family_that_comes_later_can_be_asked_for_and_one_that_went_gets_440() {
    let mut world = World::with(EngineSettings { relayed: [bound_to("203.0.114.1"), None], ..settings() });
    let six = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6);
    };
    assert_eq!(world.request(&mut Client::alice(), Method::Allocate, six).code(), Some(440));
    world.engine.set_addresses(&machine_at([bound_to("203.0.114.1"), bound_to("2001:4860::1")]), world.now);
    assert_eq!(world.request(&mut Client::alice(), Method::Allocate, six).code(), None);
    world.engine.set_addresses(&machine_at([bound_to("203.0.114.1"), None]), world.now);
    assert_eq!(world.request(&mut Client::bob(), Method::Allocate, six).code(), Some(440));
}

#[test]
fn r72_an_address_that_is_lost_while_a_port_is_tried_gets_508() {
    let mut world = World::with(EngineSettings { relayed: [bound_to("203.0.114.1"), None], ..settings() });
    let mut alice = Client::alice();
    world.login(&mut alice);
    let bytes = alice.signed(Method::Allocate, |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
    });
    assert_eq!(world.engine.handle_client(alice.from, &bytes, world.now), Verdict::Accepted);
    world.engine.set_addresses(&machine_at([None, bound_to("2001:4860::1")]), world.now);
    world.open_results = [Err(OpenError::PortInUse)].into();
    let answer = world.response_after(alice.from, &bytes);
    assert_eq!(answer.and_then(|answer| answer.code()), Some(508));
    world.assert_empty();
}

/// Two engines of one server.
fn two_engines() -> (World, World) {
    let settings = settings();
    let epoch = Instant::now();
    let shared = SharedState::new(&settings, [1; 32], epoch);
    let mut users = StaticUsers::default();
    for user in ["alice", "bob"] {
        users.insert(user, REALM, "secret");
    }
    let users: Arc<dyn CredentialSource> = Arc::new(users);
    let shard = |index: u8, first: u16| {
        let shard = ShardSettings { index, ports: first..=first + 9 };
        World::shard(settings.clone(), shard, Arc::clone(&shared), Arc::clone(&users), epoch)
    };
    (shard(1, 50_000), shard(2, 50_010))
}

#[test]
fn r31_engines_of_one_server_deliver_to_each_others_clients() {
    let (mut one, mut two) = two_engines();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let ours = one.allocate(&mut alice);
    let theirs = two.allocate(&mut bob);
    assert_eq!(one.bind(&mut alice, 0x4000, &theirs.to_string()), None, "a live relay of the other engine");
    assert_eq!(two.permit(&mut bob, &[&ours.to_string()]), None);
    let dropped = Verdict::Drop(DropReason::NotContacted);
    assert_eq!(one.channel_data(&alice, 0x4000, b"x"), dropped, "bob has not sent to alice");
    let framing = Framing::Channel(ChannelNumber::new(0x4000).expect("a channel"));
    let payload = SEND_HEADER..SEND_HEADER + 1;
    let to_alice = Verdict::ToClient { to: alice.from, framing, payload };
    assert_eq!(two.send(&bob, &ours.to_string(), b"x"), to_alice);
    let Verdict::ToClient { to, framing: Framing::Data { peer, .. }, .. } = one.channel_data(&alice, 0x4000, b"x") else {
        panic!("a Data indication");
    };
    assert_eq!((to, peer), (bob.from, ours));
    assert_eq!(two.bind(&mut bob, 0x4001, &ours.to_string()), None);
    let framing = Framing::Channel(ChannelNumber::new(0x4001).expect("a channel"));
    let payload = CHANNEL_DATA_HEADER..CHANNEL_DATA_HEADER + 1;
    assert_eq!(
        one.channel_data(&alice, 0x4000, b"x"),
        Verdict::ToClient { to: bob.from, framing, payload },
        "bob's engine said so"
    );
    for (engine, client) in [(&mut one, &mut alice), (&mut two, &mut bob)] {
        engine.refresh(client, 3600);
        engine.advance(secs(600));
    }
    assert_eq!(one.bind(&mut alice, 0x4000, &theirs.to_string()), None);
    assert_eq!(one.channel_data(&alice, 0x4000, b"x"), dropped, "bob's permission has expired");
    assert_eq!(two.bind(&mut bob, 0x4001, &ours.to_string()), None);
    assert!(matches!(one.channel_data(&alice, 0x4000, b"x"), Verdict::ToClient { to, .. } if to == bob.from));
    two.refresh(&mut bob, 0);
    assert_eq!(one.channel_data(&alice, 0x4000, b"x"), Verdict::Drop(DropReason::DeniedPeer), "bob's address is gone");
    one.refresh(&mut alice, 0);
    two.assert_empty();
}

#[test]
fn r31_a_stream_is_reached_through_its_engine() {
    let (mut one, mut two) = two_engines();
    let (mut alice, mut bob) = (Client::alice(), Client::bob().over_tcp());
    let ours = one.allocate(&mut alice);
    let theirs = two.allocate(&mut bob);
    assert_eq!(one.bind(&mut alice, 0x4000, &theirs.to_string()), None);
    assert_eq!(two.permit(&mut bob, &[&ours.to_string()]), None);
    let dropped = Verdict::Drop(DropReason::NotContacted);
    assert_eq!(one.channel_data(&alice, 0x4000, b"x"), dropped);
    assert_eq!(two.relayed_data(ours, theirs, b"x"), dropped);
    assert!(matches!(two.send(&bob, &ours.to_string(), b"x"), Verdict::ToClient { to, .. } if to == alice.from));
    let payload = CHANNEL_DATA_HEADER..CHANNEL_DATA_HEADER + 1;
    let to_two = Verdict::ToRelayedAddress { shard: 2, from: ours, to: theirs, payload };
    assert_eq!(one.channel_data(&alice, 0x4000, b"x"), to_two);
    assert!(matches!(two.relayed_data(ours, theirs, b"x"), Verdict::ToClient { to, .. } if to == bob.from));
    one.refresh(&mut alice, 0);
    assert_eq!(two.relayed_data(ours, theirs, b"x"), dropped, "alice's address is gone");
    two.refresh(&mut bob, 0);
    assert_eq!(two.relayed_data(ours, theirs, b"x"), Verdict::Drop(DropReason::NoAllocation));
    two.assert_empty();
}

#[test]
fn r32_an_allowed_network_opens_even_own_addresses_but_no_listener() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    world.engine.set_policy(policy(&["127.0.0.0/8", "10.1.0.0/16"], &[]), world.now);
    assert_eq!(world.bind(&mut alice, 0x4000, "10.1.2.3:1"), None);
    assert_eq!(world.bind(&mut alice, 0x4001, "127.0.0.1:9000"), None);
    assert_eq!(world.bind(&mut alice, 0x4002, "127.0.0.1:3478"), Some(403));
    assert_eq!(world.send(&alice, "127.0.0.1:3478", b"x"), Verdict::Drop(DropReason::DeniedPeer));
    assert!(matches!(world.send(&alice, "127.0.0.1:9000", b"x"), Verdict::ToPeer { .. }));
}

#[test]
fn r33_a_new_policy_closes_what_it_denies() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    assert_eq!(world.bind(&mut alice, 0x4001, "1.1.1.1:1"), None);
    world.outputs.clear();
    world.engine.set_policy(policy(&[], &["198.51.101.0/24"]), world.now);
    world.drain_outputs();
    assert_eq!(world.outputs, []);
    assert_eq!(world.channel_data(&alice, 0x4000, b"x"), Verdict::Drop(DropReason::NoChannel));
    assert_eq!(world.send(&alice, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.peer_data(relayed, OUTSIDE_PEER, b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), Some(403));
    assert!(matches!(world.channel_data(&alice, 0x4001, b"x"), Verdict::ToPeer { .. }));
}

#[test]
fn r35_a_relay_is_no_client_and_a_listener_no_peer() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:3478"]), Some(403));
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:0"]), None);
    assert_eq!(world.send(&alice, "203.0.114.1:3478", b"x"), Verdict::Drop(DropReason::DeniedPeer));
    let looped = FiveTuple { client: relayed, ..alice.from };
    let bytes = Client::bob().unsigned(Method::Binding, |_| {});
    assert_eq!(world.handle(looped, &bytes), Verdict::Drop(DropReason::Loop));
    // A packet to the client's own relayed address comes back to the client once, and goes no further.
    assert!(matches!(world.send(&alice, &relayed.to_string(), b"x"), Verdict::ToClient { to, .. } if to == alice.from));
}
