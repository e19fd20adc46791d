//! The relay's test of its own listeners, in the whole server.

use std::net::UdpSocket;

use castway::app::self_test::ListenerTest;
use castway::config::Settings;
use serde_json::Value;

use super::relay::{own_ip, until};
use super::support::Server;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The transports that were tested with success, sorted.
fn tested(results: &[ListenerTest]) -> Vec<&str> {
    let mut tested: Vec<&str> =
        results.iter().filter(|result| result.ms.is_some()).filter_map(|result| result.listener.split(' ').next()).collect();
    tested.sort_unstable();
    tested
}

async fn ready(server: &Server) -> Value {
    reqwest::get(format!("http://{}/readyz", server.http)).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn every_healthy_server_finds_that_its_listeners_work() {
    let free = || text("127.0.0.1:0");
    let tls = || Settings { https_addr: free(), turns_addr: free(), ..Settings::default() };
    let base = || Settings { no_tls: text("true"), ..Settings::default() };
    let range = own_ip();
    let port = UdpSocket::bind((range, 0)).unwrap().local_addr().unwrap().port().to_string();
    for (name, settings, expected) in [
        ("UDP and TCP", base(), &["tcp", "udp"][..]),
        ("TLS", tls(), &["tcp", "tls", "tls", "udp"]),
        (
            "TLS alone",
            Settings { no_udp: text("true"), no_tcp: text("true"), no_tcp_relay: text("true"), ..tls() },
            &["tls", "tls"],
        ),
        ("no UDP", Settings { no_udp: text("true"), ..base() }, &["tcp"]),
        ("no TCP", Settings { no_tcp: text("true"), no_tcp_relay: text("true"), ..base() }, &["udp"]),
        ("IPv6", Settings { turn_addr: text("[::1]:0"), relay_ip: text("::1"), ..base() }, &["tcp", "udp"]),
        ("both families", Settings { turn_addr: text("[::]:0"), ..base() }, &["tcp", "tcp", "udp", "udp"]),
        ("a proxy on this machine", Settings { trusted_proxies: text("127.0.0.0/8"), ..tls() }, &["tcp", "tls", "tls", "udp"]),
        ("HTTP on the relay's port", Settings { turn_http: text("true"), ..base() }, &["tcp", "udp"]),
        ("small quotas", Settings { total_quota: text("1"), user_quota: text("1"), ..base() }, &["tcp", "udp"]),
        (
            "one relayed port",
            Settings { relay_ip: text(&range.to_string()), min_port: text(&port), max_port: text(&port), ..base() },
            &["tcp", "udp"],
        ),
        ("scope clients", Settings { relay_scope: text("clients"), ..base() }, &["tcp", "udp"]),
        ("another external address", Settings { external_ip: text("203.0.113.7"), ..base() }, &["tcp", "udp"]),
        ("denied peers", Settings { denied_peer_ip: text("0.0.0.0/0"), ..base() }, &["tcp", "udp"]),
        ("another server", Settings { alternate_server: text("192.0.2.1:3478"), ..base() }, &["tcp", "udp"]),
    ] {
        let server = Server::start(settings).await;
        until(|| tested(&server.self_test.results()).len() >= expected.len()).await;
        let results = server.self_test.results();
        assert_eq!((tested(&results), server.self_test.problems()), (expected.to_vec(), vec![]), "{name}: {results:?}");
        assert!(!server.greeting.contains("own test"), "{name}: {}", server.greeting);
        assert_eq!(ready(&server).await["ready"], true, "{name}");
        server.stop().await;
    }
}
