//! The external address: found by name or by STUN, and changed while the relay runs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use castway::addresses::external::{ExternalAddresses, Resolver};
use castway::config::{Config, ExternalAddress, ExternalConfig, Public, RelayConfig, Settings, StunServer};
use castway::limits::descriptors::DescriptorPools;
use castway::relay;
use url::Host;
use webrtc_util::Conn;

use super::relay::{EVENT_TIMEOUT, LOCALHOST, Users, allocated, config, greet, own_ip, received_after_greeting, start, until};

/// A resolver with the same answer for every name.
struct Says(&'static str);

impl Resolver for Says {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![self.0.parse().unwrap()])
    }
}

fn external(public: Public, stun_server: Option<SocketAddr>) -> ExternalAddresses {
    let stun_servers =
        stun_server.map(|server| StunServer { host: Host::parse(&server.ip().to_string()).unwrap(), port: server.port() });
    let config = ExternalConfig {
        addresses: vec![ExternalAddress { public, private: None }],
        stun_servers: stun_servers.into_iter().collect(),
        ..ExternalConfig::default()
    };
    ExternalAddresses::new(&config, [Some(LOCALHOST), None], None)
}

async fn reaches(from: &impl Conn, to: &impl Conn) {
    from.send_to(b"ping", to.local_addr().unwrap()).await.unwrap();
    assert_eq!(received_after_greeting(to).await, (b"ping".to_vec(), from.local_addr().unwrap()));
}

/// Requirement 54.
#[tokio::test]
async fn a_name_that_changes_is_for_new_allocations_and_ends_no_old_one() {
    let external = external(Public::Name("relay.example.org".into()), None);
    external.look_up(&Says("203.0.113.7")).await;
    let handle = relay::start(
        &RelayConfig { threads: 1, ..config() },
        &external,
        Arc::new(Users::default()),
        &DescriptorPools::unlimited(),
        &[],
    )
    .unwrap();
    let ((_a, one), (_b, two)) = (allocated(&handle).await, allocated(&handle).await);
    assert_eq!(one.local_addr().unwrap().ip().to_string(), "203.0.113.7");

    external.look_up(&Says("203.0.113.8")).await;
    let deadline = std::time::Instant::now() + EVENT_TIMEOUT;
    let (_c, three) = loop {
        let (client, relayed) = allocated(&handle).await;
        if relayed.local_addr().unwrap().ip().to_string() == "203.0.113.8" {
            break (client, relayed);
        }
        assert!(std::time::Instant::now() < deadline, "still {:?}", relayed.local_addr());
        relayed.close().await.unwrap();
    };
    for other in [&two, &three] {
        greet(&one, other).await;
    }
    for (from, to) in [(&one, &two), (&two, &one), (&one, &three), (&three, &one)] {
        reaches(from, to).await;
    }
    assert_eq!(handle.allocations(), 3);
}

#[tokio::test]
async fn auto_asks_a_stun_server() {
    // The STUN server is our own relay.
    let handle = start(&RelayConfig { addr: (own_ip(), 0).into(), ..config() });
    let found = external(Public::Auto, Some(handle.listening()));
    assert!(found.problems()[0].en.contains("CASTWAY_STUN_SERVERS"), "{:?}", found.problems());
    found.look_up(&Says("")).await;
    assert_eq!(found.host(), Some(Host::Ipv4(std::net::Ipv4Addr::LOCALHOST)));
    assert_eq!(found.hosts(), Vec::from_iter(found.host()));
    assert!(!found.problems().iter().any(|problem| problem.en.contains("CASTWAY_STUN_SERVERS")), "{:?}", found.problems());
    let listening = handle.listening();
    handle.stop(std::time::Duration::ZERO).await;
    until(|| std::net::UdpSocket::bind(listening).is_ok()).await;
    // The last known address stays in use.
    found.look_up(&Says("")).await;
    assert_eq!(found.host(), Some(Host::Ipv4(std::net::Ipv4Addr::LOCALHOST)));
    assert!(found.problems()[0].en.contains("No server of CASTWAY_STUN_SERVERS answers"), "{:?}", found.problems());
}

#[tokio::test]
async fn after_a_change_of_the_machines_address_stun_servers_are_asked_at_once() {
    let handle = start(&RelayConfig { addr: (own_ip(), 0).into(), ..config() });
    let found = external(Public::Auto, Some(handle.listening()));
    found.look_up(&Says("")).await;
    assert_eq!(found.host(), Some(Host::Ipv4(std::net::Ipv4Addr::LOCALHOST)));
    let looking_up = tokio::spawn(found.clone().keep_looking_up());
    // Everything was found, so the next look-up is not due before the test gives up.
    let other: IpAddr = [127, 0, 0, 77].into();
    assert!(found.set_bound([Some(other), None]));
    until(|| found.address() == Some(other)).await;
    looking_up.abort();
}

/// The whole program with a name whose label is too long for any resolver: it starts, and reports the problem.
#[tokio::test]
async fn a_name_that_can_not_be_resolved_holds_up_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let text = |text: &str| Some(text.to_owned());
    let nobody = format!("{}.invalid", "no".repeat(32));
    let settings = Settings {
        data_dir: text(folder.path().to_str().unwrap()),
        http_addr: text("127.0.0.1:0"),
        turn_addr: text("127.0.0.1:0"),
        external_ip: text(&nobody),
        ..Settings::default()
    };
    let app = castway::app::App::build(Config::read(&settings).unwrap()).await.unwrap();
    let greeting = app.startup_report().to_string();
    assert!(greeting.contains(&format!("{nobody} can't be resolved")), "{greeting}");
    assert!(greeting.contains("seen by others as 127.0.0.1"), "{greeting}");
}
