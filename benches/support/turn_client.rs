//! A minimal TURN client (RFC 8656 with long-term credentials), which makes the allocations and opens the paths that are measured.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::poll::{Interest, Poller};
use castway::relay::io::udp::BatchUdpSocket;
use castway::relay::io::udp_types::UdpOptions;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use stun::agent::TransactionId;
use stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS,
    ATTR_XOR_RELAYED_ADDRESS, AttrType,
};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE, METHOD_CHANNEL_BIND,
    METHOD_CREATE_PERMISSION, METHOD_SEND, Message, MessageType, Method, Setter,
};
use stun::textattrs::TextAttribute;
use stun::xoraddr::XorMappedAddress;

pub(crate) const REALM: &str = "castway";
/// Castway signs credentials of scope clients with the HMAC of this text under the secret.
const CLIENTS_KEY_LABEL: &[u8] = b"castway/scope/clients/1";
const TIMEOUT: Duration = Duration::from_millis(500);
const TRIES: usize = 5;

/// A REST username and its password (draft-uberti-behave-turn-rest-00).
#[derive(Debug, Clone)]
pub(crate) struct User {
    name: String,
    password: String,
}

impl User {
    /// `key` signs the name.
    ///
    /// # Errors
    /// The clock is before 1970.
    pub(crate) fn new(label: &str, key: &[u8]) -> anyhow::Result<Self> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
        let name = format!("{expires}:{label}");
        let mut mac = Hmac::<Sha1>::new_from_slice(key)?;
        mac.update(name.as_bytes());
        Ok(Self { name, password: STANDARD.encode(mac.finalize().into_bytes()) })
    }
}

/// The key with which Castway signs credentials of scope clients.
///
/// # Errors
/// None in practice.
pub(crate) fn clients_key(secret: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(CLIENTS_KEY_LABEL);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// A client with an allocation.
pub(crate) struct Client {
    pub(crate) socket: BatchUdpSocket,
    pub(crate) relayed: SocketAddr,
    server: SocketAddr,
    user: User,
    nonce: String,
}

impl Client {
    /// Opens an allocation from a socket bound to `ip`.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub(crate) fn allocate(server: SocketAddr, ip: IpAddr, user: User, gro: bool) -> anyhow::Result<Self> {
        let socket = open(ip, gro)?;
        let reply = exchange(&socket, server, &first_allocate()?)?;
        let nonce = nonce(&reply)?;
        let reply = exchange(&socket, server, &allocate(&user, &nonce)?)?;
        Ok(Self { relayed: relayed(&reply)?, socket, server, user, nonce })
    }

    /// # Errors
    /// The server refuses or does not answer.
    pub(crate) fn permit(&self, peer: SocketAddr) -> anyhow::Result<()> {
        self.request(&signed(METHOD_CREATE_PERMISSION, vec![Box::new(Peer(peer))], &self.user, &self.nonce)?)
    }

    /// # Errors
    /// The server refuses or does not answer.
    pub(crate) fn bind_channel(&self, channel: u16, peer: SocketAddr) -> anyhow::Result<()> {
        self.request(&channel_bind(&self.user, &self.nonce, channel, peer)?)
    }

    fn request(&self, request: &Message) -> anyhow::Result<()> {
        let reply = exchange(&self.socket, self.server, request)?;
        ensure!(reply.typ.class == CLASS_SUCCESS_RESPONSE, "{} was refused: {}", request.typ, reason(&reply));
        Ok(())
    }
}

/// Makes an Allocate request without credentials.
///
/// # Errors
/// None in practice.
pub(crate) fn first_allocate() -> anyhow::Result<Message> {
    let transport = Raw(ATTR_REQUESTED_TRANSPORT, vec![17, 0, 0, 0]);
    build(vec![Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST)), Box::new(transport)])
}

/// Makes an Allocate request with credentials.
///
/// # Errors
/// None in practice.
pub(crate) fn allocate(user: &User, nonce: &str) -> anyhow::Result<Message> {
    signed(METHOD_ALLOCATE, vec![Box::new(Raw(ATTR_REQUESTED_TRANSPORT, vec![17, 0, 0, 0]))], user, nonce)
}

/// Makes a ChannelBind request.
///
/// # Errors
/// None in practice.
pub(crate) fn channel_bind(user: &User, nonce: &str, channel: u16, peer: SocketAddr) -> anyhow::Result<Message> {
    let [high, low] = channel.to_be_bytes();
    let number = Raw(ATTR_CHANNEL_NUMBER, vec![high, low, 0, 0]);
    signed(METHOD_CHANNEL_BIND, vec![Box::new(number), Box::new(Peer(peer))], user, nonce)
}

/// Returns the NONCE of a 401 response.
///
/// # Errors
/// The response has no NONCE.
pub(crate) fn nonce(reply: &Message) -> anyhow::Result<String> {
    Ok(TextAttribute::get_from_as(reply, ATTR_NONCE).with_context(|| format!("{} without NONCE", reason(reply)))?.text)
}

/// Returns the ERROR-CODE of a response as text.
fn reason(reply: &Message) -> String {
    let mut code = ErrorCodeAttribute::default();
    code.get_from(reply).map_or_else(|_| reply.to_string(), |()| code.to_string())
}

/// Returns the XOR-RELAYED-ADDRESS of the response to an Allocate request.
///
/// # Errors
/// The server has refused the request.
pub(crate) fn relayed(reply: &Message) -> anyhow::Result<SocketAddr> {
    ensure!(reply.typ.class == CLASS_SUCCESS_RESPONSE, "Allocate was refused: {}", reason(reply));
    let mut address = XorMappedAddress::default();
    address.get_from_as(reply, ATTR_XOR_RELAYED_ADDRESS)?;
    Ok(SocketAddr::new(address.ip, address.port))
}

/// Reads a STUN message.
///
/// # Errors
/// The bytes are not a STUN message.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Message> {
    let mut message = Message::new();
    message.unmarshal_binary(bytes)?;
    Ok(message)
}

/// Makes a Send indication to `peer`. The payload is at its end, followed only by padding.
///
/// # Errors
/// None in practice.
pub(crate) fn send_indication(peer: SocketAddr, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let kind = MessageType::new(METHOD_SEND, CLASS_INDICATION);
    Ok(build(vec![Box::new(kind), Box::new(Peer(peer)), Box::new(Raw(ATTR_DATA, payload.to_vec()))])?.raw)
}

fn build(mut setters: Vec<Box<dyn Setter>>) -> anyhow::Result<Message> {
    let mut message = Message::new();
    setters.insert(0, Box::new(TransactionId::new()));
    message.build(&setters)?;
    Ok(message)
}

fn signed(method: Method, attributes: Vec<Box<dyn Setter>>, user: &User, nonce: &str) -> anyhow::Result<Message> {
    let text = |kind, text: &str| Box::new(TextAttribute::new(kind, text.to_owned()));
    let mut setters: Vec<Box<dyn Setter>> = vec![Box::new(MessageType::new(method, CLASS_REQUEST))];
    setters.extend(attributes);
    setters.push(text(ATTR_USERNAME, &user.name));
    setters.push(text(ATTR_REALM, REALM));
    setters.push(text(ATTR_NONCE, nonce));
    let (name, password) = (user.name.clone(), user.password.clone());
    setters.push(Box::new(MessageIntegrity::new_long_term_integrity(name, REALM.to_owned(), password)));
    build(setters)
}

/// Opens a socket for the generator, with buffers so large that it does not lose packets itself.
///
/// # Errors
/// socket(2) or bind(2) fails.
pub(crate) fn open(ip: IpAddr, gro: bool) -> anyhow::Result<BatchUdpSocket> {
    let options =
        UdpOptions { gro, buffers: Some(8 << 20), clear_dont_fragment: false, icmp_errors: false, ..UdpOptions::relayed() };
    Ok(BatchUdpSocket::bind(SocketAddr::new(ip, 0), &options)?)
}

/// Sends one datagram.
pub(crate) fn send(socket: &BatchUdpSocket, to: SocketAddr, bytes: &[u8]) {
    let mut outbox = Outbox::new();
    outbox.push_bytes(PacketRoute { socket: 0, to, from: None, dont_fragment: false }, bytes);
    outbox.flush(&Inbox::with_slots(0), |_| Some(socket), |_| ());
}

fn exchange(socket: &BatchUdpSocket, server: SocketAddr, request: &Message) -> anyhow::Result<Message> {
    let mut poller = Poller::new()?;
    poller.add(socket, 0, Interest::Read)?;
    let mut inbox = Inbox::with_slots(1);
    for _ in 0..TRIES {
        send(socket, server, &request.raw);
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            poller.wait(Some(end.saturating_duration_since(Instant::now())))?;
            inbox.receive(socket)?;
            for segment in inbox.datagrams().iter().flat_map(|datagram| datagram.segments()) {
                if let Ok(reply) = parse(inbox.bytes(segment))
                    && reply.transaction_id == request.transaction_id
                {
                    return Ok(reply);
                }
            }
        }
    }
    bail!("{server} does not answer {}", request.typ)
}

struct Raw(AttrType, Vec<u8>);

impl Setter for Raw {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

struct Peer(SocketAddr);

impl Setter for Peer {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        XorMappedAddress { ip: self.0.ip(), port: self.0.port() }.add_to_as(message, ATTR_XOR_PEER_ADDRESS)
    }
}
