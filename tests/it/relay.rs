//! The relay as its clients see it, over loopback. Tests allow networks where they need them; loopback is denied by default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use castway::addresses::external::ExternalAddresses;
use castway::config::{Discovery, ExternalConfig, RelayConfig};
use castway::limits::descriptors::DescriptorPools;
use castway::relay::stats::labels::DropCause;
use castway::relay::{self, Relay, RelayUsers};
use castway::turn::codec::error_code::ErrorCode;
use castway::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use castway::turn::{CredentialSource, Scope, UserKeys};
use stun::agent::TransactionId;
use stun::attributes::{ATTR_ERROR_CODE, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::integrity::MessageIntegrity;
use stun::message::{CLASS_REQUEST, METHOD_ALLOCATE, Message, MessageType, Method, Setter};
use stun::textattrs::TextAttribute;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::auth::generate_auth_key;
use turn::client::{Client, ClientConfig};
use turn::proto::PROTO_UDP;
use turn::proto::evenport::EvenPort;
use turn::proto::reqtrans::RequestedTransport;
use webrtc_util::Conn;

pub(crate) const REALM: &str = "castway.test";
pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a test waits for an event that must come. It is long, because a busy machine may pause for seconds.
pub(crate) const EVENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a test waits for a datagram that must not come; over loopback it would have come within this time.
pub(crate) const SILENCE_DURATION: Duration = Duration::from_millis(300);

/// A loopback address that no other test uses, so that no other test changes which of its ports are free.
pub(crate) fn own_ip() -> IpAddr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = LAST.fetch_add(1, Ordering::Relaxed).checked_add(1).expect("fewer than 255 tests ask for one");
    [127, high | 0x80, low, last].into()
}

pub(crate) fn config() -> RelayConfig {
    RelayConfig {
        addr: (LOCALHOST, 0).into(),
        ports: 40_000..=49_151,
        realm: REALM.to_owned(),
        threads: 2,
        ..RelayConfig::default()
    }
}

pub(crate) fn allowing(networks: &[&str]) -> RelayConfig {
    RelayConfig { allowed_peers: networks.iter().map(|network| network.parse().unwrap()).collect(), ..config() }
}

pub(crate) fn key(username: &str, password: &str) -> [u8; 16] {
    generate_auth_key(username, REALM, password).try_into().unwrap()
}

/// Credential source with the user `tv` and, in scope clients, `stranger`, who have a newer and an older secret, and with two users
/// whose lookups panic or never end.
#[derive(Default)]
pub(crate) struct Users {
    pub(crate) refused: AtomicBool,
    pub(crate) revision: AtomicU64,
    pub(crate) hanging: AtomicBool,
}

impl CredentialSource for Users {
    fn user_keys(&self, username: &str, _realm: &str, algorithm: PasswordAlgorithm, _now: Instant) -> Option<UserKeys> {
        let (scope, passwords) = match username {
            "tv" => (Scope::Anyone, ["newest", "older"]),
            "stranger" => (Scope::Clients, ["newest", "older"]),
            "boom" => panic!("a lookup that fails"),
            "hang" => {
                while self.hanging.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                return None;
            }
            _ => return None,
        };
        let keys =
            passwords.iter().map(|password| (scope, LongTermKey::long_term(algorithm, username, REALM, password))).collect();
        Some(UserKeys { user: username.to_owned(), keys, expires: None, leased: false, group: None })
    }
}

impl RelayUsers for Users {
    fn may_continue(&self, _scope: Scope, _user: &str) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }
}

pub(crate) fn started(config: &RelayConfig, accounts: Arc<dyn RelayUsers>) -> anyhow::Result<Relay> {
    started_within(config, accounts, &DescriptorPools::unlimited())
}

pub(crate) fn started_within(
    config: &RelayConfig,
    accounts: Arc<dyn RelayUsers>,
    shares: &DescriptorPools,
) -> anyhow::Result<Relay> {
    let external = ExternalAddresses::new(&config.external, relay::bind_addresses(config)?, None);
    relay::start(config, &external, accounts, shares, &[])
}

pub(crate) fn start(config: &RelayConfig) -> Relay {
    started(config, Arc::new(Users::default())).unwrap()
}

/// Packets to peers that the kernel or the network refused.
fn unsent_packets(handle: &Relay) -> u64 {
    let causes = [
        DropCause::UnsentUnreachable,
        DropCause::UnsentRefused,
        DropCause::UnsentBufferFull,
        DropCause::UnsentTooLong,
        DropCause::UnsentOther,
    ];
    causes.iter().map(|cause| handle.stats().drops(*cause)).sum()
}

fn denied_packets(handle: &Relay) -> u64 {
    handle.stats().drops(DropCause::DeniedPeer) + handle.stats().drops(DropCause::NoPermission)
}

/// Waits until `done` returns true.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    let waited = timeout(EVENT_TIMEOUT, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it has not come to pass");
}

pub(crate) async fn client(relay: SocketAddr, username: &str, password: &str) -> Client {
    let conn = Arc::new(UdpSocket::bind((LOCALHOST, 0)).await.unwrap());
    let client = Client::new(ClientConfig {
        stun_serv_addr: relay.to_string(),
        turn_serv_addr: relay.to_string(),
        username: username.to_owned(),
        password: password.to_owned(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn,
        vnet: None,
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    client
}

/// A client and its allocation, which ends with the client.
pub(crate) async fn allocated(handle: &Relay) -> (Client, impl Conn + use<>) {
    let client = client(handle.listening(), "tv", "newest").await;
    let relayed = client.allocate().await.unwrap();
    (client, relayed)
}

/// Receives the next datagram, which must come.
pub(crate) async fn received(conn: &(impl Conn + ?Sized)) -> (Vec<u8>, SocketAddr) {
    received_within(EVENT_TIMEOUT, conn).await.expect("nothing has come")
}

/// Returns whether no datagram comes.
pub(crate) async fn is_silent(conn: &(impl Conn + ?Sized)) -> bool {
    received_within(SILENCE_DURATION, conn).await.is_none()
}

async fn received_within(time: Duration, conn: &(impl Conn + ?Sized)) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = timeout(time, conn.recv_from(&mut buffer)).await.ok()?.unwrap();
    Some((buffer[..length].to_vec(), from))
}

#[tokio::test]
async fn every_candidate_key_verifies_and_no_other() {
    let handle = start(&config());
    for password in ["newest", "older"] {
        let client = client(handle.listening(), "tv", password).await;
        let relayed = client.allocate().await.unwrap_or_else(|error| panic!("{password}: {error}"));
        assert_eq!(relayed.local_addr().unwrap().ip(), LOCALHOST);
        // The Refresh must be signed with the same key.
        relayed.close().await.unwrap();
    }
    for (username, password) in [("tv", "wrong"), ("nobody", "newest")] {
        let client = client(handle.listening(), username, password).await;
        assert!(client.allocate().await.is_err(), "{username} {password}");
    }
    until(|| handle.allocations() == 0).await;
    handle.stop(EVENT_TIMEOUT).await;
}

#[tokio::test]
async fn clients_with_different_secrets_at_once_are_told_apart() {
    let handle = start(&config());
    let attempts = (0..9).map(|number| {
        let relay = handle.listening();
        tokio::spawn(async move {
            let password = ["newest", "older", "wrong"][number % 3];
            client(relay, "tv", password).await.allocate().await.is_ok() == (password != "wrong")
        })
    });
    for attempt in attempts.collect::<Vec<_>>() {
        assert!(attempt.await.unwrap());
    }
}

pub(crate) fn signed_allocate(
    id: TransactionId,
    username: &str,
    password: &str,
    nonce: &str,
    more: Vec<Box<dyn Setter>>,
) -> Message {
    let transport = Box::new(RequestedTransport { protocol: PROTO_UDP });
    signed(METHOD_ALLOCATE, id, username, password, nonce, std::iter::once(transport as Box<dyn Setter>).chain(more).collect())
}

pub(crate) fn signed(
    method: Method,
    id: TransactionId,
    username: &str,
    password: &str,
    nonce: &str,
    more: Vec<Box<dyn Setter>>,
) -> Message {
    let mut attributes: Vec<Box<dyn Setter>> = vec![
        Box::new(id),
        Box::new(MessageType::new(method, CLASS_REQUEST)),
        Box::new(TextAttribute::new(ATTR_USERNAME, username.to_owned())),
        Box::new(TextAttribute::new(ATTR_REALM, REALM.to_owned())),
        Box::new(TextAttribute::new(ATTR_NONCE, nonce.to_owned())),
    ];
    attributes.extend(more);
    attributes.push(Box::new(MessageIntegrity(key(username, password).to_vec())));
    let mut message = Message::new();
    message.build(&attributes).unwrap();
    message
}

pub(crate) async fn asked(socket: &UdpSocket, relay: SocketAddr, request: &Message) -> Message {
    socket.send_to(&request.raw, relay).await.unwrap();
    let mut answer = Message { raw: received(socket).await.0, ..Message::new() };
    answer.decode().unwrap();
    answer
}

pub(crate) async fn nonce(socket: &UdpSocket, relay: SocketAddr) -> String {
    let mut bare = Message::new();
    bare.build(&[
        Box::new(TransactionId::new()) as Box<dyn Setter>,
        Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST)),
        Box::new(RequestedTransport { protocol: PROTO_UDP }),
    ])
    .unwrap();
    let challenge = asked(socket, relay, &bare).await;
    TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text
}

#[tokio::test]
async fn unknown_user_and_wrong_password_get_identical_bytes() {
    let handle = start(&config());
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let nonce = nonce(&socket, handle.listening()).await;
    let id = TransactionId::new();
    let wrong = asked(&socket, handle.listening(), &signed_allocate(id, "tv", "wrong", &nonce, vec![])).await;
    let unknown = asked(&socket, handle.listening(), &signed_allocate(id, "nobody", "wrong", &nonce, vec![])).await;
    assert!(wrong.contains(ATTR_ERROR_CODE));
    assert_eq!(wrong.raw, unknown.raw);
}

/// Requirement 49.
#[tokio::test]
async fn a_panic_costs_one_shard_its_allocations_and_it_starts_again() {
    let handle = start(&RelayConfig { threads: 1, addr: (own_ip(), 0).into(), ..config() });
    let (_client, before) = allocated(&handle).await;
    let relayed = before.local_addr().unwrap();
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let nonce = nonce(&socket, handle.listening()).await;
    let boom = signed_allocate(TransactionId::new(), "boom", "any", &nonce, vec![]);
    socket.send_to(&boom.raw, handle.listening()).await.unwrap();
    until(|| handle.stats().panics == 1 && handle.allocations() == 0).await;
    assert!(is_silent(&socket).await);
    assert!(handle.is_alive());
    UdpSocket::bind(relayed).await.unwrap();
    let (_other, after) = allocated(&handle).await;
    assert_eq!(handle.allocations(), 1);
    drop(after);
}

#[tokio::test]
async fn a_shard_whose_turn_does_not_end_is_named_until_it_does() {
    let users = Arc::new(Users::default());
    users.hanging.store(true, Ordering::Relaxed);
    let handle = started(&RelayConfig { threads: 1, ..config() }, Arc::clone(&users) as Arc<dyn RelayUsers>).unwrap();
    let stats = handle.stats_reader();
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let nonce = nonce(&socket, handle.listening()).await;
    assert!(stats.stalled_shards().is_empty() && stats.shard_count() == 1);
    let hang = signed_allocate(TransactionId::new(), "hang", "any", &nonce, vec![]);
    socket.send_to(&hang.raw, handle.listening()).await.unwrap();
    until(|| stats.stalled_shards() == [0]).await;
    users.hanging.store(false, Ordering::Relaxed);
    until(|| stats.stalled_shards().is_empty()).await;
    let (_client, _relayed) = allocated(&handle).await;
}

#[tokio::test]
async fn garbage_and_bare_stun_never_end_it() {
    let handle = start(&config());
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut header = vec![0x00, 0x03, 0xff, 0xff, 0x21, 0x12, 0xa4, 0x42];
    header.extend([0; 12]);
    for garbage in [vec![], vec![0], vec![0x40, 0, 0xff, 0xff], vec![0xff; 1500], vec![0; 65_507], header] {
        socket.send_to(&garbage, handle.listening()).await.unwrap();
    }
    let client = client(handle.listening(), "", "").await;
    let mapped = client.send_binding_request().await.unwrap();
    assert_eq!(mapped.ip(), LOCALHOST);
}

#[tokio::test]
async fn two_clients_relay_to_each_other_although_loopback_is_denied() {
    let handle = start(&config());
    let ((_a, one), (_b, two)) = (allocated(&handle).await, allocated(&handle).await);
    talk_through_relays(&one, &two).await;
    assert_eq!(handle.stats().drops(DropCause::DeniedPeer), 0);
}

#[tokio::test]
async fn two_clients_relay_to_each_other_behind_an_external_address_without_hairpin() {
    let external = IpAddr::from([203, 0, 113, 7]);
    let config = RelayConfig { external: ExternalConfig { addresses: vec![external.into()], ..config().external }, ..config() };
    let handle = start(&config);
    let ((_a, one), (_b, two)) = (allocated(&handle).await, allocated(&handle).await);
    assert_eq!(one.local_addr().unwrap().ip(), external);
    talk_through_relays(&one, &two).await;
    // A port of the external address that belongs to no relay of ours stays denied.
    let free = UdpSocket::bind((LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    one.send_to(b"in", (external, free).into()).await.unwrap();
    until(|| denied_packets(&handle) > 0).await;
}

const HELLO: &[u8] = b"hello";
/// How often greetings are sent until they have arrived.
const GREETING_INTERVAL: Duration = Duration::from_millis(50);

/// Opens the way between two relayed addresses, in both directions: each side receives only after it has permitted the other and
/// sent to it, so that the first greetings may be lost.
pub(crate) async fn greet(one: &impl Conn, two: &impl Conn) {
    let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    let deadline = std::time::Instant::now() + EVENT_TIMEOUT;
    let mut heard = [false; 2];
    while heard != [true; 2] {
        assert!(std::time::Instant::now() < deadline, "the greetings do not arrive: {heard:?}");
        one.send_to(HELLO, at_two).await.unwrap();
        two.send_to(HELLO, at_one).await.unwrap();
        let mut buffers = [[0; 64]; 2];
        let [at_one, at_two] = &mut buffers;
        let one = tokio::time::timeout(GREETING_INTERVAL, one.recv_from(at_one));
        let two = tokio::time::timeout(GREETING_INTERVAL, two.recv_from(at_two));
        let (one, two) = tokio::join!(one, two);
        heard = [heard[0] || one.is_ok(), heard[1] || two.is_ok()];
    }
}

/// The next datagram after the greetings.
pub(crate) async fn received_after_greeting(conn: &impl Conn) -> (Vec<u8>, SocketAddr) {
    loop {
        let datagram = received(conn).await;
        if datagram.0 != HELLO {
            return datagram;
        }
    }
}

/// Exchanges so many payloads that the clients change from indications to channels.
async fn talk_through_relays(one: &impl Conn, two: &impl Conn) {
    let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    greet(one, two).await;
    for round in 0..20u8 {
        let payload = vec![round; 1200];
        one.send_to(&payload, at_two).await.unwrap();
        assert_eq!(received_after_greeting(two).await, (payload.clone(), at_one), "round {round}");
        two.send_to(&payload, at_one).await.unwrap();
        assert_eq!(received_after_greeting(one).await, (payload, at_two), "round {round}");
    }
}

#[tokio::test]
async fn denied_peers_are_reached_neither_way_and_allowed_ones_are() {
    let handle = start(&allowing(&["127.0.0.2/32"]));
    let (_client, relayed) = allocated(&handle).await;
    let allowed = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let mut denied = vec![UdpSocket::bind("127.0.0.3:0").await.unwrap(), UdpSocket::bind((LOCALHOST, 0)).await.unwrap()];
    // An address of this machine on a real network, if it has one.
    let own = if_addrs::get_if_addrs().unwrap().into_iter().map(|it| it.ip()).find(|ip| ip.is_ipv4() && !ip.is_loopback());
    if let Some(own) = own {
        denied.push(UdpSocket::bind((own, 0)).await.unwrap());
    }
    for round in 0..3 {
        for peer in &denied {
            // The client asks for a permission first.
            assert!(relayed.send_to(b"out", peer.local_addr().unwrap()).await.is_err(), "{peer:?}");
        }
        relayed.send_to(b"out", allowed.local_addr().unwrap()).await.unwrap();
        assert_eq!(received(&allowed).await, (b"out".to_vec(), relayed.local_addr().unwrap()), "round {round}");
    }
    for peer in &denied {
        assert!(is_silent(peer).await, "{peer:?}");
        peer.send_to(b"in", relayed.local_addr().unwrap()).await.unwrap();
    }
    allowed.send_to(b"in", relayed.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&relayed).await, (b"in".to_vec(), allowed.local_addr().unwrap()));
    assert!(is_silent(&relayed).await);
    // One packet from each denied peer.
    until(|| denied_packets(&handle) >= denied.len() as u64).await;
    assert!(handle.stats().errors(ErrorCode::Forbidden) >= 3, "403: {:?}", handle.stats());
}

#[tokio::test]
async fn the_relays_own_listener_is_no_peer() {
    let handle = start(&config());
    let (_client, relayed) = allocated(&handle).await;
    assert!(relayed.send_to(b"loop", handle.listening()).await.is_err(), "the permission is refused");
    // A permission for the address, which other relayed addresses have too, does not open the port.
    let (_client, relayed) = allocated(&handle).await;
    relayed.send_to(b"to itself", relayed.local_addr().unwrap()).await.unwrap();
    relayed.send_to(b"loop", handle.listening()).await.unwrap();
    until(|| denied_packets(&handle) > 0).await;
}

#[tokio::test]
async fn an_error_of_one_send_never_ends_the_allocation() {
    // The kernel sends nothing from a loopback address to other networks: EINVAL or ENETUNREACH.
    let handle = start(&allowing(&["127.0.0.0/8", "198.51.100.0/24"]));
    let (_client, relayed) = allocated(&handle).await;
    let closed = UdpSocket::bind((LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    for bad in ["198.51.100.1:9".parse().unwrap(), "198.51.100.2:9".parse().unwrap(), closed, closed] {
        relayed.send_to(b"out", bad).await.unwrap();
    }
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    relayed.send_to(b"out", peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&peer).await, (b"out".to_vec(), relayed.local_addr().unwrap()));
    peer.send_to(b"in", relayed.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&relayed).await, (b"in".to_vec(), peer.local_addr().unwrap()));
    until(|| unsent_packets(&handle) >= 2).await;
    assert_eq!(handle.allocations(), 1);
}

#[tokio::test]
async fn the_port_range_is_respected_and_its_end_is_508() {
    let config = RelayConfig { relay_ips: vec![own_ip()], ports: 25_000..=25_003, ..config() };
    let handle = start(&config);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(allocated(&handle).await);
    }
    let mut ports: Vec<u16> = held.iter().map(|(_, relayed)| relayed.local_addr().unwrap().port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [25_000, 25_001, 25_002, 25_003]);

    let fifth = client(handle.listening(), "tv", "newest").await;
    let refusal = fifth.allocate().await.err().unwrap().to_string();
    assert!(refusal.contains("508"), "{refusal}");

    let (_client, relayed) = held.pop().unwrap();
    let freed = relayed.local_addr().unwrap();
    relayed.close().await.unwrap();
    until(|| handle.allocations() < 4).await;
    assert_eq!(allocated(&handle).await.1.local_addr().unwrap(), freed);
}

#[tokio::test]
async fn even_port_with_no_even_port_left_is_508_and_holds_up_nobody() {
    let config = RelayConfig { relay_ips: vec![own_ip()], ports: 25_101..=25_101, ..config() };
    let handle = start(&config);
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let nonce = nonce(&socket, handle.listening()).await;
    let even: Vec<Box<dyn Setter>> = vec![Box::new(EvenPort::default())];
    let request = signed_allocate(TransactionId::new(), "tv", "newest", &nonce, even);
    let answer = asked(&socket, handle.listening(), &request).await;
    assert_eq!(answer.get(ATTR_ERROR_CODE).unwrap()[2..4], [5, 8]);
    assert_eq!(allocated(&handle).await.1.local_addr().unwrap().port(), 25_101);
}

#[tokio::test]
async fn after_a_stop_every_port_is_free() {
    let handle = start(&RelayConfig { addr: (own_ip(), 0).into(), ..config() });
    let ((_a, one), (_b, two)) = (allocated(&handle).await, allocated(&handle).await);
    let ports = [handle.listening(), one.local_addr().unwrap(), two.local_addr().unwrap()];
    handle.stop(Duration::ZERO).await;
    for port in ports {
        UdpSocket::bind(port).await.unwrap_or_else(|error| panic!("{port}: {error}"));
    }
}

#[tokio::test]
async fn a_stop_lets_live_allocations_end_and_refuses_new_ones() {
    let handle = start(&config());
    let listening = handle.listening();
    let ((_a, one), (_b, two)) = (allocated(&handle).await, allocated(&handle).await);
    let stopping = tokio::spawn(handle.stop(4 * EVENT_TIMEOUT));
    let refusal = timeout(EVENT_TIMEOUT, async {
        loop {
            match client(listening, "tv", "newest").await.allocate().await {
                // The shard has not received the stop yet.
                Ok(relayed) => relayed.close().await.unwrap(),
                Err(refusal) => break refusal.to_string(),
            }
        }
    });
    let refusal = refusal.await.unwrap();
    assert!(refusal.contains("508"), "{refusal}");
    talk_through_relays(&one, &two).await;
    assert!(!stopping.is_finished());
    one.close().await.unwrap();
    two.close().await.unwrap();
    timeout(EVENT_TIMEOUT, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_handle_ends_the_relay() {
    let handle = start(&RelayConfig { addr: (own_ip(), 0).into(), ..config() });
    let listening = handle.listening();
    drop(handle);
    until(|| std::net::UdpSocket::bind(listening).is_ok()).await;
}

#[tokio::test]
async fn an_ipv4_client_of_a_listener_for_both_families_reads_its_ipv4_address() {
    // Skipped on a machine without IPv6.
    let Ok(handle) = started(&RelayConfig { addr: "[::]:0".parse().unwrap(), ..config() }, Arc::new(Users::default())) else {
        return;
    };
    let client = client((LOCALHOST, handle.listening().port()).into(), "tv", "newest").await;
    assert_eq!(client.send_binding_request().await.unwrap().ip(), LOCALHOST);
    assert!(client.allocate().await.unwrap().local_addr().unwrap().is_ipv4());
}

#[tokio::test]
async fn what_can_not_start_says_which_setting_to_change() {
    let handle = start(&config());
    let listening = handle.listening();
    let taken = UdpSocket::bind((own_ip(), 25_200)).await.unwrap();
    for (config, setting, words) in [
        (RelayConfig { addr: listening, ..config() }, "CASTWAY_TURN_ADDR", "is taken by another setting of this server"),
        (
            RelayConfig { addr: (taken.local_addr().unwrap().ip(), 25_199).into(), alternate_port: Some(25_200), ..config() },
            "CASTWAY_ALT_LISTENING_PORT",
            "is taken by another setting of this server",
        ),
        (
            RelayConfig { addr: "198.51.100.1:0".parse().unwrap(), ..config() },
            "CASTWAY_TURN_ADDR",
            "not an address of this machine",
        ),
        (
            RelayConfig { relay_ips: vec![[198, 51, 100, 1].into()], ..config() },
            "CASTWAY_RELAY_IP",
            "not an address of this machine",
        ),
        (
            RelayConfig { relay_ips: vec![taken.local_addr().unwrap().ip()], ports: 25_200..=25_200, ..config() },
            "CASTWAY_MAX_PORT",
            "is taken",
        ),
        (
            RelayConfig {
                addr: "0.0.0.0:0".parse().unwrap(),
                discovery: Some(Discovery { port: 0, second_ip: Some((Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())) }),
                ..config()
            },
            "CASTWAY_ALT_IP",
            "not both IPv4 or both IPv6",
        ),
    ] {
        let problem = started(&config, Arc::new(Users::default())).err().unwrap().to_string();
        assert!(problem.contains(setting) && problem.contains(words), "{problem}");
    }
}
