//! Limits of wrong passwords: for each client, regardless of its connections and usernames, and for each user, regardless of the
//! addresses.

use super::*;

/// Users with passwords chosen by people, and signed credentials that can't be guessed.
struct Mixed(StaticUsers, RestSecrets);

impl CredentialSource for Mixed {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let known = self.0.user_keys(username, realm, algorithm, now);
        known.or_else(|| self.1.user_keys(username, realm, algorithm, now))
    }

    fn is_guessable(&self, username: &str) -> bool {
        self.0.user_keys(username, REALM, PasswordAlgorithm::Md5, Instant::now()).is_some()
    }
}

const LONG_SECRET: &str = "a secret of sixteen bytes or more";

fn world() -> World {
    let mut users = StaticUsers::default();
    for user in ["alice", "bob", "carol"] {
        users.insert(user, REALM, "secret");
    }
    let clock = TestClock { instant: Instant::now(), unix: secs(1_000_000) };
    let secrets = RestSecrets::new([LONG_SECRET.as_bytes().to_vec()], clock, None);
    World::with_credentials(settings(), 50_000..=50_099, Arc::new(Mixed(users, secrets)))
}

fn stream(user: &str, from: &str) -> Client {
    Client::new(user, from).over_tcp()
}

fn signed(from: &str, right: bool) -> Client {
    let mut client = stream("2000000:dave", from);
    client.password = rest_password(if right { LONG_SECRET } else { "wrong" }.as_bytes(), &client.username);
    client
}

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, UDP);
}

impl World {
    /// One attempt with a new nonce. Returns the error code, or `None` if the attempt got no verdict.
    fn tries(&mut self, mut client: Client) -> Option<u16> {
        self.login(&mut client);
        let bytes = client.signed(Method::Allocate, allocate);
        let answer = self.ask(client.from, &bytes)?;
        assert_eq!(answer.code(), Some(401), "{client:?} was wrong");
        answer.code()
    }

    /// Attempts on several connections of one address. Returns how many got a verdict.
    fn verdicts(&mut self, connections: u16, client: impl Fn(u16) -> Client) -> usize {
        (0..connections).filter(|n| self.tries(client(*n)).is_some()).count()
    }
}

fn thief(user: &str, address: &str, port: u16) -> Client {
    let mut client = stream(user, &format!("{address}:{}", 2000 + port));
    client.password = format!("guess {port}");
    client
}

#[test]
fn r26_wrong_passwords_over_streams_count_for_the_address() {
    let mut world = world();
    assert_eq!(world.verdicts(500, |n| thief("alice", "198.51.100.1", n)), 20);
    assert_eq!(world.verdicts(100, |n| thief("nobody", "198.51.100.1", n)), 0);
    assert_eq!(world.verdicts(100, |n| thief("alice", "198.51.100.2", n)), 20, "another address");
    let tls = |n| {
        let mut client = thief("alice", "198.51.100.1", 1000 + n);
        client.from.transport = Transport::Tls;
        client
    };
    assert_eq!(world.verdicts(100, tls), 0, "over TLS it is the same");
    world.now += secs(60);
    assert_eq!(world.verdicts(100, |n| thief("alice", "198.51.100.1", n)), 20);
}

#[test]
fn r26_many_names_of_one_address_are_no_way_out() {
    for names in ["user", "1500000:user"] {
        let mut world = world();
        let client = |n| thief(&format!("{names}{n}"), "198.51.100.1", n);
        assert_eq!(world.verdicts(500, client), 20, "{names}");
    }
}

#[test]
fn r26_an_ipv6_network_is_one_client_and_a_site_four() {
    let mut world = world();
    let of_network = |n: u16| thief("alice", &format!("[2001:db8:0:1::{n:x}]"), 0);
    assert_eq!(world.verdicts(100, of_network), 20);
    let of_site = |n: u16| thief("nobody", &format!("[2001:db8:1:{n:x}::1]"), 0);
    assert_eq!(world.verdicts(500, of_site), 80);
}

#[test]
fn r26_beyond_the_bound_not_even_a_good_guess_is_told() {
    let mut world = world();
    world.verdicts(100, |n| thief("alice", "198.51.100.1", n));
    let mut lucky = stream("alice", "198.51.100.1:9");
    world.login(&mut lucky);
    let bytes = lucky.signed(Method::Allocate, allocate);
    assert_eq!(world.handle(lucky.from, &bytes), Verdict::Drop(DropReason::Throttled));
    world.now += secs(3);
    world.allocate(&mut lucky);
}

#[test]
fn r26_others_behind_the_same_address_allocate_meanwhile() {
    let mut world = world();
    let mut early = stream("alice", "198.51.100.1:7");
    world.allocate(&mut early);
    world.verdicts(500, |n| thief("alice", "198.51.100.1", n));
    // These still get in: signed credentials, another user, the same user over UDP, and the same user at another address.
    world.allocate(&mut signed("198.51.100.1:3", true));
    world.allocate(&mut stream("bob", "198.51.100.1:4"));
    world.allocate(&mut Client::new("alice", "198.51.100.1:5"));
    world.allocate(&mut stream("alice", "198.51.100.2:6"));
    assert_eq!(world.refresh(&mut early, 600).code(), None, "an allocation goes on");
}

#[test]
fn r26_wrong_signed_credentials_are_not_answered_for_ever() {
    let mut world = world();
    let wrong = |n: u16| signed(&format!("198.51.100.1:{}", 2000 + n), false);
    assert_eq!(world.verdicts(500, wrong), 20);
    world.allocate(&mut signed("198.51.100.1:3", true));
}

#[test]
fn r26_wrong_signed_credentials_and_made_up_names_keep_no_password_out_that_was_mistyped_once() {
    let mut world = world();
    assert_eq!(world.tries(thief("alice", "198.51.100.1", 0)), Some(401));
    for n in 0..60 {
        let _ = world.tries(signed(&format!("198.51.100.1:{}", 3000 + n), false));
    }
    for n in 0..20 {
        world.now += Duration::from_millis(200);
        assert_eq!(world.tries(signed(&format!("198.51.100.1:{}", 4000 + n), false)), None);
        assert_eq!(world.tries(thief(&format!("nobody{n}"), "198.51.100.1", 3000 + n)), None);
    }
    world.allocate(&mut stream("alice", "198.51.100.1:9"));
}

#[test]
fn r26_a_request_that_was_looked_at_and_is_wrong_is_not_one_that_waits() {
    let mut world = world();
    world.verdicts(100, |n| thief("alice", "198.51.100.1", n));
    for (mut client, reason) in
        [(signed("198.51.100.1:8", false), DropReason::Withheld), (stream("alice", "198.51.100.1:9"), DropReason::Throttled)]
    {
        world.login(&mut client);
        let bytes = client.signed(Method::Allocate, allocate);
        assert_eq!(world.handle(client.from, &bytes), Verdict::Drop(reason));
    }
}

#[test]
fn r26_datagrams_keep_no_stream_out() {
    let mut world = world();
    for n in 0..25 {
        world.now += Duration::from_millis(250);
        let mut client = thief("alice", "198.51.100.1", n);
        client.from.transport = Transport::Udp;
        let _ = world.tries(client);
    }
    let mut late = Client::new("alice", "198.51.100.1:9");
    world.login(&mut late);
    let bytes = late.signed(Method::Allocate, allocate);
    assert_eq!(world.handle(late.from, &bytes), Verdict::Drop(DropReason::Throttled), "they are bounded themselves");
    world.allocate(&mut stream("alice", "198.51.100.1:10"));
}

#[test]
fn r26_many_addresses_share_what_one_user_has() {
    let mut world = world();
    let mut verdicts = 0;
    for address in 0..200 {
        verdicts += world.verdicts(5, |n| thief("alice", &format!("198.51.100.{address}"), n));
    }
    assert_eq!(verdicts, 200 + 50, "each its first, and fifty besides");
    world.allocate(&mut stream("alice", "203.0.113.1:1"));
    world.allocate(&mut stream("bob", "198.51.100.1:1"));
}

#[test]
fn r26_wrong_passwords_are_reported_by_transport() {
    use crate::limits::guesses::{GuessKind, GuessLine};

    let mut world = world();
    world.verdicts(7, |n| thief("alice", "198.51.100.1", n));
    let mut client = thief("alice", "198.51.100.2", 0);
    client.from.transport = Transport::Udp;
    world.tries(client);
    let line = |kind, address, failures| GuessLine::Wrong { kind, address: ip(address), failures };
    let lines = [
        line(GuessKind::TurnPassword, "198.51.100.1", 1),
        line(GuessKind::TurnPassword, "198.51.100.1", 5),
        line(GuessKind::TurnPasswordUdp, "198.51.100.2", 1),
    ];
    assert_eq!(world.shared.reports().drain(world.now), lines);
}
