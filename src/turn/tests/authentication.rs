//! Requirements 17 to 28.

use super::*;

#[derive(Default)]
struct Table(std::sync::Mutex<Vec<(String, UserKeys)>>);

impl Table {
    fn set(&self, username: &str, user: &str, expires: Option<Instant>) {
        let key = LongTermKey::long_term(PasswordAlgorithm::Md5, username, REALM, "secret");
        let account = UserKeys { user: user.to_owned(), keys: vec![(Scope::Anyone, key)], expires, leased: false, group: None };
        self.0.lock().unwrap().push((username.to_owned(), account));
    }
}

impl CredentialSource for Table {
    fn user_keys(&self, username: &str, _: &str, _: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let table = self.0.lock().unwrap();
        let account = table.iter().find(|(name, _)| name == username).map(|(_, account)| account.clone());
        account.filter(|account| account.expires.is_none_or(|expires| expires > now))
    }
}

fn rest_world(strict_expiry: bool, unix: u64) -> World {
    let epoch = Instant::now();
    let settings = EngineSettings { strict_expiry, ..settings() };
    let shared = SharedState::new(&settings, [1; 32], epoch);
    let clock = TestClock { instant: epoch, unix: secs(unix) };
    let secrets = RestSecrets::new([b"north".to_vec(), b"south".to_vec()], clock, Some(secs(86_400)));
    World::shard(settings, ShardSettings { index: 0, ports: 50_000..=50_009 }, shared, Arc::new(secrets), epoch)
}

fn rest_client(username: &str, secret: &str) -> Client {
    let mut client = Client::new(username, "198.51.100.1:1111");
    client.password = rest_password(secret.as_bytes(), username);
    client
}

fn udp(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
}

#[test]
fn r17_without_credentials_nobody_allocates() {
    let nobody = StaticUsers::default();
    let mut world = World::with_credentials(settings(), 50_000..=50_009, Arc::new(nobody));
    assert_eq!(world.request(&mut Client::alice(), Method::Allocate, udp).code(), Some(401));
    assert_eq!(world.request(&mut Client::new("", "198.51.100.1:5"), Method::Allocate, udp).code(), Some(401));
    world.assert_empty();
}

#[test]
fn only_a_401_to_a_request_with_a_user_is_a_failed_authentication() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    let failed = |verdict: Verdict| {
        let Verdict::Reply { answer, .. } = verdict else { panic!("{verdict:?}") };
        let Answer::Error { code, failed_authentication, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(code, ErrorCode::Unauthenticated);
        failed_authentication
    };
    let without_user = alice.unsigned(Method::Allocate, udp);
    assert!(!failed(world.handle(alice.from, &without_user)));
    world.login(&mut alice);
    alice.password = "wrong".to_owned();
    let with_user = alice.signed(Method::Allocate, udp);
    assert!(failed(world.handle(alice.from, &with_user)));
}

#[test]
fn r18_a_nonce_replayed_from_another_port_gets_438() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.login(&mut alice);
    let bytes = alice.signed(Method::Allocate, udp);
    let elsewhere = FiveTuple { client: addr("198.51.100.1:1112"), ..alice.from };
    let answer = world.ask(elsewhere, &bytes).expect("an answer");
    assert_eq!(answer.code(), Some(438));
    assert!(answer.find(attribute::NONCE).is_some_and(|nonce| nonce != alice.nonce));
    assert_eq!(world.ask(alice.from, &bytes).and_then(|answer| answer.code()), None);
}

#[test]
fn r19_an_expired_nonce_gets_438_and_the_client_recovers() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    world.refresh(&mut alice, 3600);
    world.advance(secs(601));
    let bytes = alice.signed(Method::Refresh, |_| {});
    let stale = world.ask(alice.from, &bytes).expect("an answer");
    assert_eq!((stale.code(), stale.message().integrity()), (Some(438), None));
    alice.take_nonce(&stale);
    assert_eq!(world.refresh(&mut alice, 600).code(), None);
}

#[test]
fn r21_unknown_user_and_wrong_password_get_identical_bytes() {
    let mut settings = settings();
    settings.limits.challenges = 100;
    let (mut world, alice) = (World::with(settings), Client::alice());
    let mut answers = Vec::new();
    for (username, password) in [("alice", "wrong"), ("nobody", "wrong"), ("nobody", "secret"), ("\u{FFFD}", "secret")] {
        let mut client = Client { username: username.to_owned(), password: password.to_owned(), ..alice.clone() };
        world.login(&mut client);
        let bytes = client.signed(Method::Allocate, udp);
        answers.push(world.ask(client.from, &bytes).expect("an answer"));
    }
    // These bytes are not valid text.
    let mut client = alice.clone();
    world.login(&mut client);
    let mut bytes = client.unsigned(Method::Allocate, udp);
    let mut writer = MessageWriter::resume(&mut bytes);
    writer.attribute(attribute::USERNAME, &[0xFF, 0xFE]).attribute(attribute::REALM, REALM.as_bytes());
    writer.attribute(attribute::NONCE, &client.nonce).integrity(IntegrityAlgorithm::Sha1, &client.key());
    answers.push(world.ask(client.from, &bytes).expect("an answer"));
    assert_eq!(answers[0].code(), Some(401));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn r22_another_user_on_the_five_tuple_gets_441() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.allocate(&mut alice);
    let mut mallory = Client { username: "mallory".to_owned(), transaction: 100, ..alice.clone() };
    assert_eq!(world.request(&mut mallory, Method::Allocate, udp).code(), Some(441));
    assert_eq!(world.refresh(&mut mallory, 0).code(), Some(441));
    assert_eq!(world.permit(&mut mallory, &[OUTSIDE_PEER]), Some(441));
    assert_eq!(world.bind(&mut mallory, 0x4000, OUTSIDE_PEER), Some(441));
    assert_eq!(world.engine.allocation_count(), 1);
}

#[test]
fn r23_rest_usernames_in_time_allocate_and_others_get_401() {
    for (username, code) in [
        ("1000600:alice", None),
        ("1000600", None),
        ("999999:alice", Some(401)),
        ("1000000:alice", Some(401)),
        ("9999999999999999999999:alice", Some(401)),
        ("-1:alice", Some(401)),
        ("alice", Some(401)),
        ("1000600000:alice", Some(401)),
    ] {
        let mut world = rest_world(false, 1_000_000);
        assert_eq!(world.request(&mut rest_client(username, "north"), Method::Allocate, udp).code(), code, "{username}");
    }
}

#[test]
fn r24_any_of_several_secrets_will_do_and_a_removed_one_will_not() {
    let mut world = rest_world(false, 1_000_000);
    for secret in ["north", "south"] {
        let mut client = rest_client("1000600:alice", secret);
        assert_eq!(world.request(&mut client, Method::Allocate, udp).code(), None);
        world.refresh(&mut client, 0);
    }
    assert_eq!(world.request(&mut rest_client("1000600:alice", "east"), Method::Allocate, udp).code(), Some(401));
}

#[test]
fn r24_credentials_removed_stop_new_allocations_at_once() {
    let table = Arc::new(Table::default());
    table.set("alice", "alice", None);
    let mut world = World::with_credentials(settings(), 50_000..=50_009, Arc::clone(&table) as Arc<dyn CredentialSource>);
    let mut alice = Client::alice();
    world.allocate(&mut alice);
    table.0.lock().unwrap().clear();
    assert_eq!(world.request(&mut Client::new("alice", "198.51.100.1:9"), Method::Allocate, udp).code(), Some(401));
    assert_eq!(world.refresh(&mut alice, 600).code(), None, "what is there goes on until it is revoked");
    world.engine.revoke(Scope::Anyone, "alice");
    world.drain_outputs();
    world.assert_empty();
}

#[test]
fn r25_strict_expiry_ends_an_allocation_with_its_credentials() {
    let mut world = rest_world(true, 1_000_000);
    let mut client = rest_client("1000700:alice", "north");
    assert_eq!(world.request(&mut client, Method::Allocate, udp).lifetime(), Some(600));
    world.advance(secs(500));
    assert_eq!(world.refresh(&mut client, 3600).lifetime(), Some(200));
    world.advance(secs(199));
    assert_eq!(world.engine.allocation_count(), 1);
    world.advance(secs(1));
    world.assert_empty();
}

#[test]
fn r25_later_credentials_of_the_same_user_prolong_it() {
    let mut world = rest_world(true, 1_000_000);
    let mut client = rest_client("1000700:alice", "north");
    world.request(&mut client, Method::Allocate, udp);
    world.advance(secs(500));
    let later = rest_client("1005000:alice", "south");
    client = Client { username: later.username, password: later.password, ..client };
    assert_eq!(world.refresh(&mut client, 3600).lifetime(), Some(3600));
    let other = rest_client("1005000:bob", "south");
    let mut other = Client { username: other.username, password: other.password, ..client.clone() };
    assert_eq!(world.refresh(&mut other, 3600).code(), Some(441));
}

#[test]
fn r25_without_it_an_allocation_outlives_its_credentials() {
    let mut world = rest_world(false, 1_000_000);
    let mut client = rest_client("1000100:alice", "north");
    assert_eq!(world.request(&mut client, Method::Allocate, udp).lifetime(), Some(600));
    world.advance(secs(300));
    assert_eq!(world.refresh(&mut client, 600).lifetime(), Some(600));
    assert_eq!(world.request(&mut client, Method::Allocate, udp).code(), Some(437));
    client.from.client.set_port(2);
    client.nonce.clear();
    assert_eq!(world.request(&mut client, Method::Allocate, udp).code(), Some(401), "but no new one");
}

#[test]
fn r25_revoke_ends_every_allocation_of_a_user() {
    let mut world = World::new();
    for port in 1..=5 {
        world.allocate(&mut Client::new("alice", &format!("198.51.100.1:{port}")));
    }
    world.allocate(&mut Client::bob());
    world.engine.revoke(Scope::Anyone, "alice");
    world.drain_outputs();
    assert_eq!((world.engine.allocation_count(), world.sockets.len(), world.shared.users()), (1, 1, 1));
}

#[test]
fn all_allocations_of_a_client_end_and_those_of_others_do_not() {
    let mut world = World::new();
    for (name, address) in [("alice", "198.51.100.1:1"), ("bob", "198.51.100.1:2"), ("alice", "198.51.100.2:1")] {
        world.allocate(&mut Client::new(name, address));
    }
    world.engine.end_clients(|ip| ip == IpAddr::from([198, 51, 100, 1]));
    world.drain_outputs();
    assert_eq!((world.engine.allocation_count(), world.sockets.len(), world.shared.users()), (1, 1, 1));
}

#[test]
fn r26_failures_are_throttled_and_lock_nobody_else_out() {
    let (mut world, mut thief) = (World::new(), Client::alice());
    thief.password = "guess".to_owned();
    world.login(&mut thief);
    let mut verdicts = Vec::new();
    for _ in 0..100 {
        world.now += Duration::from_millis(110);
        let bytes = thief.signed(Method::Allocate, udp);
        verdicts.push(world.handle(thief.from, &bytes));
    }
    let tried = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Reply { .. })).count();
    assert_eq!(tried, 5 - 1, "besides the first challenge, as many as a port gets in two seconds");
    assert_eq!(verdicts.last(), Some(&Verdict::Drop(DropReason::Throttled)));
    thief.password = "secret".to_owned();
    let bytes = thief.signed(Method::Allocate, udp);
    assert_eq!(world.handle(thief.from, &bytes), Verdict::Drop(DropReason::Throttled), "even a good guess");
    // The same user at another address, another user at the same address, and the same user at another port of that address.
    for (user, from) in [("alice", "198.51.100.9:1"), ("bob", "198.51.100.1:2"), ("alice", "198.51.100.1:3")] {
        world.allocate(&mut Client::new(user, from));
    }
    world.now += secs(600);
    thief.nonce.clear();
    world.allocate(&mut thief);
}

#[test]
fn r26_a_neighbour_in_the_same_network_throttles_nobody() {
    let (mut world, mut neighbour) = (World::new(), Client::new("alice", "[2001:4860:1::bad]:1111"));
    neighbour.password = "guess".to_owned();
    world.login(&mut neighbour);
    for _ in 0..100 {
        world.now += secs(1);
        let bytes = neighbour.signed(Method::Allocate, udp);
        let _ = world.handle(neighbour.from, &bytes);
    }
    world.now += secs(5);
    world.allocate(&mut Client::new("alice", "[2001:4860:1::1]:1111"));
}

#[test]
fn r26_a_stranger_without_a_nonce_throttles_nobody() {
    let (mut world, mut thief) = (World::new(), Client::alice());
    thief.nonce = b"0123456789abcdef".to_vec();
    for _ in 0..100 {
        let bytes = thief.signed(Method::Allocate, udp);
        let _ = world.handle(thief.from, &bytes);
    }
    world.now += secs(5);
    world.allocate(&mut Client::alice());
}

#[test]
fn r27_sha256_is_negotiated_where_the_request_is_long_enough() {
    let mut world = World::new();
    for (integrity, stream) in [
        (IntegrityAlgorithm::Sha1, false),
        (IntegrityAlgorithm::Sha256, false),
        (IntegrityAlgorithm::Sha1, true),
        (IntegrityAlgorithm::Sha256, true),
    ] {
        let mut alice = Client { prefer: PasswordAlgorithm::Sha256, integrity, ..Client::alice() };
        if stream {
            alice = alice.over_tcp();
        }
        let first = alice.unsigned(Method::Allocate, |writer| {
            udp(writer);
            if !stream {
                writer.attribute(attribute::SOFTWARE, b"a client with a name");
            }
        });
        let challenge = world.ask(alice.from, &first).expect("a challenge");
        alice.take_nonce(&challenge);
        assert!(alice.nonce.starts_with(b"obMatJos2"));
        assert_eq!(alice.algorithms.as_deref(), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
        assert!(challenge.0.len() * 10 <= first.len() * 22 || stream);
        let answer = world.request(&mut alice, Method::Allocate, udp);
        assert_eq!(answer.code(), None);
        assert!(integrity.verify(&answer.message(), &alice.key()), "answered as it was asked");
        assert_eq!(world.permit(&mut alice, &[OUTSIDE_PEER]), None);
        world.refresh(&mut alice, 0);
    }
}

#[test]
fn r27_bidding_down_is_noticed() {
    let (mut world, mut alice) = (World::new(), Client::alice().over_tcp());
    world.login(&mut alice);
    type Case<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Option<u16>);
    let cases: [Case<'_>; 6] = [
        (Some(&[0, 1, 0, 0]), Some(&[0, 1, 0, 0]), Some(400)),
        (Some(&[0, 2, 0, 0, 0, 1, 0, 0]), None, Some(400)),
        (None, Some(&[0, 1, 0, 0]), Some(400)),
        (Some(&[0, 2, 0, 0, 0, 1, 0, 0]), Some(&[0, 3, 0, 0]), Some(400)),
        (Some(&[0, 2, 0, 0, 0, 1, 0, 0]), Some(&[0, 1, 0, 0]), None),
        (None, None, Some(437)),
    ];
    for (offered, chosen, code) in cases {
        let mut bytes = alice.unsigned(Method::Allocate, udp);
        let mut writer = MessageWriter::resume(&mut bytes);
        writer.attribute(attribute::USERNAME, b"alice").attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, &alice.nonce);
        offered.map(|value| writer.attribute(attribute::PASSWORD_ALGORITHMS, value));
        chosen.map(|value| writer.attribute(attribute::PASSWORD_ALGORITHM, value));
        writer.integrity(IntegrityAlgorithm::Sha1, &LongTermKey::long_term(PasswordAlgorithm::Md5, "alice", REALM, "secret"));
        assert_eq!(world.ask(alice.from, &bytes).expect("an answer").code(), code, "{offered:?} {chosen:?}");
    }
    // The nonce without its cookie.
    let mut cut = Client { nonce: alice.nonce[13..].to_vec(), algorithms: None, ..alice.clone() };
    let bytes = cut.signed(Method::Refresh, |_| {});
    assert_eq!(world.ask(cut.from, &bytes).expect("an answer").code(), Some(438));
}

#[test]
fn r27_the_algorithms_are_a_setting() {
    let mut world = World::with(EngineSettings { password_algorithms: PasswordAlgorithms::Md5, ..settings() });
    let mut alice = Client::alice().over_tcp();
    world.login(&mut alice);
    assert_eq!((alice.nonce.len(), alice.algorithms.clone()), (16, None));
    let mut world = World::with(EngineSettings { password_algorithms: PasswordAlgorithms::Sha256, ..settings() });
    let mut alice = Client { prefer: PasswordAlgorithm::Sha256, ..Client::alice() };
    world.allocate(&mut alice);
    let mut old = Client { algorithms: None, ..alice.clone() };
    let bytes = old.signed(Method::Refresh, |_| {});
    assert_eq!(world.ask(old.from, &bytes).expect("an answer").code(), Some(401));
}

#[test]
fn a_userhash_names_a_static_user() {
    let mut world = World::with(EngineSettings { username_anonymity: true, ..settings() });
    let mut alice = Client::alice().over_tcp();
    world.login(&mut alice);
    assert!(alice.nonce.starts_with(b"obMatJos2AAAD"), "both features are announced");
    for (hash, code) in [(userhash("alice", REALM), None), (userhash("nobody", REALM), Some(401))] {
        let mut bytes = alice.unsigned(Method::Allocate, udp);
        let mut writer = MessageWriter::resume(&mut bytes);
        writer.attribute(attribute::USERHASH, &hash).attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, &alice.nonce);
        writer.integrity(IntegrityAlgorithm::Sha256, &LongTermKey::long_term(PasswordAlgorithm::Md5, "alice", REALM, "secret"));
        assert_eq!(world.ask(alice.from, &bytes).expect("an answer").code(), code);
    }
}

#[test]
fn integrity_without_credentials_gets_400() {
    let (mut world, mut alice) = (World::new(), Client::alice());
    world.login(&mut alice);
    for missing in [attribute::USERNAME, attribute::REALM, attribute::NONCE] {
        let mut bytes = alice.unsigned(Method::Allocate, udp);
        let mut writer = MessageWriter::resume(&mut bytes);
        let all = [(attribute::USERNAME, &b"alice"[..]), (attribute::REALM, REALM.as_bytes()), (attribute::NONCE, &alice.nonce)];
        for (kind, value) in all.into_iter().filter(|(kind, _)| *kind != missing) {
            writer.attribute(kind, value);
        }
        writer.integrity(IntegrityAlgorithm::Sha1, &alice.key());
        assert_eq!(world.ask(alice.from, &bytes).expect("an answer").code(), Some(400));
    }
}

#[test]
fn r28_ports_and_tokens_come_from_the_seed_alone() {
    let ports = |seed: u8| {
        let epoch = Instant::now();
        let shared = SharedState::new(&settings(), [1; 32], epoch);
        let mut users = StaticUsers::default();
        users.insert("alice", REALM, "secret");
        let shard = ShardSettings { index: seed, ports: 40_000..=60_000 };
        let mut world = World::shard(settings(), shard, shared, Arc::new(users), epoch);
        (1..5).map(|port| world.allocate(&mut Client::new("alice", &format!("198.51.100.1:{port}"))).port()).collect::<Vec<_>>()
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
    assert!(ports(1).windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1), "{:?}", ports(1));
}
