//! Handshakes as socket.io-client makes them: by polling first, and then with an upgrade to a WebSocket.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use castway::relay::io::poll::{Interest, Poller};

use crate::load::{BUFFER_BYTES, READY_TIMEOUT};
use crate::servers::Server;
use crate::support::signaling::client::Client;
use crate::support::signaling::role::{Heard, Role};
use crate::support::signaling::{addresses, http, socketio, stream};

/// Handshakes that are under way at the same time: enough that they wait for a processor, although servers end the last long poll only
/// 100 ms after the probe.
const TOGETHER: usize = 512;
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const PROBE: &[u8] = b"2probe";
const UPGRADE: &[u8] = b"5";
const PONG: &[u8] = b"3";
/// What separates the packets of one response.
const PACKET_SEPARATOR: char = '\u{1e}';

/// Clients that make such handshakes, and stay connected.
pub(crate) struct Upgrades {
    poller: Poller,
    server: SocketAddr,
    buffer: Vec<u8>,
    begun: usize,
    waiting: HashMap<usize, Handshake>,
    connected: Vec<Client>,
}

/// Which response of polling a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The session's id.
    Open,
    /// The answer to a POST.
    Post,
    /// The end of a long poll.
    Poll,
    /// None: the last long poll has ended.
    None,
}

struct Handshake {
    step: Step,
    polling: TcpStream,
    /// Bytes of an incomplete response.
    received: Vec<u8>,
    session: String,
    is_in_namespace: bool,
    owes_pong: bool,
    websocket: Option<Client>,
    is_probed: bool,
}

/// Each client has two connections: an even token is its polling's, an odd one its WebSocket's.
fn polling_token(number: usize) -> u64 {
    2 * number as u64
}

impl Upgrades {
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            server: server.address(),
            buffer: vec![0; BUFFER_BYTES],
            begun: 0,
            waiting: HashMap::new(),
            connected: Vec::new(),
        })
    }

    /// Makes `count` handshakes, each of which ends when the client has left polling for its WebSocket. Returns the seconds.
    ///
    /// # Errors
    /// The server refuses one, or takes too long.
    pub(crate) fn handshakes(&mut self, count: usize) -> anyhow::Result<f64> {
        let (start, end) = (Instant::now(), self.begun + count);
        while self.begun < end || !self.waiting.is_empty() {
            while self.begun < end && self.waiting.len() < TOGETHER {
                let handshake = Handshake::begin(self.server, self.begun)?;
                self.poller.add(&handshake.polling, polling_token(self.begun), Interest::Read)?;
                self.waiting.insert(self.begun, handshake);
                self.begun += 1;
            }
            ensure!(start.elapsed() < READY_TIMEOUT, "{} clients are not connected", self.waiting.len());
            self.poller.wait(Some(Duration::from_millis(100)))?;
            let ready: Vec<u64> = self.poller.ready().map(|ready| ready.token).collect();
            for token in ready {
                self.advance(token).with_context(|| format!("client {}", token / 2))?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn advance(&mut self, token: u64) -> anyhow::Result<()> {
        let number = (token / 2) as usize;
        let Some(handshake) = self.waiting.get_mut(&number) else { return Ok(()) };
        if token == polling_token(number) {
            handshake.receive_by_polling(self.server, &mut self.buffer)?;
            if handshake.is_in_namespace && handshake.websocket.is_none() {
                let path = format!("{}&sid={}", socketio::PATH, handshake.session);
                let client = Client::connect_at(self.server, number, Role::Idle, &path, Some(PROBE.to_vec()), None)?;
                self.poller.add(&client.stream, token + 1, Interest::Read)?;
                handshake.websocket = Some(client);
            }
        } else {
            handshake.receive_by_websocket(&mut self.buffer)?;
        }
        if handshake.step == Step::None
            && handshake.is_probed
            && let Some(mut client) = handshake.websocket.take()
        {
            client.send(UPGRADE)?;
            if handshake.owes_pong {
                client.send(PONG)?;
            }
            self.waiting.remove(&number);
            self.poller.remove(&client.stream)?;
            self.connected.push(client);
        }
        Ok(())
    }

    /// All clients disconnect.
    pub(crate) fn clear(&mut self) {
        self.connected.clear();
    }
}

impl Handshake {
    fn begin(server: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let mut polling = stream::connect(server, addresses::of_client(number))?;
        polling.write_all(&http::request("GET", POLLING, server, None))?;
        polling.set_nonblocking(true)?;
        Ok(Self {
            step: Step::Open,
            polling,
            received: Vec::new(),
            session: String::new(),
            is_in_namespace: false,
            owes_pong: false,
            websocket: None,
            is_probed: false,
        })
    }

    fn receive_by_polling(&mut self, server: SocketAddr, buffer: &mut [u8]) -> anyhow::Result<()> {
        match self.polling.read(buffer) {
            Ok(0) => bail!("the server has ended the connection while the client waited for {:?}", self.step),
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        while let Some((body, len)) = http::response(&self.received)? {
            self.received.drain(..len);
            let body = std::str::from_utf8(&body)?;
            self.handle(server, body).with_context(|| format!("the server answered {body} to {:?}", self.step))?;
        }
        Ok(())
    }

    fn handle(&mut self, server: SocketAddr, body: &str) -> anyhow::Result<()> {
        match self.step {
            Step::Open => {
                let open: serde_json::Value = serde_json::from_str(body.strip_prefix('0').context("no session was opened")?)?;
                self.session = open["sid"].as_str().context("the session has no id")?.to_owned();
                self.post(server, socketio::CONNECT)
            }
            Step::Post => {
                ensure!(body == "ok", "a POST was refused");
                self.step = Step::Poll;
                self.request("GET", server, None)
            }
            Step::Poll => self.handle_packets(server, body),
            Step::None => bail!("it was not asked"),
        }
    }

    fn handle_packets(&mut self, server: SocketAddr, packets: &str) -> anyhow::Result<()> {
        self.step = Step::None;
        let mut has_ended = false;
        for packet in packets.split(PACKET_SEPARATOR) {
            match packet.as_bytes() {
                b"2" => self.owes_pong = true,
                b"6" => has_ended = true,
                [b'4', b'0', ..] => self.is_in_namespace = true,
                _ => {}
            }
        }
        // The server ends the poll when it has heard the probe, and then the WebSocket takes over.
        if has_ended {
            return Ok(());
        }
        if std::mem::take(&mut self.owes_pong) {
            return self.post(server, PONG);
        }
        self.step = Step::Poll;
        self.request("GET", server, None)
    }

    fn post(&mut self, server: SocketAddr, packet: &[u8]) -> anyhow::Result<()> {
        self.step = Step::Post;
        self.request("POST", server, Some(std::str::from_utf8(packet)?))
    }

    fn request(&mut self, method: &str, server: SocketAddr, body: Option<&str>) -> anyhow::Result<()> {
        let path = format!("{POLLING}&sid={}", self.session);
        Ok(self.polling.write_all(&http::request(method, &path, server, body))?)
    }

    fn receive_by_websocket(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        let mut heard = Vec::new();
        if let Some(websocket) = &mut self.websocket {
            websocket.receive(buffer, &mut heard)?;
        }
        self.is_probed |= heard.contains(&Heard::Probed);
        Ok(())
    }
}
