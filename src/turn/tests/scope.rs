//! Requirements 69 and 70: the scope of credentials, and relayed addresses without a socket.

use super::super::codec::framing::{ChannelNumber, Framing};
use super::*;

const NOT_CONTACTED: Verdict = Verdict::Drop(DropReason::NotContacted);

/// A world whose clients, alice and bob, have credentials of scope clients, with their relayed addresses.
fn strangers() -> (World, [Client; 2], [SocketAddr; 2]) {
    let mut world = World::new();
    let mut clients = [Client::alice().into_stranger(), Client::bob().into_stranger()];
    let relayed = clients.each_mut().map(|client| world.allocate(client));
    (world, clients, relayed)
}

fn to_client(verdict: &Verdict, client: &Client) -> bool {
    matches!(verdict, Verdict::ToClient { to, .. } if *to == client.from)
}

#[test]
fn r69_scope_clients_gets_403_for_every_peer_but_live_relayed_addresses() {
    let (mut world, [mut alice, _], [_, theirs]) = strangers();
    let policy = PeerPolicy {
        allowed: ["203.0.114.1/32", "127.0.0.0/8", "192.0.2.0/24"].map(|network| network.parse().expect("a network")).into(),
        ..PeerPolicy::default()
    };
    world.engine.set_policy(policy, world.now);
    let outside = [
        OUTSIDE_PEER,
        "8.8.8.8:53",
        "239.255.255.250:1900",
        "192.0.2.1:80",
        "127.0.0.1:8080",
        "203.0.114.2:9",
        "[::1]:80",
        "[2606:4700::1111]:53",
        "[::ffff:198.51.101.7]:5000",
        "[64:ff9b::808:808]:53",
    ];
    for peer in outside {
        let family_is_missing = addr(peer).is_ipv6() && addr(peer).ip().to_canonical().is_ipv6();
        let code = if family_is_missing { Some(443) } else { Some(403) };
        assert_eq!(world.permit(&mut alice, &[peer]), code, "{peer}");
        assert_eq!(world.permit(&mut alice, &[&theirs.to_string(), peer]), code, "one peer refuses the others: {peer}");
        assert_eq!(world.bind(&mut alice, 0x4000, peer), code, "{peer}");
        assert_eq!(world.send(&alice, peer, b"x"), Verdict::Drop(DropReason::NoPermission), "{peer}");
    }
    assert_eq!(world.permit(&mut alice, &[&theirs.to_string()]), None);
    for port in [3478, 22, 8080, 50_000] {
        let peer = format!("203.0.114.1:{port}");
        assert_eq!(world.send(&alice, &peer, b"x"), Verdict::Drop(DropReason::DeniedPeer), "{peer}");
        assert_eq!(world.bind(&mut alice, 0x4000, &peer), Some(403), "{peer}");
    }
    assert_eq!(world.bind(&mut alice, 0x4000, &theirs.to_string()), None);
}

#[test]
fn r69_ipv6_relayed_addresses_have_the_same_scope() {
    let (mut world, mut alice) = (World::new(), Client::alice().into_stranger());
    let answer = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).number(attribute::ADDITIONAL_ADDRESS_FAMILY, 2 << 24);
    });
    let relayed = answer.relayed();
    assert_eq!(relayed.len(), 2, "{answer:?}");
    for peer in ["[2606:4700::1111]:53", "[64:ff9b::808:808]:53", "[2002:808:808::1]:53", "[fd00::1]:53", "8.8.8.8:53"] {
        assert_eq!(world.permit(&mut alice, &[peer]), Some(403), "{peer}");
        assert_eq!(world.bind(&mut alice, 0x4000, peer), Some(403), "{peer}");
    }
    for own in relayed {
        assert_eq!(world.permit(&mut alice, &[&own.to_string()]), None);
        assert!(to_client(&world.send(&alice, &own.to_string(), b"x"), &alice));
    }
}

#[test]
fn r69_a_key_of_the_other_scope_gets_441() {
    for (mut owner, other) in
        [(Client::alice(), Client::alice().into_stranger()), (Client::alice().into_stranger(), Client::alice())]
    {
        let mut world = World::new();
        let relayed = world.allocate(&mut owner);
        let mut other = Client { nonce: owner.nonce.clone(), transaction: 500, ..other };
        assert_eq!(world.refresh(&mut other, 600).code(), Some(441));
        assert_eq!(world.permit(&mut other, &[OUTSIDE_PEER]), Some(441));
        assert_eq!(world.bind(&mut other, 0x4000, &relayed.to_string()), Some(441));
        let answer = world.request(&mut other, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        });
        assert_eq!(answer.code(), Some(441));
        assert_eq!(world.refresh(&mut owner, 600).code(), None);
        assert_eq!(world.shared.users(), 1);
    }
}

#[test]
fn r69_tcp_allocations_of_scope_clients_get_442() {
    let mut world = World::with(EngineSettings { tcp_relay: true, ..settings() });
    for (client, code) in [(Client::alice().into_stranger(), Some(442)), (Client::alice(), None)] {
        let answer = world.request(&mut client.over_tcp(), Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, TCP);
        });
        assert_eq!(answer.code(), code);
    }
}

#[test]
fn r69_a_stranger_does_not_take_the_quota_of_the_user_of_that_name() {
    let mut settings = settings();
    settings.limits.user_quota = Some(1);
    let mut world = World::with(settings);
    world.allocate(&mut Client::new("alice", "198.51.100.1:1").into_stranger());
    world.allocate(&mut Client::new("alice", "198.51.100.1:2"));
    for client in [Client::new("alice", "198.51.100.1:3").into_stranger(), Client::new("alice", "198.51.100.1:4")] {
        let answer = world.request(&mut client.clone(), Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        });
        assert_eq!(answer.code(), Some(486));
    }
    world.engine.revoke(Scope::Clients, "alice");
    world.drain_outputs();
    let users: Vec<_> = world.engine.users().collect();
    assert_eq!(users, [(Scope::Anyone, "alice")], "a ban is for one of them");
}

#[test]
fn r69_a_reservation_is_for_its_own_scope() {
    let (mut world, mut alice) = (World::new(), Client::alice().into_stranger());
    let answer = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::EVEN_PORT, &[0x80]);
    });
    let token = answer.find(attribute::RESERVATION_TOKEN).expect("a token");
    let claim = |world: &mut World, client: Client| {
        world.request(&mut client.clone(), Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::RESERVATION_TOKEN, &token);
        })
    };
    assert_eq!(claim(&mut world, Client::new("alice", "198.51.100.1:9")).code(), Some(508));
    let claimed = claim(&mut world, Client::new("alice", "198.51.100.1:9").into_stranger());
    assert_eq!(claimed.relayed()[0].port(), answer.relayed()[0].port() + 1);
    assert!(world.sockets.is_empty());
}

#[test]
fn r69_a_mobility_ticket_does_not_cross_scopes() {
    let mut world = World::with(EngineSettings { mobility: true, ..settings() });
    let mut alice = Client::alice().into_stranger();
    let answer = world.request(&mut alice, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::MOBILITY_TICKET, &[]);
    });
    let ticket = answer.find(attribute::MOBILITY_TICKET).expect("a ticket");
    let moves = |client: Client, world: &mut World| {
        world.request(&mut client.clone(), Method::Refresh, |writer| {
            writer.attribute(attribute::MOBILITY_TICKET, &ticket);
        })
    };
    assert_eq!(moves(Client::new("alice", "198.51.100.9:9"), &mut world).code(), Some(441));
    assert_eq!(moves(Client::new("alice", "198.51.100.9:9").into_stranger(), &mut world).code(), None);
}

#[test]
fn r69_a_setting_overrides_the_scope_of_all_credentials() {
    let mut world = World::with(EngineSettings { scope: Some(Scope::Clients), ..settings() });
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    assert!(world.sockets.is_empty());
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), Some(403));
    let mut world = World::with(EngineSettings { scope: Some(Scope::Anyone), ..settings() });
    let mut bob = Client::bob().into_stranger();
    world.allocate(&mut bob);
    assert_eq!((world.sockets.len(), world.permit(&mut bob, &[OUTSIDE_PEER])), (1, None));
    assert_eq!(world.engine.users().collect::<Vec<_>>(), [(Scope::Clients, "bob")], "he is still no user");
}

#[test]
fn r69_networks_can_be_added_to_scope_clients() {
    let mut world = World::new();
    let clients_peers = vec!["198.51.101.0/24".parse().expect("a network")];
    world.engine.set_policy(PeerPolicy { clients_peers, ..PeerPolicy::default() }, world.now);
    let mut alice = Client::alice().into_stranger();
    let relayed = world.allocate(&mut alice);
    assert_eq!(world.sockets.len(), 1, "packets leave the process");
    assert!((50_000..=50_099).contains(&relayed.port()));
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    assert!(matches!(world.send(&alice, OUTSIDE_PEER, b"x"), Verdict::ToPeer { .. }));
    assert!(to_client(&world.peer_data(relayed, OUTSIDE_PEER, b"x"), &alice));
    for peer in ["198.51.102.1:9", "203.0.114.2:9", "8.8.8.8:53"] {
        assert_eq!(world.permit(&mut alice, &[peer]), Some(403), "{peer}");
        assert_eq!(world.peer_data(relayed, peer, b"x"), Verdict::Drop(DropReason::DeniedPeer), "{peer}");
    }
}

#[test]
fn r70_a_relayed_address_of_scope_clients_has_no_socket_and_a_port_outside_the_range() {
    let (mut world, [mut alice, mut bob], relayed) = strangers();
    assert!(world.sockets.is_empty());
    for relayed in relayed {
        assert_eq!(relayed.ip(), ip("203.0.114.1"));
        assert!((1024..=49_151).contains(&relayed.port()) && relayed.port() != 3478, "{relayed}");
    }
    for client in [&mut alice, &mut bob] {
        assert_eq!(world.refresh(client, 0).code(), None);
    }
    world.assert_empty();
}

#[test]
fn r70_a_packet_arrives_only_after_its_receiver_has_sent_to_that_address_and_port() {
    let (mut world, [mut alice, mut bob], [ours, theirs]) = strangers();
    let mut mallory = Client::new("mallory", "198.51.100.3:3333").into_stranger();
    let attacker = world.allocate(&mut mallory);
    for (client, peer) in [(&mut alice, theirs), (&mut bob, ours), (&mut mallory, ours)] {
        assert_eq!(world.permit(client, &[&peer.to_string()]), None);
    }
    assert_eq!(world.send(&alice, &theirs.to_string(), b"a check"), NOT_CONTACTED, "bob has sent nothing yet");
    assert!(to_client(&world.send(&bob, &ours.to_string(), b"a check"), &alice));
    assert!(to_client(&world.send(&alice, &theirs.to_string(), b"the answer"), &bob));
    for victim in [ours, theirs] {
        assert_eq!(world.send(&mallory, &victim.to_string(), b"spray"), NOT_CONTACTED);
    }
    assert_eq!(world.bind(&mut mallory, 0x4000, &ours.to_string()), None);
    assert_eq!(world.channel_data(&mallory, 0x4000, b"spray"), NOT_CONTACTED);
    // A channel names an address and a port too.
    assert_eq!(world.bind(&mut alice, 0x4000, &attacker.to_string()), None);
    let channel = Framing::Channel(ChannelNumber::new(0x4000).expect("a channel"));
    let Verdict::ToClient { to, framing, .. } = world.channel_data(&mallory, 0x4000, b"x") else { panic!("alice agreed") };
    assert_eq!((to, framing), (alice.from, channel));
}

#[test]
fn r70_a_later_owner_of_a_port_has_not_been_contacted() {
    let settings = EngineSettings { internal_ports: vec![5000..=5001], ..settings() };
    let mut world = World::with(settings);
    let (mut alice, mut bob) = (Client::alice().into_stranger(), Client::bob().into_stranger());
    let (ours, theirs) = (world.allocate(&mut alice), world.allocate(&mut bob));
    assert_eq!(world.bind(&mut alice, 0x4000, &theirs.to_string()), None);
    assert_eq!(world.permit(&mut bob, &[&ours.to_string()]), None);
    assert!(to_client(&world.send(&bob, &ours.to_string(), b"x"), &alice));
    assert_eq!(world.refresh(&mut bob, 0).code(), None);
    let mut mallory = Client::new("mallory", "198.51.100.3:3333").into_stranger();
    assert_eq!(world.allocate(&mut mallory), theirs, "the only free port");
    assert_eq!(world.permit(&mut mallory, &[&ours.to_string()]), None);
    assert_eq!(world.send(&mallory, &ours.to_string(), b"spray"), NOT_CONTACTED);
}

#[test]
fn r70_what_is_not_delivered_is_not_charged_to_the_receiver() {
    let mut settings = settings();
    settings.limits.allocation_bandwidth = Some(100_000);
    let mut world = World::with(settings);
    let mut clients = ["alice", "bob", "mallory"].map(|name| Client::new(name, "198.51.100.1:1").into_stranger());
    for (client, port) in clients.iter_mut().zip(1..) {
        client.from.client.set_port(port);
    }
    let relayed = clients.each_mut().map(|client| world.allocate(client));
    let [alice, bob, mallory] = &mut clients;
    assert_eq!(world.bind(mallory, 0x4000, &relayed[0].to_string()), None);
    let spray = |world: &mut World, client: &Client| {
        let verdicts = (0..1000).map(|_| world.channel_data(client, 0x4000, &[0; 1000]));
        verdicts.filter(|verdict| *verdict == NOT_CONTACTED).count()
    };
    assert!(spray(&mut world, mallory) > 90, "the limit of the sender counts");
    assert_eq!(world.bind(alice, 0x4000, &relayed[1].to_string()), None);
    assert_eq!(world.bind(bob, 0x4000, &relayed[0].to_string()), None);
    let delivered = (0..90).filter(|_| to_client(&world.channel_data(bob, 0x4000, &[0; 1000]), alice)).count();
    assert_eq!(delivered, 90, "alice's bandwidth is untouched");
}

#[test]
fn r70_a_user_and_a_stranger_exchange_packets_in_the_process() {
    let (mut world, mut user, mut stranger) = (World::new(), Client::alice(), Client::bob().into_stranger());
    let (ours, theirs) = (world.allocate(&mut user), world.allocate(&mut stranger));
    assert_eq!(world.sockets.len(), 1);
    assert_eq!(world.bind(&mut user, 0x4000, &theirs.to_string()), None);
    assert_eq!(world.bind(&mut stranger, 0x4000, &ours.to_string()), None);
    assert!(to_client(&world.channel_data(&user, 0x4000, b"x"), &stranger));
    assert!(to_client(&world.channel_data(&stranger, 0x4000, b"x"), &user));
    // A datagram at the user's socket that claims to come from the stranger is forged by a program of this machine, or by a host
    // that may send with this machine's address.
    assert_eq!(world.peer_data(ours, &theirs.to_string(), b"forged"), Verdict::Drop(DropReason::DeniedPeer));
}

#[test]
fn a_program_of_this_machine_may_have_the_port_of_an_internal_relayed_address() {
    let (mut world, [mut alice, mut bob], [ours, theirs]) = strangers();
    // As a client.
    let local = FiveTuple { client: theirs, ..alice.from };
    let bytes = Client::bob().unsigned(Method::Binding, |_| {});
    assert!(matches!(world.handle(local, &bytes), Verdict::Reply { .. }));
    // As a peer that the operator allows.
    let policy = PeerPolicy { allowed: vec!["203.0.114.1/32".parse().expect("a network")], ..PeerPolicy::default() };
    world.engine.set_policy(policy, world.now);
    let mut user = Client::new("mallory", "198.51.100.3:3333");
    let relayed = world.allocate(&mut user);
    assert_eq!(world.permit(&mut user, &[&theirs.to_string()]), None);
    assert!(to_client(&world.peer_data(relayed, &theirs.to_string(), b"x"), &user));
    // Its packets never reach the clients with that port.
    for (client, peer) in [(&mut alice, theirs), (&mut bob, ours)] {
        assert_eq!(world.bind(client, 0x4000, &peer.to_string()), None);
    }
    assert!(to_client(&world.channel_data(&alice, 0x4000, b"x"), &bob));
}

/// Credentials `stranger` of scope clients, which expire at `expires` and may be leased.
struct Leased {
    expires: Instant,
    lease: std::sync::Mutex<Option<bool>>,
}

impl CredentialSource for Leased {
    fn user_keys(&self, username: &str, _: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let key = LongTermKey::long_term(algorithm, username, REALM, "secret");
        let leased = self.lease.lock().unwrap().unwrap_or(false);
        (leased || now < self.expires).then(|| UserKeys {
            user: username.to_owned(),
            keys: vec![(Scope::Clients, key)],
            expires: Some(self.expires),
            leased: self.lease.lock().unwrap().is_some(),
            group: None,
        })
    }

    fn is_leased(&self, _: &str) -> bool {
        self.lease.lock().unwrap().unwrap_or(false)
    }
}

fn with_lease(lease: Option<bool>, settings: EngineSettings) -> (World, Client, Arc<Leased>) {
    let source = Arc::new(Leased { expires: Instant::now() + secs(1600), lease: std::sync::Mutex::new(lease) });
    let world = World::with_credentials(settings, 50_000..=50_099, Arc::clone(&source) as Arc<dyn CredentialSource>);
    (world, Client::alice(), source)
}

/// Refreshes every 500 s until it is refused, and returns for how many seconds the allocation lived since `from`.
fn lives_for(world: &mut World, client: &mut Client) -> u64 {
    let from = world.now;
    while world.engine.has_allocation(&client.from) {
        if world.refresh(client, 600).code().is_some() {
            world.advance(secs(600));
            break;
        }
        assert_eq!(world.permit(client, &["203.0.114.1:0"]), None, "other requests are accepted as well");
        world.advance(secs(500));
    }
    assert!(!world.engine.has_allocation(&client.from));
    world.now.saturating_duration_since(from).as_secs()
}

#[test]
fn r69_the_key_of_a_strangers_allocation_is_accepted_for_a_limited_time() {
    let clients_lifetime = secs(10_000);
    let (mut world, mut alice, _) = with_lease(None, EngineSettings { clients_lifetime, ..settings() });
    world.allocate(&mut alice);
    assert!((10_000..10_600).contains(&lives_for(&mut world, &mut alice)));
    // An allocation of a user goes on, as with other servers.
    let (mut world, mut alice) = (World::with(EngineSettings { clients_lifetime, ..settings() }), Client::alice());
    world.allocate(&mut alice);
    for _ in 0..40 {
        world.advance(secs(500));
        assert_eq!(world.refresh(&mut alice, 600).code(), None);
    }
}

#[test]
fn r69_strict_expiry_ends_a_strangers_allocation_with_its_credentials() {
    let (mut world, mut alice, _) = with_lease(None, EngineSettings { strict_expiry: true, ..settings() });
    world.allocate(&mut alice);
    assert!(lives_for(&mut world, &mut alice) <= 1600);
}

#[test]
fn r69_the_key_of_a_seat_is_accepted_while_the_seat_exists() {
    let (mut world, mut alice, source) = with_lease(Some(true), settings());
    world.allocate(&mut alice);
    for _ in 0..10 {
        world.advance(secs(500));
        assert_eq!(world.refresh(&mut alice, 600).code(), None);
    }
    *source.lease.lock().unwrap() = Some(false);
    assert_eq!(world.permit(&mut alice, &["203.0.114.1:5000"]), Some(401));
    assert!(lives_for(&mut world, &mut alice) <= 600);
}

/// Credentials of scope clients for `NAME-GROUP`; group 0 is none.
struct Grouped;

impl CredentialSource for Grouped {
    fn user_keys(&self, username: &str, _: &str, algorithm: PasswordAlgorithm, _: Instant) -> Option<UserKeys> {
        let group: u64 = username.split_once('-')?.1.parse().ok()?;
        let key = LongTermKey::long_term(algorithm, username, REALM, "secret");
        let group = Some(group).filter(|group| *group > 0);
        Some(UserKeys { user: username.to_owned(), keys: vec![(Scope::Clients, key)], expires: None, leased: true, group })
    }

    fn is_leased(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn r70_the_first_packet_of_a_room_arrives_whichever_side_sends_it() {
    for over_tcp in [false, true] {
        let mut world = World::with_credentials(settings(), 50_000..=50_099, Arc::new(Grouped));
        let names = ["tv-1", "caster-1", "other-2", "nobody-0"];
        let mut clients = names.map(|name| Client::new(name, &format!("198.51.100.1:{}", name.len())));
        for (client, port) in clients.iter_mut().zip(1..) {
            client.from.client.set_port(port);
        }
        if over_tcp {
            clients[0] = clients[0].clone().over_tcp();
        }
        let relayed = clients.each_mut().map(|client| world.allocate(client));
        let [tv, caster, other, nobody] = &mut clients;
        let ours = relayed[0].to_string();
        for client in [&mut *caster, &mut *other, &mut *nobody] {
            assert_eq!(world.permit(client, &[&ours]), None);
        }
        assert_eq!(world.send(caster, &ours, b"a check"), NOT_CONTACTED, "the TV has no permission for it yet");
        assert_eq!(world.permit(tv, &[&relayed[1].to_string()]), None);
        assert!(to_client(&world.send(caster, &ours, b"a check"), tv));
        for stranger in [&*other, &*nobody] {
            assert_eq!(world.send(stranger, &ours, b"spray"), NOT_CONTACTED);
        }
        // A TV with a contact receives from that alone: another caster, who was in the room before, is none.
        let mut former = Client::new("former-1", "198.51.100.1:9");
        world.allocate(&mut former);
        assert_eq!(world.permit(&mut former, &[&ours]), None);
        assert!(to_client(&world.send(&former, &ours, b"x"), tv));
        assert!(to_client(&world.send(tv, &relayed[1].to_string(), b"the answer"), caster));
        assert_eq!(world.send(&former, &ours, b"spray"), NOT_CONTACTED);
        assert!(to_client(&world.send(caster, &ours, b"media"), tv));
    }
}
