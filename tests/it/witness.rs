//! What the relay notes about clients that somebody watches, through real sockets.

use castway::config::Settings;
use castway::diagnosis::observation::{Path, Witness};
use castway::diagnosis::watch::WatchHandle;
use castway::turn::{CredentialRefusal, RefusalReason, Scope};
use castway::users::credentials::issue;
use std::time::{Duration, SystemTime};
use stun::agent::TransactionId;
use stun::message::{BINDING_REQUEST, Message};
use tokio::net::{TcpStream, UdpSocket};
use webrtc_util::Conn as _;

use super::port::{connector, own, settings, tls, turn};
use super::relay::{EVENT_TIMEOUT, LOCALHOST, client, received, until};
use super::support::{Server, rest_client};

/// What was seen over a path: requests, challenges, right credentials, allocations, answers.
fn counts(witness: &Witness, path: Path) -> [u32; 5] {
    let seen = witness.path(path);
    [seen.requests, seen.challenged, seen.authenticated, seen.allocated, seen.answered]
}

async fn until_seen(watched: &WatchHandle, path: Path, expected: [u32; 5]) {
    let seen = tokio::time::timeout(EVENT_TIMEOUT / 2, until(|| counts(&watched.witness(), path) == expected)).await;
    assert!(seen.is_ok(), "{path:?}: {:?}", watched.witness());
}

fn binding() -> Message {
    let mut request = Message::new();
    request.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).unwrap();
    request
}

#[tokio::test]
async fn requests_and_answers_are_noted_by_their_path() {
    let server = Server::start(settings()).await;
    // The server's test of itself comes from the same address.
    until(|| server.self_test.results().iter().all(|result| result.ms.is_some())).await;
    let watched = server.watch.open(LOCALHOST, Some("alice".to_owned()));
    let other = server.watch.open("192.0.2.1".parse().unwrap(), Some("bob".to_owned()));
    assert_eq!(watched.witness(), Witness::default());

    let client = rest_client(server.turn).await;
    client.send_binding_request().await.unwrap();
    until_seen(&watched, Path::Udp, [1, 0, 0, 0, 1]).await;
    let _relayed = client.allocate().await.unwrap();
    let mut tcp = turn(TcpStream::connect(server.turn).await.unwrap(), 10_000);
    tcp.allocate().await;
    let mut secure = turn(tls(server.https, &connector(&own(&server), &["stun.turn"])).await, 10_000);
    secure.allocate().await;
    for (path, expected) in [(Path::Udp, [3, 1, 1, 1, 2]), (Path::Tcp, [2, 1, 1, 1, 1]), (Path::Tls, [2, 1, 1, 1, 1])] {
        until_seen(&watched, path, expected).await;
        assert!(watched.witness().path(path).last.is_some());
    }
    secure.bind_channel("127.0.0.1:9".parse().unwrap()).await;
    until_seen(&watched, Path::Tls, [3, 1, 2, 1, 2]).await;
    assert_eq!(other.witness(), Witness::default(), "nothing is noted of others");
    drop((watched, other));
    assert!(!server.watch.is_open());
    server.stop().await;
}

#[tokio::test]
async fn refusals_are_noted_with_their_reason() {
    let server = Server::start(Settings { user_quota: Some("1".into()), ..settings() }).await;
    let watched = server.watch.open(LOCALHOST, None);
    let refused = || watched.witness().path(Path::Udp).refused;
    let foreign = issue("south", Scope::Anyone, "alice", Duration::from_secs(600), SystemTime::now());
    assert!(client(server.turn, &foreign.username, foreign.password.expose()).await.allocate().await.is_err());
    let wrong = RefusalReason::Credentials(CredentialRefusal::WrongSignature);
    until(|| refused() == Some(wrong)).await;
    assert_eq!(counts(&watched.witness(), Path::Udp), [2, 1, 0, 0, 0]);

    let first = rest_client(server.turn).await;
    let _relayed = first.allocate().await.unwrap();
    assert!(rest_client(server.turn).await.allocate().await.is_err());
    until(|| refused() == Some(RefusalReason::UserQuota)).await;
    assert_eq!(counts(&watched.witness(), Path::Udp), [6, 3, 2, 1, 1]);
    server.stop().await;
}

#[tokio::test]
async fn checks_of_peers_are_noted_and_media_are_not() {
    let server = Server::start(settings()).await;
    let watched = server.watch.open("192.0.2.1".parse().unwrap(), Some("alice".to_owned()));
    let client = rest_client(server.turn).await;
    let relayed = client.allocate().await.unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let (at, check) = (peer.local_addr().unwrap(), binding().raw);
    for _ in 0..2 {
        for payload in [&b"media"[..], &check] {
            relayed.send_to(payload, at).await.unwrap();
            assert_eq!(received(&peer).await.0, payload);
            peer.send_to(payload, relayed.local_addr().unwrap()).await.unwrap();
            assert_eq!(received(&relayed).await.0, payload);
        }
    }
    until(|| watched.witness().relayed_in == 2).await;
    let seen = watched.witness();
    assert_eq!((seen.relayed_out, seen.relayed_in), (2, 2));
    assert!(seen.last_relayed_in >= seen.last_relayed_out);
    assert_eq!(seen.other_addresses, [LOCALHOST], "its credentials lead to the client, which has another address over HTTP");
    server.stop().await;
}
