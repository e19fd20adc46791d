//! Requirement 74: the operator is told why a request was refused, if its sender has proved its address.

use super::*;

/// Alice with her password, and credentials that are refused although they are genuine. No other user's password can be guessed.
struct Evidence;

const WHY: CredentialRefusal = CredentialRefusal::Expired { ago: secs(60) };
const EXPIRED: &str = "1700000000:dave";

impl CredentialSource for Evidence {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, _: Instant) -> Option<UserKeys> {
        let key = LongTermKey::long_term(algorithm, username, realm, USERS_PASSWORD);
        let keys = vec![(Scope::Anyone, key)];
        (username == "alice").then(|| UserKeys { user: username.to_owned(), keys, expires: None, leased: false, group: None })
    }

    fn evidence(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, _: Instant) -> CredentialEvidence {
        let key = || LongTermKey::long_term(algorithm, username, realm, USERS_PASSWORD);
        match username {
            "alice" => CredentialEvidence { keys: Vec::new(), otherwise: CredentialRefusal::WrongPassword },
            EXPIRED => CredentialEvidence { keys: vec![(key(), WHY)], otherwise: CredentialRefusal::WrongSignature },
            _ => CredentialEvidence { keys: Vec::new(), otherwise: CredentialRefusal::UnknownUser },
        }
    }

    fn is_guessable(&self, username: &str) -> bool {
        username != EXPIRED
    }
}

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
}

impl World {
    /// The reasons that the operator was told since the last call.
    fn reasons(&mut self) -> Vec<RefusalReason> {
        let refused = std::mem::take(&mut self.refused);
        refused.into_iter().map(|refused| refused.reason).collect()
    }

    /// One request; returns the code, and the reasons.
    fn refused(
        &mut self,
        client: &mut Client,
        method: Method,
        attributes: impl Fn(&mut MessageWriter<'_>),
    ) -> (Option<u16>, Vec<RefusalReason>) {
        let code = self.request(client, method, attributes).code();
        (code, self.reasons())
    }

    /// An Allocate that is refused with 508.
    fn refused_for(&mut self, client: &mut Client) -> Vec<RefusalReason> {
        let (code, reasons) = self.refused(client, Method::Allocate, allocate);
        assert_eq!(code, Some(508));
        reasons
    }
}

#[test]
fn r74_a_401_has_its_reason_and_the_username() {
    let mut world = World::with_credentials(settings(), 50_000..=50_009, Arc::new(Evidence));
    let cases = [
        ("alice", "wrong", RefusalReason::Credentials(CredentialRefusal::WrongPassword)),
        ("nobody", "wrong", RefusalReason::Credentials(CredentialRefusal::UnknownUser)),
        (EXPIRED, "wrong", RefusalReason::Credentials(CredentialRefusal::WrongSignature)),
        (EXPIRED, USERS_PASSWORD, RefusalReason::Credentials(WHY)),
        ("a \"name\"\nof two lines", "wrong", RefusalReason::Credentials(CredentialRefusal::UnknownUser)),
    ];
    for (number, (username, password, reason)) in (1..).zip(cases) {
        let mut client = Client::new(username, &format!("198.51.100.{number}:1"));
        client.password = password.to_owned();
        assert_eq!(world.request(&mut client, Method::Allocate, allocate).code(), Some(401));
        let refused = RefusedRequest { client: client.from, username: username.into(), reason };
        assert_eq!(std::mem::take(&mut world.refused), [refused]);
    }
    let mut client = Client::alice();
    world.login(&mut client);
    let mut bytes = client.unsigned(Method::Allocate, allocate);
    let mut writer = MessageWriter::resume(&mut bytes);
    writer.attribute(attribute::USERNAME, b"alice").attribute(attribute::REALM, b"other");
    writer.attribute(attribute::NONCE, &client.nonce).integrity(client.integrity, &client.key());
    assert_eq!(world.ask(client.from, &bytes).and_then(|answer| answer.code()), Some(401));
    assert_eq!(world.reasons(), [RefusalReason::Credentials(CredentialRefusal::OtherRealm)]);
}

/// Requirement 21: what the log says is no one else's to know.
#[test]
fn r74_the_client_is_not_told_the_reason() {
    let mut settings = settings();
    settings.limits.challenges = 100;
    let mut world = World::with_credentials(settings, 50_000..=50_009, Arc::new(Evidence));
    let mut answers = Vec::new();
    for (username, password) in [("alice", "wrong"), ("nobody", "wrong"), (EXPIRED, "wrong"), (EXPIRED, USERS_PASSWORD)] {
        let mut client = Client::new(username, "198.51.100.1:1");
        client.password = password.to_owned();
        answers.push(world.request(&mut client, Method::Allocate, allocate));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.reasons().len(), 4);
}

#[test]
fn r74_genuine_credentials_are_counted_and_are_no_guess() {
    let mut settings = settings();
    settings.limits.challenges = 100;
    let mut world = World::with_credentials(settings, 50_000..=50_009, Arc::new(Evidence));
    let mut tries = |username: &str, password: &str| {
        let mut client = Client::new(username, "198.51.100.1:1");
        client.password = password.to_owned();
        assert_eq!(world.request(&mut client, Method::Allocate, allocate).code(), Some(401));
        let counted: u64 = world.shared.reports().totals().map(|(_, count)| count).sum();
        (world.shared.reports().drain(world.now).len(), counted)
    };
    assert_eq!(tries(EXPIRED, USERS_PASSWORD), (0, 1));
    assert_eq!(tries(EXPIRED, USERS_PASSWORD), (0, 2));
    assert_eq!([tries(EXPIRED, "wrong"), tries("bob", "wrong")], [(1, 3), (0, 4)], "the first wrong one has a line");
}

#[test]
fn r74_whoever_has_not_proved_an_address_is_no_line() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let without_user = alice.unsigned(Method::Allocate, allocate);
    assert!(world.ask(alice.from, &without_user).is_some());
    alice.nonce = b"0123456789abcdef".to_vec();
    let forged = alice.signed(Method::Allocate, allocate);
    assert_eq!(world.ask(alice.from, &forged).and_then(|answer| answer.code()), Some(438));
    world.login(&mut alice);
    alice.password = "wrong".to_owned();
    let replayed = alice.signed(Method::Allocate, allocate);
    let elsewhere = FiveTuple { client: addr("198.51.100.1:1112"), ..alice.from };
    assert_eq!(world.ask(elsewhere, &replayed).and_then(|answer| answer.code()), Some(438));
    assert_eq!(world.reasons(), []);
    assert_eq!(world.ask(alice.from, &replayed).and_then(|answer| answer.code()), Some(401));
    assert_eq!(world.reasons().len(), 1);
}

#[test]
fn r74_a_437_says_what_does_not_match() {
    let (mut world, mut alice, mut bob) = (World::new(), Client::alice(), Client::bob());
    assert_eq!(world.refused(&mut bob, Method::Refresh, |_| {}), (Some(437), vec![RefusalReason::NoAllocation]));
    let end = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::LIFETIME, 0);
    };
    assert_eq!(world.refused(&mut bob, Method::Refresh, end), (Some(437), vec![RefusalReason::NothingToEnd]));
    world.allocate(&mut alice);
    assert_eq!(world.reasons(), []);
    assert_eq!(world.refused(&mut alice, Method::Allocate, allocate), (Some(437), vec![RefusalReason::AllocationExists]));
    // Another user on the five-tuple of the allocation.
    let mut other = Client::new("bob", "198.51.100.1:1111");
    assert_eq!(world.refused(&mut other, Method::Refresh, |_| {}), (Some(441), vec![RefusalReason::OtherUser]));
}

#[test]
fn r74_a_440_and_a_442_name_what_there_is_not() {
    let mut world = World::with(EngineSettings { relayed: [settings().relayed[0], None], ..settings() });
    let mut with = |kind: u16, value: u32| {
        let attributes = |writer: &mut MessageWriter<'_>| {
            if kind != attribute::REQUESTED_TRANSPORT {
                allocate(writer);
            }
            writer.number(kind, value);
        };
        world.refused(&mut Client::alice(), Method::Allocate, attributes)
    };
    let no_ipv6 = RefusalReason::NoAddressOfFamily(AddressFamily::V6);
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, IPV6), (Some(440), vec![no_ipv6]));
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, 9 << 24), (Some(440), vec![RefusalReason::UnknownFamily]));
    assert_eq!(with(attribute::REQUESTED_TRANSPORT, TCP), (Some(442), vec![RefusalReason::UnsupportedTransport(6)]));
    assert_eq!(with(attribute::REQUESTED_TRANSPORT, 132 << 24), (Some(442), vec![RefusalReason::UnsupportedTransport(132)]));
}

#[test]
fn r74_a_403_and_a_446_name_the_peer() {
    let mut world = World::with(EngineSettings { tcp_relay: true, ..settings() });
    let mut alice = Client::alice().over_tcp();
    let tcp = |writer: &mut MessageWriter<'_>| {
        writer.number(attribute::REQUESTED_TRANSPORT, TCP);
    };
    assert_eq!(world.request(&mut alice, Method::Allocate, tcp).code(), None);
    assert_eq!(world.permit(&mut alice, &["10.0.0.1:99"]), Some(403));
    assert_eq!(world.reasons(), [RefusalReason::DeniedPeer(addr("10.0.0.1:99"))]);
    let peer = |writer: &mut MessageWriter<'_>| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(OUTSIDE_PEER));
    };
    let bytes = alice.signed(Method::Connect, peer);
    assert_eq!(world.handle(alice.from, &bytes), Verdict::Accepted);
    assert_eq!(world.refused(&mut alice, Method::Connect, peer), (Some(446), vec![RefusalReason::Connected(addr(OUTSIDE_PEER))]));
}

#[test]
fn r74_a_486_says_whose_quota() {
    let mut settings = settings();
    settings.limits.user_quota = Some(1);
    settings.limits.clients_per_address = 1;
    let mut world = World::with(settings);
    world.allocate(&mut Client::alice());
    let mut second = Client::new("alice", "198.51.100.3:1");
    assert_eq!(world.refused(&mut second, Method::Allocate, allocate), (Some(486), vec![RefusalReason::UserQuota]));
    world.allocate(&mut Client::new("bob", "198.51.100.4:1").into_stranger());
    let mut neighbour = Client::new("mallory", "198.51.100.4:2").into_stranger();
    assert_eq!(world.refused(&mut neighbour, Method::Allocate, allocate), (Some(486), vec![RefusalReason::AddressQuota]));
}

#[test]
fn r74_a_508_says_what_is_exhausted() {
    let with = |change: fn(&mut EngineSettings)| {
        let mut settings = settings();
        change(&mut settings);
        World::with_ports(settings, 50_000..=50_000)
    };
    let mut world = with(|settings| settings.limits.total_quota = Some(1));
    world.allocate(&mut Client::alice());
    assert_eq!(world.refused_for(&mut Client::bob()), [RefusalReason::TotalQuota]);
    world.engine.refuse_allocations();
    assert_eq!(world.refused_for(&mut Client::bob()), [RefusalReason::ShuttingDown]);

    let mut world = with(|_| {});
    world.allocate(&mut Client::alice());
    assert_eq!(world.refused_for(&mut Client::bob()), [RefusalReason::NoPort]);
    let (code, reasons) = world.refused(&mut Client::bob(), Method::Allocate, |writer| {
        writer.number(attribute::REQUESTED_TRANSPORT, UDP).attribute(attribute::RESERVATION_TOKEN, &[7; 8]);
    });
    assert_eq!((code, reasons), (Some(508), vec![RefusalReason::NoReservation]));

    let mut world = with(|settings| settings.limits.permissions = 1);
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
    assert_eq!(world.permit(&mut alice, &["198.51.101.8:1"]), Some(508));
    assert_eq!(world.reasons(), [RefusalReason::TooManyPermissions]);

    let mut world = with(|settings| settings.limits.channels = 1);
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    assert_eq!(world.bind(&mut alice, 0x4000, OUTSIDE_PEER), None);
    assert_eq!(world.bind(&mut alice, 0x4001, "198.51.101.8:1"), Some(508));
    assert_eq!(world.reasons(), [RefusalReason::TooManyChannels]);
}

#[test]
fn r74_a_508_that_comes_late_says_why_no_socket_opened() {
    for error in [OpenError::NoDescriptors, OpenError::NoAddress, OpenError::Failed] {
        let mut world = World::new();
        world.open_results = [Err(error)].into();
        assert_eq!(world.refused_for(&mut Client::alice()), [RefusalReason::Socket(error)]);
    }
    let mut world = World::new();
    world.open_results = vec![Err(OpenError::PortInUse); 20].into();
    let mut alice = Client::alice();
    assert_eq!(world.request(&mut alice, Method::Allocate, allocate).code(), Some(508));
    let reason = RefusalReason::Socket(OpenError::PortInUse);
    assert_eq!(world.refused, [RefusedRequest { client: alice.from, username: "alice".into(), reason }]);
    world.assert_empty();
    // Another program uses the port, and when another one is tried, the machine has lost its address.
    let mut alice = Client::alice();
    world.login(&mut alice);
    let request = alice.signed(Method::Allocate, allocate);
    let _ = world.engine.handle_client(alice.from, &request, world.now);
    let Some(Output::OpenRelayedAddress { relayed, .. }) = world.engine.poll_output() else { panic!("no socket is asked for") };
    world.engine.set_addresses(&machine_at([None, None]), world.now);
    world.engine.handle_relayed_address_opened(relayed, Err(OpenError::PortInUse), world.now);
    let mut reasons = Vec::new();
    while let Some(output) = world.engine.poll_output() {
        if let Output::Refused(refused) = output {
            reasons.push(refused.reason);
        }
    }
    assert_eq!(reasons, [RefusalReason::Socket(OpenError::NoAddress)]);
}

#[test]
fn r74_the_operator_is_told_of_a_displaced_stranger() {
    let mut settings = settings();
    settings.internal_ports = vec![2000..=2009];
    let mut world = World::with(settings);
    let strangers: Vec<Client> = (1..=8).map(|n| Client::new("alice", &format!("198.51.100.1:{n}")).into_stranger()).collect();
    for mut stranger in strangers.clone() {
        world.allocate(&mut stranger);
    }
    assert_eq!(world.displaced, []);
    world.allocate(&mut Client::new("bob", "198.51.100.2:1").into_stranger());
    assert_eq!(world.displaced, [strangers[7].from], "the youngest of the address with the most");
    let (code, reasons) = world.refused(&mut Client::new("bob", "198.51.100.1:9").into_stranger(), Method::Allocate, allocate);
    assert_eq!((code, reasons), (Some(508), vec![RefusalReason::StrangersCapacity]));
}

/// What is part of every session, and what is a fault of a client's program, is no line.
#[test]
fn r74_healthy_sessions_and_malformed_requests_are_no_lines() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    world.advance(secs(3700));
    assert_eq!(world.refused(&mut alice, Method::Allocate, allocate), (None, vec![]), "a stale nonce is replaced");
    assert_eq!(world.refused(&mut alice, Method::ChannelBind, |_| {}), (Some(400), vec![]));
}
