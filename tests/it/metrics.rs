//! `/metrics` of the whole program.

use castway::config::Settings;
use std::collections::HashMap;
use tokio::net::UdpSocket;
use webrtc_util::Conn as _;

use super::relay::{EVENT_TIMEOUT, LOCALHOST, received};
use super::support::{Server, rest_client};

/// `name{labels} → value` of each sample; panics on a line that is neither that nor a comment.
fn parse(text: &str) -> HashMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples: HashMap<_, _> = lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("castway_"), "{line}");
            (name.to_owned(), value.parse().unwrap())
        })
        .collect();
    for name in samples.keys() {
        let family = name.split('{').next().unwrap();
        let family = family.strip_suffix("_total").unwrap_or(family);
        assert!(text.contains(&format!("# HELP {family} ")) && text.contains(&format!("# TYPE {family} ")), "{name}");
    }
    samples
}

#[tokio::test]
async fn the_numbers_move_and_their_text_can_be_read() {
    let server = Server::start(Settings { allowed_peer_ip: Some("127.0.0.0/8".into()), ..Settings::default() }).await;
    let http = server.http;
    let scrape = || async move {
        let response = reqwest::get(format!("http://{http}/metrics")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        parse(&response.text().await.unwrap())
    };
    // The server's test of itself holds another allocation for a moment.
    let with_allocations = async |count| {
        let counted = async {
            loop {
                let now = scrape().await;
                if now["castway_relay_allocations"] == count {
                    break now;
                }
            }
        };
        tokio::time::timeout(EVENT_TIMEOUT, counted).await.unwrap()
    };
    let before = with_allocations(0.0).await;
    let to_peer = r#"castway_relay_packets_total{direction="to_peer",transport="udp"}"#;
    let to_client = r#"castway_relay_bytes_total{direction="to_client",transport="udp"}"#;
    assert_eq!((before[to_peer], before[to_client]), (0.0, 0.0));

    let client = rest_client(server.turn).await;
    let relayed = client.allocate().await.unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    relayed.send_to(b"out", peer.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&peer).await.0, b"out");
    peer.send_to(b"in there", relayed.local_addr().unwrap()).await.unwrap();
    assert_eq!(received(&relayed).await.0, b"in there");

    let after = scrape().await;
    assert_eq!((after[to_peer], after[to_client]), (1.0, 8.0), "the relay counts before it sends");
    assert!(after["castway_relay_allocations"] >= 1.0);
    let after = with_allocations(1.0).await;
    assert!(after[r#"castway_relay_errors_total{code="401"}"#] >= 1.0);
    assert_eq!(after["castway_relay_failed_authentications_total"], 0.0);
    assert!(after[r#"castway_relay_shard_busy_seconds_total{shard="0"}"#] > 0.0);
    for protocol in ["cast", "multiconnection", "apprtc"] {
        let locked = format!("castway_rooms_locked_seconds_total{{protocol=\"{protocol}\"}}");
        assert!(after[&locked] > before[&locked], "a scrape takes the lock: {locked}");
    }
    assert!(after.len() < 200, "{}", after.len());
    assert_eq!(before.len(), after.len());
    server.stop().await;
}
