//! Quotas, revoked users, and a machine that has run out of descriptors.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use castway::config::RelayConfig;
use castway::limits::descriptors::DescriptorPools;
use castway::relay;
use rustix::process::{Pid, Resource, Rlimit};
use stun::agent::TransactionId;
use stun::attributes::ATTR_ERROR_CODE;
use stun::message::{METHOD_CHANNEL_BIND, Setter};
use tokio::net::UdpSocket;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use webrtc_util::Conn as _;

use super::relay::{
    EVENT_TIMEOUT, LOCALHOST, Users, allocated, allowing, asked, client, config, nonce, own_ip, received, signed,
    signed_allocate, start, started, started_within, until,
};
use super::relay_streams::Connection;
use super::support::{castway, ok, rest_client};

/// Requirements 41 and 42.
#[tokio::test]
async fn quotas_of_a_user_and_of_all_hold_and_recover() {
    for (user, total, code) in [(Some(1), None, "486"), (None, Some(1), "508")] {
        let handle = start(&RelayConfig { user_quota: user, total_quota: total, ..config() });
        let (_client, relayed) = allocated(&handle).await;
        let refusal = client(handle.listening(), "tv", "newest").await.allocate().await.err().unwrap().to_string();
        assert!(refusal.contains(code), "{refusal}");
        relayed.close().await.unwrap();
        until(|| handle.allocations() == 0).await;
        let (_client, _relayed) = allocated(&handle).await;
    }
}

/// The error code of an Allocate with the name and address of this client; `None`: it has an allocation.
async fn refusal(relay: SocketAddr, username: &str, from: IpAddr) -> Option<u16> {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    let nonce = nonce(&socket, relay).await;
    let answer = asked(&socket, relay, &signed_allocate(TransactionId::new(), username, "newest", &nonce, Vec::new())).await;
    answer.get(ATTR_ERROR_CODE).ok().map(|code| u16::from(code[2]) * 100 + u16::from(code[3]))
}

/// The kernel spreads the clients over the shards, so an allocation ends now at the shard that admits another one, and now at another.
#[tokio::test]
async fn r71_strangers_yield_to_other_addresses_and_to_users_on_every_shard() {
    let handle = start(&RelayConfig { total_quota: Some(40), clients_capacity: 50, ..config() });
    let relay = handle.listening();
    for _ in 0..20 {
        assert_eq!(refusal(relay, "stranger", LOCALHOST).await, None);
    }
    assert_eq!(
        refusal(relay, "stranger", LOCALHOST).await,
        Some(508),
        "half of the quota is in use, and all of it is this address's"
    );
    let other = own_ip();
    for _ in 0..9 {
        assert_eq!(refusal(relay, "stranger", other).await, None);
        until(|| handle.allocations() == 20).await;
    }
    assert_eq!(refusal(relay, "stranger", other).await, Some(508), "eleven are not two more than ten");
    for _ in 0..20 {
        assert_eq!(refusal(relay, "tv", LOCALHOST).await, None);
        until(|| handle.allocations() == 20).await;
    }
    assert_eq!(refusal(relay, "tv", LOCALHOST).await, None, "no stranger is left, and users get the rest");
    assert_eq!(handle.allocations(), 21);
    assert_eq!(refusal(relay, "stranger", other).await, Some(508));
    handle.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn relayed_sockets_have_their_share_and_give_it_back() {
    let shares = DescriptorPools::divide(1024, 0, 2, 3);
    let handle = started_within(&config(), Arc::new(Users::default()), &shares).unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(allocated(&handle).await);
    }
    let refusal = client(handle.listening(), "tv", "newest").await.allocate().await.err().unwrap().to_string();
    assert!(refusal.contains("508"), "{refusal}");
    assert_eq!((shares.relayed.taken(), shares.relayed.refused()), (3, 1));
    // Clients over TCP have another pool.
    Connection::open(handle.listening(), usize::MAX).await.challenged().await;
    let (_client, relayed) = held.pop().unwrap();
    relayed.close().await.unwrap();
    until(|| shares.relayed.taken() == 2).await;
    held.push(allocated(&handle).await);
    handle.stop(Duration::ZERO).await;
    assert!(shares.all().iter().all(|share| share.taken() == 0));
}

/// Requirement 43.
#[tokio::test]
async fn caps_on_peers_are_settings() {
    let peer = |last| PeerAddress { ip: [127, 0, 0, last].into(), port: 9 };
    let networks = allowing(&["127.0.0.0/8"]);
    for (config, granted) in [
        (RelayConfig { max_permissions: 2, ..networks.clone() }, 2),
        (RelayConfig { max_channels: 3, ..networks.clone() }, 3),
        (RelayConfig { new_peers: Some(1), ..networks }, 1),
    ] {
        let handle = start(&config);
        let mut client = Connection::open(handle.listening(), 10_000).await;
        client.allocate().await;
        let mut codes = Vec::new();
        for last in 2..6_u8 {
            let more: Vec<Box<dyn Setter>> = vec![Box::new(ChannelNumber(0x4000 + u16::from(last))), Box::new(peer(last))];
            let request = signed(METHOD_CHANNEL_BIND, TransactionId::new(), "tv", "newest", &client.nonce, more);
            codes.push(client.ask(&request).await.get(ATTR_ERROR_CODE).ok().map(|error| (error[2], error[3])));
        }
        assert_eq!(codes.iter().filter(|code| code.is_none()).count(), granted, "{codes:?}");
        assert_eq!(codes.last(), Some(&Some((5, 8))));
    }
}

/// Requirement 25.
#[tokio::test]
async fn the_allocations_of_a_user_who_is_shut_out_end_within_five_seconds() {
    let users = Arc::new(Users::default());
    let handle = started(&config(), Arc::clone(&users) as Arc<dyn relay::RelayUsers>).unwrap();
    let (_client, relayed) = allocated(&handle).await;
    let port = relayed.local_addr().unwrap();
    users.refused.store(true, Ordering::Relaxed);
    users.revision.store(1, Ordering::Relaxed);
    until(|| handle.allocations() == 0).await;
    until(|| std::net::UdpSocket::bind(port).is_ok()).await;
}

/// A running program, which is killed on drop.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Free addresses of a program: one for its relay, and one for HTTP.
fn free() -> (SocketAddr, SocketAddr) {
    let ip = own_ip();
    ((ip, 3478).into(), (ip, 8080).into())
}

fn program(folder: &std::path::Path, relay: SocketAddr, http: SocketAddr) -> Running {
    run(program_command(folder, relay, http), http)
}

fn program_command(folder: &std::path::Path, relay: SocketAddr, http: SocketAddr) -> Command {
    let mut command = castway(folder);
    command.env("CASTWAY_TURN_ADDR", relay.to_string()).env("CASTWAY_HTTP_ADDR", http.to_string());
    command.env("CASTWAY_STATIC_AUTH_SECRET", "north").env("CASTWAY_ALLOWED_PEER_IP", "127.0.0.0/8");
    command.env("CASTWAY_RELAY_THREADS", "2").env("CASTWAY_MIN_PORT", "30000").env("CASTWAY_MAX_PORT", "31999");
    command
}

/// Starts the program and waits until it serves.
fn run(mut command: Command, http: SocketAddr) -> Running {
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let started = Instant::now();
    while TcpStream::connect(http).is_err() {
        assert!(started.elapsed() < EVENT_TIMEOUT, "it does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// Requirement 47.
#[tokio::test]
async fn without_descriptors_what_runs_goes_on_and_accepting_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let (at, http) = free();
    let running = program(folder.path(), at, http);
    let pid = running.0.id();
    let client = rest_client(at).await;
    let relayed = client.allocate().await.unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    relayed.send_to(b"before", peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&peer).await.0, b"before");

    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let limit = open() + 5;
    let whom = Pid::from_raw(pid as i32);
    let before = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::prlimit(whom, Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
    let mut held: Vec<_> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
    until(|| open() >= limit).await;
    // A new allocation gets no socket; an existing one keeps its socket.
    let refusal = rest_client(at).await.allocate().await.err().unwrap().to_string();
    assert!(refusal.contains("508"), "{refusal}");
    relayed.send_to(b"out", peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&peer).await.0, b"out");
    peer.send_to(b"in", relayed.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&relayed).await.0, b"in");

    held.clear();
    until(|| open() < limit).await;
    assert!(rest_client(at).await.allocate().await.is_ok());
}

/// Requirement 25, with the command line and the database.
#[tokio::test]
async fn disabling_a_user_ends_its_allocations() {
    let folder = tempfile::tempdir().unwrap();
    let (at, http) = free();
    let _running = program(folder.path(), at, http);
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    let client = rest_client(at).await;
    let relayed = client.allocate().await.unwrap();
    let port = relayed.local_addr().unwrap();
    assert!(std::net::UdpSocket::bind(port).is_err());
    ok(castway(folder.path()).args(["user", "disable", "alice"]));
    until(|| std::net::UdpSocket::bind(port).is_ok()).await;
    assert!(rest_client(at).await.allocate().await.is_err());
}

/// Requirement 24.
#[tokio::test]
async fn a_secret_that_is_removed_makes_no_new_allocation() {
    let folder = tempfile::tempdir().unwrap();
    let (at, http) = free();
    let mut command = program_command(folder.path(), at, http);
    command.env_remove("CASTWAY_STATIC_AUTH_SECRET");
    let _running = run(command, http);
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    let issued = || {
        let reply: serde_json::Value = serde_json::from_str(&ok(castway(folder.path()).args(["credentials", "alice"]))).unwrap();
        [&reply["username"], &reply["password"]].map(|text| text.as_str().unwrap().to_owned())
    };
    let [username, password] = issued();
    // This client keeps its allocation.
    let before = client(at, &username, &password).await;
    let _relayed = before.allocate().await.unwrap();
    ok(castway(folder.path()).args(["secret", "rotate", "--revoke-old"]));
    let refused = tokio::time::timeout(EVENT_TIMEOUT, async {
        while client(at, &username, &password).await.allocate().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    refused.await.unwrap();
    let [username, password] = issued();
    assert!(client(at, &username, &password).await.allocate().await.is_ok());
}
