//! Mobility (RFC 8016), TCP relays (RFC 6062; requirement 34) and NAT behaviour discovery (RFC 5780).

use super::*;

fn ticket(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::MOBILITY_TICKET, b"");
}

fn mobile() -> EngineSettings {
    EngineSettings { mobility: true, ..settings() }
}

#[test]
fn mobility_is_off_unless_set() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    assert_eq!(world.request(&mut alice, Method::Allocate, ticket).code(), Some(405));
    world.allocate(&mut alice);
    let refresh = world.request(&mut alice, Method::Refresh, |writer| {
        writer.attribute(attribute::MOBILITY_TICKET, &[0; 24]);
    });
    assert_eq!(refresh.code(), Some(405));
}

#[test]
fn a_mobile_allocation_moves_with_its_ticket() {
    let (mut world, mut alice) = (World::with(mobile()), Client::alice());
    let answer = world.request(&mut alice, Method::Allocate, ticket);
    let relayed = answer.relayed()[0];
    let first = answer.find(attribute::MOBILITY_TICKET).expect("a ticket");
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    world.outputs.clear();
    let mut moved = Client { from: FiveTuple { client: addr("198.51.100.77:7"), ..alice.from }, ..alice.clone() };
    moved.nonce.clear();
    let refresh = |ticket: Vec<u8>| {
        move |writer: &mut MessageWriter<'_>| {
            writer.attribute(attribute::MOBILITY_TICKET, &ticket);
        }
    };
    let mut thief = Client { username: "mallory".to_owned(), ..moved.clone() };
    assert_eq!(world.request(&mut thief, Method::Refresh, refresh(first.clone())).code(), Some(441));
    assert_eq!(world.request(&mut moved, Method::Refresh, refresh(vec![0; 24])).code(), Some(400));
    let bytes = moved.signed(Method::Refresh, refresh(first.clone()));
    let answer = world.ask(moved.from, &bytes).expect("an answer");
    let second = answer.find(attribute::MOBILITY_TICKET).expect("a new ticket");
    assert_ne!(second, first);
    assert_eq!(world.outputs, [Output::ClientMoved { from: alice.from, to: moved.from }]);
    assert_eq!(world.ask(moved.from, &bytes), Some(answer), "a retransmission changes nothing");
    assert!(matches!(world.channel_data(&moved, 0x4000, b"x"), Verdict::ToPeer { .. }));
    assert_eq!(world.channel_data(&alice, 0x4000, b"x"), Verdict::Drop(DropReason::NoAllocation));
    assert!(matches!(world.peer_data(relayed, OUTSIDE_PEER, b"x"), Verdict::ToClient { to, .. } if to == moved.from));
    let mut third = Client { from: FiveTuple { client: addr("198.51.100.78:8"), ..alice.from }, ..moved.clone() };
    third.nonce.clear();
    assert_eq!(world.request(&mut third, Method::Refresh, refresh(first)).code(), Some(400), "spent");
    assert_eq!(world.request(&mut third, Method::Refresh, refresh(second)).code(), None);
    world.refresh(&mut third, 0);
    assert_eq!(world.outputs.last(), Some(&Output::MovedClientEnded { client: third.from }));
    world.assert_empty();
}

#[test]
fn a_mobile_allocation_survives_its_stream() {
    let (mut world, mut alice) = (World::with(mobile()), Client::alice().over_tcp());
    assert_eq!(world.request(&mut alice, Method::Allocate, ticket).code(), None);
    world.engine.handle_client_closed(&alice.from, world.now);
    assert_eq!(world.engine.allocation_count(), 1);
    world.advance(secs(600));
    world.assert_empty();
}

#[test]
fn a_ticket_of_another_engine_leads_to_it() {
    let settings = EngineSettings { tcp_relay: true, ..mobile() };
    let epoch = Instant::now();
    let shared = SharedState::new(&settings, [1; 32], epoch);
    let mut users = StaticUsers::default();
    users.insert("alice", REALM, "secret");
    let users: Arc<dyn CredentialSource> = Arc::new(users);
    let shard = |index: u8, first: u16| {
        let shard = ShardSettings { index, ports: first..=first + 9 };
        World::shard(settings.clone(), shard, Arc::clone(&shared), Arc::clone(&users), epoch)
    };
    let (mut one, mut two, mut alice) = (shard(1, 50_000), shard(2, 50_010), Client::alice());
    let found = one.request(&mut alice, Method::Allocate, ticket).find(attribute::MOBILITY_TICKET).expect("a ticket");
    alice.from.client.set_port(9);
    two.login(&mut alice);
    let bytes = alice.signed(Method::Refresh, |writer| {
        writer.attribute(attribute::MOBILITY_TICKET, &found);
    });
    assert_eq!(two.handle(alice.from, &bytes), Verdict::ToShard { shard: 1 });
    assert_eq!(one.ask(alice.from, &bytes).and_then(|answer| answer.code()), None, "one nonce is good for all");
    let mut stream = alice.over_tcp();
    let bytes = stream.signed(Method::ConnectionBind, |writer| {
        writer.number(attribute::CONNECTION_ID, 1 << 24 | 5);
    });
    assert_eq!(two.handle(stream.from, &bytes), Verdict::ToShard { shard: 1 });
    assert_eq!(one.ask(stream.from, &bytes).and_then(|answer| answer.code()), Some(400));
}

#[test]
fn a_reserved_port_can_be_claimed_at_another_engine() {
    let epoch = Instant::now();
    let shared = SharedState::new(&settings(), [1; 32], epoch);
    let mut users = StaticUsers::default();
    users.insert("alice", REALM, "secret");
    let users: Arc<dyn CredentialSource> = Arc::new(users);
    let shard = |index: u8, first: u16| {
        let shard = ShardSettings { index, ports: first..=first + 9 };
        World::shard(settings(), shard, Arc::clone(&shared), Arc::clone(&users), epoch)
    };
    let (mut one, mut two, mut alice) = (shard(1, 50_000), shard(2, 50_010), Client::alice());
    let answer = one.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::EVEN_PORT, &[0x80]);
    });
    let token = answer.find(attribute::RESERVATION_TOKEN).expect("a token");
    let mut second = Client::new("alice", "198.51.100.1:1112");
    let claimed = two.request(&mut second, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::RESERVATION_TOKEN, &token);
    });
    assert_eq!(claimed.relayed()[0].port(), answer.relayed()[0].port() + 1);
    two.refresh(&mut second, 0);
    one.refresh(&mut alice, 0);
    one.advance(secs(30));
    one.assert_empty();
}

fn tcp_world() -> World {
    World::with(EngineSettings { tcp_relay: true, ..settings() })
}

fn allocate_tcp(world: &mut World, client: &mut Client) -> SocketAddr {
    let answer = world.request(client, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, TCP);
    });
    assert_eq!(answer.code(), None);
    answer.relayed()[0]
}

fn connect(world: &mut World, client: &mut Client, peer: &str) -> Verdict {
    let bytes = client.signed(Method::Connect, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
    });
    world.handle(client.from, &bytes)
}

fn connection_of(world: &mut World) -> PeerConnectionId {
    let found = world.outputs.iter().find_map(connect_output);
    world.outputs.clear();
    found.expect("a connection")
}

fn transmitted(world: &mut World) -> Response {
    let Some(Output::Transmit { bytes, .. }) = world.outputs.pop() else { panic!("{:?}", world.outputs) };
    Response(bytes)
}

fn bind_connection(world: &mut World, data: &mut Client, id: u32) -> Response {
    world.request(data, Method::ConnectionBind, |writer| {
        writer.number(attribute::CONNECTION_ID, id);
    })
}

#[test]
fn r34_tcp_relays_are_off_unless_set() {
    let (mut world, mut alice) = (World::new(), Client::alice().over_tcp());
    let answer = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, TCP);
    });
    assert_eq!(answer.code(), Some(442));
    world.allocate(&mut alice);
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), Verdict::Drop(DropReason::UnsupportedMethod));
}

#[test]
fn r34_a_tcp_allocation_wants_a_stream_and_nothing_special() {
    let mut world = tcp_world();
    for (mut client, kind) in [
        (Client::alice(), None),
        (Client::alice().over_tcp(), Some(attribute::EVEN_PORT)),
        (Client::alice().over_tcp(), Some(attribute::DONT_FRAGMENT)),
    ] {
        let answer = world.request(&mut client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, TCP);
            if let Some(kind) = kind {
                writer.attribute(kind, &[0]);
            }
        });
        assert_eq!(answer.code(), Some(400));
    }
}

fn refusal(client: &Client, code: ErrorCode) -> Verdict {
    let answer = Answer::Error { method: Method::Connect, code, failed_authentication: false };
    Verdict::Reply { to: client.from, answer }
}

#[test]
fn r34_connect_connects_and_connection_bind_splices() {
    let (mut world, mut alice) = (tcp_world(), Client::alice().over_tcp());
    allocate_tcp(&mut world, &mut alice);
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), Verdict::Accepted);
    let id = connection_of(&mut world);
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), refusal(&alice, ErrorCode::ConnectionAlreadyExists));
    assert_eq!(Response(world.engine.reply().to_vec()).code(), Some(446));
    world.engine.handle_peer_connected(id, true, world.now);
    world.drain_outputs();
    let answer = transmitted(&mut world);
    assert_eq!((answer.code(), answer.find(attribute::CONNECTION_ID)), (None, Some(id.0.to_be_bytes().to_vec())));
    assert!(IntegrityAlgorithm::Sha1.verify(&answer.message(), &alice.key()));
    let mut data = Client::new("alice", "198.51.100.1:1112").over_tcp();
    let mut thief = Client::new("mallory", "198.51.100.1:1113").over_tcp();
    assert_eq!(bind_connection(&mut world, &mut thief, id.0).code(), Some(441));
    assert_eq!(bind_connection(&mut world, &mut data, id.0 ^ 1).code(), Some(400));
    assert_eq!(bind_connection(&mut world, &mut data, id.0).code(), None);
    assert_eq!(world.outputs, [Output::Splice { connection: id, client: data.from }]);
    let mut again = Client::new("alice", "198.51.100.1:1114").over_tcp();
    assert_eq!(bind_connection(&mut world, &mut again, id.0).code(), Some(400), "bound already");
    world.outputs.clear();
    world.refresh(&mut alice, 0);
    assert_eq!(world.outputs, [Output::ClosePeerConnection { connection: id }]);
    world.assert_empty();
}

#[test]
fn r34_a_connect_that_fails_or_takes_too_long_gets_447() {
    let (mut world, mut alice) = (tcp_world(), Client::alice().over_tcp());
    allocate_tcp(&mut world, &mut alice);
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), Verdict::Accepted);
    let id = connection_of(&mut world);
    world.engine.handle_peer_connected(id, false, world.now);
    world.drain_outputs();
    assert_eq!(world.outputs.remove(0), Output::ClosePeerConnection { connection: id });
    assert_eq!(transmitted(&mut world).code(), Some(447));
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), Verdict::Accepted);
    let id = connection_of(&mut world);
    assert_eq!(world.engine.next_timeout(), Some(world.now + secs(30)));
    world.advance(secs(30));
    assert_eq!(transmitted(&mut world).code(), Some(447));
    assert_eq!(world.outputs, [Output::ClosePeerConnection { connection: id }]);
    let own = world.allocate(&mut Client::bob()).to_string();
    for (peer, code) in [
        ("127.0.0.1:1", ErrorCode::Forbidden),
        (&own, ErrorCode::Forbidden),
        ("[2606:4700::1]:1", ErrorCode::PeerAddressFamilyMismatch),
    ] {
        assert_eq!(connect(&mut world, &mut alice, peer), refusal(&alice, code));
        assert_eq!(Response(world.engine.reply().to_vec()).code(), Some(code.number()));
    }
}

#[test]
fn r34_a_peer_that_is_permitted_may_connect() {
    let (mut world, mut alice) = (tcp_world(), Client::alice().over_tcp());
    let relayed = allocate_tcp(&mut world, &mut alice);
    let relayed_id = world.relayed_at(relayed);
    assert_eq!(world.engine.handle_peer_accepted(relayed_id, addr(OUTSIDE_PEER), world.now), None);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    let id = world.engine.handle_peer_accepted(relayed_id, addr(OUTSIDE_PEER), world.now).expect("permitted");
    world.drain_outputs();
    let Some(Output::Transmit { to, bytes, .. }) = world.outputs.pop() else { panic!("an indication") };
    let message = StunMessage::parse(&bytes).expect("a message");
    assert_eq!((to, message.class(), message.method()), (alice.from, Class::Indication, Method::ConnectionAttempt));
    assert_eq!(message.find(attribute::CONNECTION_ID), Some(&id.0.to_be_bytes()[..]));
    world.advance(secs(30));
    assert_eq!(world.outputs, [Output::ClosePeerConnection { connection: id }], "nobody came for it");
    assert_eq!(world.channel_data(&alice, 0x4000, b"x"), Verdict::Drop(DropReason::NoChannel));
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), Some(400), "channels are for UDP");
}

#[test]
fn r34_a_relay_that_is_refreshed_away_takes_its_connections_along() {
    let (mut world, mut alice) = (tcp_world(), Client::alice().over_tcp());
    let answer = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, TCP).number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6);
    });
    assert_eq!((answer.code(), answer.relayed().len()), (None, 2));
    let peers = [OUTSIDE_PEER, "[2606:4700::1]:1", "[2606:4700::2]:1"];
    let [kept, open, waiting] = peers.map(|peer| {
        assert_eq!(connect(&mut world, &mut alice, peer), Verdict::Accepted);
        connection_of(&mut world)
    });
    for id in [kept, open] {
        world.engine.handle_peer_connected(id, true, world.now);
    }
    world.drain_outputs();
    world.outputs.clear();
    let answer = world.request(&mut alice, Method::Refresh, |writer| {
        writer.number(attribute::LIFETIME, 0).number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6);
    });
    assert_eq!(answer.code(), None);
    assert_eq!(transmitted(&mut world).code(), Some(447), "the Connect that was under way");
    assert_eq!(world.outputs, [open, waiting].map(|connection| Output::ClosePeerConnection { connection }));
    world.outputs.clear();
    world.refresh(&mut alice, 0);
    assert_eq!(world.outputs, [Output::ClosePeerConnection { connection: kept }]);
    world.assert_empty();
}

#[test]
fn r33_a_connect_that_is_denied_meanwhile_is_answered() {
    let (mut world, mut alice) = (tcp_world(), Client::alice().over_tcp());
    allocate_tcp(&mut world, &mut alice);
    assert_eq!(connect(&mut world, &mut alice, OUTSIDE_PEER), Verdict::Accepted);
    let id = connection_of(&mut world);
    let denied = vec!["198.51.101.0/24".parse().expect("a network")];
    world.engine.set_policy(PeerPolicy { denied, ..PeerPolicy::default() }, world.now);
    world.drain_outputs();
    assert_eq!(transmitted(&mut world).code(), Some(447));
    assert_eq!(world.outputs, [Output::ClosePeerConnection { connection: id }]);
}

fn discovery(alternate: &str) -> World {
    let primary = addr("203.0.114.1:3478");
    let alternate = addr(alternate);
    let advertised = [primary.ip(), alternate.ip()];
    World::with(EngineSettings { nat_discovery: vec![NatDiscovery { primary, alternate, advertised }], ..settings() })
}

fn change(world: &mut World, flags: u32) -> (SocketAddr, Response) {
    let mut client = Client::alice();
    let bytes = client.unsigned(Method::Binding, |writer| {
        if flags != 0 {
            writer.number(attribute::CHANGE_REQUEST, flags);
        }
    });
    let Verdict::Reply { to, .. } = world.handle(client.from, &bytes) else { panic!("a reply") };
    (to.server, Response(world.engine.reply().to_vec()))
}

fn plain(answer: &Response, kind: u16) -> Option<SocketAddr> {
    let value = answer.find(kind)?;
    let ip: [u8; 4] = value[4..].try_into().unwrap();
    Some(SocketAddr::from((ip, u16::from_be_bytes([value[2], value[3]]))))
}

#[test]
fn change_request_is_answered_from_elsewhere() {
    let mut world = discovery("203.0.114.2:3479");
    for (flags, from) in [(0, "203.0.114.1:3478"), (2, "203.0.114.1:3479"), (4, "203.0.114.2:3478"), (6, "203.0.114.2:3479")] {
        let (server, answer) = change(&mut world, flags);
        assert_eq!((server, answer.code()), (addr(from), None));
        assert_eq!(plain(&answer, attribute::RESPONSE_ORIGIN), Some(addr(from)));
        assert_eq!(plain(&answer, attribute::OTHER_ADDRESS), Some(addr("203.0.114.2:3479")));
    }
}

#[test]
fn r54_nat_discovery_tells_the_new_external_address() {
    let mut world = discovery("203.0.114.1:3479");
    let nat_discovery = world.engine.settings.nat_discovery.iter();
    let nat_discovery = nat_discovery.map(|pair| NatDiscovery { advertised: [ip("203.0.114.9"); 2], ..*pair }).collect();
    world.engine.set_addresses(&MachineAddresses { nat_discovery, ..machine_at(settings().relayed) }, world.now);
    let (_, answer) = change(&mut world, 2);
    assert_eq!(plain(&answer, attribute::RESPONSE_ORIGIN), Some(addr("203.0.114.9:3479")));
}

#[test]
fn with_one_address_only_the_port_changes() {
    let mut world = discovery("203.0.114.1:3479");
    let (server, answer) = change(&mut world, 2);
    assert_eq!((server, plain(&answer, attribute::OTHER_ADDRESS)), (addr("203.0.114.1:3479"), None));
    let (server, answer) = change(&mut world, 4);
    assert_eq!((server, answer.code()), (addr("203.0.114.1:3478"), Some(420)));
}

#[test]
fn change_request_is_unknown_unless_set() {
    let (_, answer) = change(&mut World::new(), 2);
    assert_eq!((answer.code(), answer.find(attribute::UNKNOWN_ATTRIBUTES)), (Some(420), Some(vec![0, 3])));
}
