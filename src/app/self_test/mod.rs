//! The relay's test of itself: a client on this machine allocates at each listener, and sends a packet through its relayed address.
//!
//! - Owner: the server, which tests the listeners of the relay at the start, and those of the ingress once it serves. Everything is
//!   tested again when addresses or the certificate have changed, and while something fails.
//! - Outputs: [`SelfTest::results`], [`SelfTest::problems`] for the start-up report and `/readyz`, and the log.
//! - Invariants: a test is over after five seconds, at the start after three, and the next one begins ten seconds later at the earliest.
//!   What the test can't tell (no IPv6, no descriptor left, quotas that clients have used up) counts as not tested. Its requests, one
//!   allocation at a time and 16 bytes of payload are counted in the metrics like those of other clients.

mod exchange;
mod link;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use ipnet::IpNet;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use self::exchange::Failure;
use crate::addresses::external::ExternalAddresses;
use crate::sentence::Sentence;
use crate::tls::Certificates;
use crate::turn::{RelayedIp, Scope, Transport};
use crate::users::Directory;
use crate::users::credentials::SELF_TEST_USER;

/// How long the test at the start may take, which clients wait for.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a test of all listeners may take later.
const TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of a test to the next one.
const INTERVAL: Duration = Duration::from_secs(10);
/// The lifetime of the credentials.
const TTL: Duration = Duration::from_secs(60);
/// No user has this name, which has a space.
const USER: &str = SELF_TEST_USER;
/// 486 and 508: the clients of a running server may have used up what there is.
const SCARCE: [u16; 2] = [486, 508];
/// The relay sends clients to another server (CASTWAY_ALTERNATE_SERVER).
const TRY_ALTERNATE: u16 = 300;

/// Tests the listeners; clones share the results.
#[derive(Clone)]
pub struct SelfTest(Arc<Inner>);

struct Inner {
    listeners: Vec<Tested>,
    parts: Parts,
    results: ArcSwap<Vec<ListenerTest>>,
}

/// What the tests use of the server.
pub(super) struct Parts {
    pub(super) directory: Directory,
    pub(super) external: ExternalAddresses,
    pub(super) certificates: Option<Certificates>,
    /// The relay forwards the connections of trusted proxies to the ingress, even those from this machine.
    pub(super) trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tested {
    transport: Transport,
    /// An address of this machine.
    address: SocketAddr,
}

/// The last result at a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTest {
    /// As `udp 127.0.0.1:3478`.
    pub listener: String,
    /// Milliseconds until the first answer; `None`: the listener was not tested, or did not answer.
    pub ms: Option<f64>,
    /// What does not work.
    pub problem: Option<Sentence>,
}

/// What another result may follow from.
#[derive(PartialEq)]
struct Circumstances {
    relayed: [Option<RelayedIp>; 2],
    fingerprint: Option<String>,
}

impl SelfTest {
    /// `listeners`: those that serve TURN, as they are bound.
    pub(super) fn new(listeners: impl IntoIterator<Item = (Transport, SocketAddr)>, parts: Parts) -> Self {
        let on_this_machine = |(transport, address): (Transport, SocketAddr)| {
            addresses(address.ip()).into_iter().map(move |ip| Tested { transport, address: SocketAddr::new(ip, address.port()) })
        };
        let mut tested: Vec<Tested> = Vec::new();
        for listener in listeners.into_iter().flat_map(on_this_machine) {
            if !tested.contains(&listener) {
                tested.push(listener);
            }
        }
        let results = tested.iter().map(Tested::untested).collect();
        Self(Arc::new(Inner { listeners: tested, parts, results: ArcSwap::from_pointee(results) }))
    }

    /// The last results, in the order of the listeners.
    pub fn results(&self) -> Arc<Vec<ListenerTest>> {
        self.0.results.load_full()
    }

    /// A sentence for each listener that does not work.
    pub fn problems(&self) -> Vec<Sentence> {
        self.0.results.load().iter().filter_map(|result| result.problem.clone()).collect()
    }

    /// Tests the listeners that the relay serves without the ingress. No other client is there yet.
    pub(super) async fn test_relay(&self) {
        self.test(|listener| self.is_of_relay(listener), START_TIMEOUT, true).await;
    }

    /// Tests the listeners of the ingress, then everything whenever something may have changed; never returns.
    pub(super) async fn keep_testing(self) {
        let mut tested = self.circumstances();
        self.test_and_log(|listener| !self.is_of_relay(listener)).await;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = self.circumstances();
            if now != tested || !self.problems().is_empty() {
                tested = now;
                self.test_and_log(|_| true).await;
            }
        }
    }

    async fn test_and_log(&self, is_chosen: impl Fn(&Tested) -> bool) {
        let before = self.problems();
        self.test(is_chosen, TIMEOUT, false).await;
        let after = self.problems();
        after.iter().filter(|problem| !before.contains(problem)).for_each(|problem| tracing::warn!("{problem}"));
        if after.is_empty() && !before.is_empty() {
            tracing::info!("the relay's listeners work again");
        }
    }

    fn is_of_relay(&self, listener: &Tested) -> bool {
        let is_proxied = || self.0.parts.trusted_proxies.iter().any(|network| network.contains(&listener.address.ip()));
        match listener.transport {
            Transport::Udp => true,
            Transport::Tcp => !is_proxied(),
            Transport::Tls => false,
        }
    }

    fn circumstances(&self) -> Circumstances {
        let fingerprint = self.0.parts.certificates.as_ref().map(|certificates| certificates.current().fingerprint.clone());
        Circumstances { relayed: self.0.parts.external.relayed_ips(), fingerprint }
    }

    /// `is_alone`: no client holds anything, so what is missing is missing.
    async fn test(&self, is_chosen: impl Fn(&Tested) -> bool, within: Duration, is_alone: bool) {
        let deadline = Instant::now() + within;
        // One allocation at a time, so that small quotas and ranges are enough.
        let allocating = Mutex::new(());
        let tests = self.0.listeners.iter().enumerate().filter(|(_, listener)| is_chosen(listener));
        let tests = tests.map(async |(at, listener)| {
            let begun = Instant::now();
            let mut answered = None;
            let outcome = timeout_at(deadline.into(), self.exchange(listener, &allocating, |link| answered = link)).await;
            let result = match outcome {
                Ok(Err(failure)) if failure.says_nothing(is_alone) => ListenerTest { ms: None, ..listener.untested() },
                Ok(Err(failure)) => listener.failed(&failure.sentence()),
                Ok(Ok(())) => listener.untested(),
                Err(_) if answered.is_none() => listener.failed(&listener.silent()),
                Err(_) => listener.failed(&Sentence::new(
                    "its packet through the relay did not come back in time",
                    "经过中继的数据包没有及时返回",
                )),
            };
            let ms = answered.map(|at: Instant| at.saturating_duration_since(begun).as_secs_f64() * 1000.0);
            (at, ListenerTest { ms: ms.filter(|_| result.problem.is_none()), ..result })
        });
        let tested = join_all(tests).await;
        let mut results = Vec::clone(&self.0.results.load());
        for (at, result) in tested {
            results[at] = result;
        }
        self.0.results.store(Arc::new(results));
    }

    async fn exchange(
        &self,
        listener: &Tested,
        allocating: &Mutex<()>,
        note_answer: impl FnOnce(Option<Instant>),
    ) -> Result<(), Failure> {
        let Parts { directory, external, certificates, .. } = &self.0.parts;
        let certificate = certificates.as_ref().map(Certificates::current);
        let name = certificate.as_ref().and_then(|certificate| certificate.names.iter().find(|name| !name.starts_with('*')));
        let mut link = exchange::begin(listener.transport, listener.address, name.map(String::as_str)).await?;
        note_answer(Some(Instant::now()));
        let [v4, v6] = external.relayed_ips();
        if v4.is_none() && v6.is_none() {
            return Ok(());
        }
        let _turn = allocating.lock().await;
        let credentials = directory.issue(USER, Scope::Anyone, Some(TTL), SystemTime::now());
        link.finish(&credentials, v4.is_none()).await
    }
}

impl Tested {
    fn untested(&self) -> ListenerTest {
        ListenerTest { listener: format!("{} {}", self.transport.label(), self.address), ms: None, problem: None }
    }

    fn failed(&self, why: &Sentence) -> ListenerTest {
        let protocol = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        };
        let (address, Sentence { en, zh }) = (self.address, why);
        let problem = Sentence::new(
            format!("TURN over {protocol} does not work at {address}, as this machine's own test found: {en}"),
            format!("此机器的自检发现，{address} 上基于 {protocol} 的 TURN 无法工作：{zh}"),
        );
        ListenerTest { problem: Some(problem), ..self.untested() }
    }

    fn silent(&self) -> Sentence {
        let (protocol, port) = (if self.transport == Transport::Udp { "UDP" } else { "TCP" }, self.address.port());
        Sentence::new(
            format!("nothing was answered. Does a firewall of this machine drop {protocol} {port}?"),
            format!("没有任何应答。此机器的防火墙是否丢弃了 {protocol} {port}？"),
        )
    }
}

impl Failure {
    fn sentence(&self) -> Sentence {
        match self {
            Self::Io(error) => Sentence::new(format!("the connection failed ({error})"), format!("连接失败（{error}）")),
            Self::Refused(step, 508) => Sentence::new(
                format!("the {step} was refused (508), so no relayed address could be opened"),
                format!("{step} 被拒绝（508），因此无法打开中继地址"),
            ),
            Self::Refused(step, code) => {
                Sentence::new(format!("the {step} was refused ({code})"), format!("{step} 被拒绝（{code}）"))
            }
            Self::Answer(what) => Sentence::new(*what, format!("应答的内容不正确（{what}）")),
        }
    }

    /// Whether it says nothing about the listener.
    fn says_nothing(&self, is_alone: bool) -> bool {
        match self {
            Self::Io(error) => {
                let kind = error.kind();
                let is_without = kind == io::ErrorKind::AddrNotAvailable || kind == io::ErrorKind::NetworkUnreachable;
                let system = [libc::EMFILE, libc::ENFILE, libc::EAFNOSUPPORT];
                is_without || error.raw_os_error().is_some_and(|code| system.contains(&code))
            }
            Self::Refused(_, code) => *code == TRY_ALTERNATE || SCARCE.contains(code) && !is_alone,
            Self::Answer(_) => false,
        }
    }
}

/// The addresses at which this machine reaches a listener that is bound to `ip`.
fn addresses(ip: IpAddr) -> Vec<IpAddr> {
    match (ip.is_unspecified(), ip.is_ipv6()) {
        (false, _) => vec![ip.to_canonical()],
        (true, false) => vec![Ipv4Addr::LOCALHOST.into()],
        (true, true) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    }
}
