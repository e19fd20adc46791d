//! Requirement 81: credentials of scope own-address.

use super::*;

/// The client of all tests, from an address that the policy permits.
const CLIENT: &str = "198.51.101.9:5000";
const OWN: &str = "198.51.101.9:7777";
/// The lifetime of the credentials.
const LIFETIME: Duration = secs(300);

/// Every user has credentials of scope own-address that expire at this time.
struct Checked(Instant);

impl CredentialSource for Checked {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let key = LongTermKey::long_term(algorithm, username, realm, USERS_PASSWORD);
        let keys = vec![(Scope::OwnAddress, key)];
        let user = username.to_owned();
        (now < self.0).then_some(UserKeys { user, keys, expires: Some(self.0), leased: false, group: None })
    }
}

fn world_of(settings: EngineSettings) -> World {
    let expires = Instant::now() + secs(1000) + LIFETIME;
    World::with_credentials(settings, 50_000..=50_099, Arc::new(Checked(expires)))
}

#[test]
fn r81_scope_own_address_reaches_the_address_of_its_allocate_and_no_other() {
    let mut world = world_of(settings());
    let mut client = Client::new("check-1", CLIENT);
    let relayed = world.allocate(&mut client);
    let mut other = Client::new("check-2", "198.51.101.10:5000");
    let others_relayed = world.allocate(&mut other).to_string();
    for peer in ["198.51.101.8:7777", "198.51.101.10:5000", "8.8.8.8:53", "127.0.0.1:80", "203.0.114.1:3478", &others_relayed] {
        assert_eq!(world.permit(&mut client, &[peer]), Some(403), "{peer}");
        assert_eq!(world.permit(&mut client, &[OWN, peer]), Some(403), "one peer refuses the others: {peer}");
        assert_eq!(world.bind(&mut client, 0x4000, peer), Some(403), "{peer}");
        assert_eq!(world.send(&client, peer, b"x"), Verdict::Drop(DropReason::NoPermission), "{peer}");
    }
    assert_eq!(world.permit(&mut client, &[OWN]), None);
    assert!(matches!(world.peer_data(relayed, OWN, b"x"), Verdict::ToClient { to, .. } if to == client.from));
    assert_eq!(world.peer_data(relayed, "198.51.101.8:7777", b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.bind(&mut client, 0x4000, "198.51.101.9:9"), None);
}

#[test]
fn r81_neither_loopback_nor_an_address_of_this_machine_nor_what_the_policy_denies_is_a_peer() {
    let allowed = ["127.0.0.0/8", "203.0.114.0/24"].map(|network| network.parse().expect("a network")).into();
    let policy = PeerPolicy { allowed, ..PeerPolicy::default() };
    for own in ["127.0.0.1:5000", "127.0.0.2:5000", "203.0.114.1:5000", "203.0.114.2:5000", "192.168.1.5:5000", "10.0.0.1:1"] {
        let mut world = world_of(settings());
        world.engine.set_policy(policy.clone(), world.now);
        let mut client = Client::new("check-1", own);
        let relayed = world.allocate(&mut client).to_string();
        assert_eq!(world.permit(&mut client, &[own]), Some(403), "{own}");
        assert_eq!(world.bind(&mut client, 0x4000, own), Some(403), "{own}");
        assert_eq!(world.permit(&mut client, &[&relayed]), Some(403), "{own}");
    }
}

#[test]
fn r81_a_client_that_comes_from_the_address_of_relayed_addresses_reaches_none_of_them() {
    let mut world = world_of(settings());
    let mut client = Client::new("check-1", "203.0.114.1:5000");
    let relayed = world.allocate(&mut client);
    let mut other = Client::new("check-2", "198.51.101.10:5000");
    let others = world.allocate(&mut other);
    for peer in [relayed, others].map(|relayed| relayed.to_string()) {
        assert_eq!(world.bind(&mut client, 0x4000, &peer), Some(403), "{peer}");
        assert_eq!(world.permit(&mut client, &[&peer]), Some(403), "{peer}");
        assert_eq!(world.send(&client, &peer, b"x"), Verdict::Drop(DropReason::NoPermission), "{peer}");
    }
}

#[test]
fn r81_a_policy_that_denies_the_address_later_ends_the_permission() {
    let mut world = world_of(settings());
    let mut client = Client::new("check-1", CLIENT);
    let relayed = world.allocate(&mut client);
    assert_eq!(world.permit(&mut client, &[OWN]), None);
    let denied = vec!["198.51.101.0/24".parse().expect("a network")];
    world.engine.set_policy(PeerPolicy { denied, ..PeerPolicy::default() }, world.now);
    assert_eq!(world.peer_data(relayed, OWN, b"x"), Verdict::Drop(DropReason::NoPermission));
}

#[test]
fn r81_the_allocation_ends_with_the_credentials_and_neither_moves_nor_connects() {
    let mut world = world_of(EngineSettings { mobility: true, tcp_relay: true, ..settings() });
    let mut client = Client::new("check-1", CLIENT).over_tcp();
    for (transport, mobile, code) in [(UDP, true, 405), (TCP, false, 442)] {
        let answer = world.request(&mut client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, transport);
            if mobile {
                writer.attribute(attribute::MOBILITY_TICKET, &[]);
            }
        });
        assert_eq!(answer.code(), Some(code));
    }
    let answer = world.request(&mut client, Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP);
    });
    assert!(answer.lifetime().is_some_and(|lifetime| lifetime <= 300), "{answer:?}");
    world.advance(secs(200));
    assert!(world.refresh(&mut client, 600).lifetime().is_some_and(|lifetime| lifetime <= 100));
    world.advance(secs(101));
    assert_eq!(world.engine.allocation_count(), 0);
}

#[test]
fn r81_a_setting_does_not_widen_the_scope() {
    let mut world = world_of(EngineSettings { scope: Some(Scope::Anyone), ..settings() });
    let mut client = Client::new("check-1", CLIENT);
    world.allocate(&mut client);
    assert_eq!(world.permit(&mut client, &[OUTSIDE_PEER]), Some(403));
    assert_eq!(world.permit(&mut client, &[OWN]), None);

    // Where no allocation has a socket, this one has none either, and it does not get the peers of scope clients instead.
    let mut world = world_of(EngineSettings { scope: Some(Scope::Clients), mobility: true, ..settings() });
    let mut client = Client::new("check-1", CLIENT);
    world.allocate(&mut client);
    let mut other = Client::new("check-2", "198.51.101.10:5000");
    let others = world.allocate(&mut other).to_string();
    assert_eq!(world.permit(&mut client, &[&others]), Some(403));
    assert_eq!(world.bind(&mut client, 0x4000, &others), Some(403));
    assert_eq!(world.permit(&mut client, &[OWN]), None);
    assert_eq!(world.send(&client, OWN, b"x"), Verdict::Drop(DropReason::DeniedPeer));
}
