//! Quotas, users who are shut out, and a machine that has run out of descriptors.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use castway::config::RelayConfig;
use castway::relay;
use rustix::process::{Pid, Resource, Rlimit};
use tokio::net::UdpSocket;
use webrtc_util::Conn as _;

use super::relay::{LOCALHOST, Users, allocated, client, config, received, start, until};
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

/// Requirement 25.
#[tokio::test]
async fn the_allocations_of_a_user_who_is_shut_out_end_within_five_seconds() {
    let users = Arc::new(Users::default());
    let handle = relay::start(&config(), Arc::clone(&users) as Arc<dyn relay::Accounts>).unwrap();
    let (_client, relayed) = allocated(&handle).await;
    let port = relayed.local_addr().unwrap();
    users.refused.store(true, Ordering::Relaxed);
    users.revision.store(1, Ordering::Relaxed);
    until(|| handle.allocations() == 0).await;
    until(|| std::net::UdpSocket::bind(port).is_ok()).await;
}

/// A program that runs until it goes out of scope.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn program(folder: &std::path::Path, relay: SocketAddr, http: SocketAddr) -> Running {
    let mut command = castway(folder);
    command.env("CASTWAY_TURN_ADDR", relay.to_string()).env("CASTWAY_HTTP_ADDR", http.to_string());
    command.env("CASTWAY_STATIC_AUTH_SECRET", "north").env("CASTWAY_ALLOWED_PEER_IP", "127.0.0.0/8");
    command.env("CASTWAY_RELAY_THREADS", "2").env("CASTWAY_MIN_PORT", "30000").env("CASTWAY_MAX_PORT", "31999");
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let started = Instant::now();
    while TcpStream::connect(http).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "it does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// Requirement 47.
#[tokio::test]
async fn without_descriptors_what_runs_goes_on_and_accepting_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let (at, http) = (free(), free());
    let running = program(folder.path(), at, http);
    let pid = running.0.id();
    let client = rest_client(at).await;
    let relayed = client.allocate().await.unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    relayed.send_to(b"before", peer.local_addr().unwrap()).await.unwrap();
    assert!(received(&peer).await.is_some());

    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let limit = open() + 5;
    let whom = Pid::from_raw(pid as i32);
    let before = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::prlimit(whom, Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
    let mut held: Vec<_> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
    until(|| open() >= limit).await;
    // A new allocation has no socket; the old one keeps its own.
    let refusal = rest_client(at).await.allocate().await.err().unwrap().to_string();
    assert!(refusal.contains("508"), "{refusal}");
    relayed.send_to(b"out", peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&peer).await.unwrap().0, b"out");
    peer.send_to(b"in", relayed.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&relayed).await.unwrap().0, b"in");

    held.clear();
    until(|| open() < limit).await;
    assert!(rest_client(at).await.allocate().await.is_ok());
}

/// Requirement 25, with the command line and the database.
#[tokio::test]
async fn disabling_a_user_ends_its_allocations() {
    let folder = tempfile::tempdir().unwrap();
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    let (at, http) = (free(), free());
    let _running = program(folder.path(), at, http);
    let client = rest_client(at).await;
    let relayed = client.allocate().await.unwrap();
    let port = relayed.local_addr().unwrap();
    assert!(std::net::UdpSocket::bind(port).is_err());
    ok(castway(folder.path()).args(["user", "disable", "alice"]));
    until(|| std::net::UdpSocket::bind(port).is_ok()).await;
    assert!(rest_client(at).await.allocate().await.is_err());
}
