//! A TURN client over TCP or TLS, which never blocks once it has its channel.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustls::ClientConnection;
use stun::message::{CLASS_SUCCESS_RESPONSE, Message};

use crate::client::{self, User};
use crate::support::certificate::Certificate;

const TIMEOUT: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes that wait for the server, at most. Packets beyond them are lost, as those of a camera are.
const MAX_UNWRITTEN_BYTES: usize = 256 << 10;
/// Bytes of plaintext in a TLS record, at most.
const MAX_RECORD_BYTES: usize = 16 << 10;
const STUN_HEADER_BYTES: usize = 20;
const CHANNEL_HEADER_BYTES: usize = 4;

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamTransport {
    Tcp,
    Tls,
}

/// A client with an allocation.
pub(crate) struct StreamClient {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    unwritten: Vec<u8>,
    /// The beginning of a message that has not come completely.
    unread: Vec<u8>,
    buffer: Vec<u8>,
    pub(crate) relayed: SocketAddr,
    user: User,
    nonce: String,
}

impl StreamClient {
    /// Opens an allocation, over TLS if there is a certificate.
    ///
    /// # Errors
    /// The server refuses or does not answer.
    pub(crate) fn allocate(server: SocketAddr, certificate: Option<&Certificate>, user: User) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(server).with_context(|| format!("{server} over TCP"))?;
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        let tls = certificate.map(Certificate::client).transpose()?.map(Box::new);
        let relayed = SocketAddr::from(([0; 4], 0));
        let (unwritten, unread, buffer) = (Vec::new(), Vec::new(), vec![0; BUFFER_BYTES]);
        let mut client = Self { tcp, tls, unwritten, unread, buffer, relayed, user, nonce: String::new() };
        client.nonce = client::nonce(&client.exchange(&client::first_allocate()?)?)?;
        let reply = client.exchange(&client::allocate(&client.user, &client.nonce)?)?;
        client.relayed = client::relayed(&reply)?;
        Ok(client)
    }

    /// # Errors
    /// The server refuses or does not answer.
    pub(crate) fn bind_channel(&mut self, channel: u16, peer: SocketAddr) -> anyhow::Result<()> {
        let reply = self.exchange(&client::channel_bind(&self.user, &self.nonce, channel, peer)?)?;
        ensure!(reply.typ.class == CLASS_SUCCESS_RESPONSE, "a channel was refused: {reply}");
        Ok(())
    }

    fn exchange(&mut self, request: &Message) -> anyhow::Result<Message> {
        self.push(&request.raw);
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            self.flush()?;
            let mut answer = None;
            self.receive(|bytes| {
                answer =
                    client::parse(bytes).ok().filter(|reply| reply.transaction_id == request.transaction_id).or(answer.take());
            })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        bail!("no answer to {} over TCP", request.typ)
    }

    /// Queues a message whose length is a multiple of four bytes. It is lost if the server takes too little.
    pub(crate) fn push(&mut self, message: &[u8]) {
        if self.unwritten.len() + message.len() <= MAX_UNWRITTEN_BYTES {
            self.unwritten.extend_from_slice(message);
        }
    }

    /// Writes what the server takes of the queued messages. Those that are queued together share TLS records.
    ///
    /// # Errors
    /// The server has ended the connection.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let Self { tcp, tls, unwritten, .. } = self;
        let mut written = 0;
        let result = loop {
            let result = match tls {
                Some(tls) if tls.wants_write() => tls.write_tls(tcp).map(|_| ()),
                // The request waits for the handshake.
                Some(tls) if tls.is_handshaking() || written == unwritten.len() => break Ok(()),
                Some(tls) => {
                    let record = &unwritten[written..];
                    tls.writer().write(&record[..record.len().min(MAX_RECORD_BYTES)]).map(|len| written += len)
                }
                None if written == unwritten.len() => break Ok(()),
                None => tcp.write(&unwritten[written..]).map(|len| written += len),
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        unwritten.drain(..written);
        Ok(result?)
    }

    /// Reads what has come, and calls `on_message` for each complete message.
    ///
    /// # Errors
    /// The server has ended the connection, or breaks TLS.
    pub(crate) fn receive(&mut self, mut on_message: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let Self { tcp, tls, unread, buffer, .. } = self;
        let read = match tcp.read(buffer) {
            Ok(0) => bail!("the server has ended the connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match tls {
            None => unread.extend_from_slice(&buffer[..read]),
            Some(tls) => {
                let mut encrypted = &buffer[..read];
                while !encrypted.is_empty() {
                    ensure!(tls.read_tls(&mut encrypted)? > 0, "the server has ended TLS");
                    tls.process_new_packets()?;
                    match tls.reader().read_to_end(unread) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        let mut at = 0;
        while let Some(len) = message_len(&unread[at..]).filter(|len| at + len <= unread.len()) {
            on_message(&unread[at..at + len]);
            at += len;
        }
        unread.drain(..at);
        Ok(())
    }
}

/// The length of the first message with its padding, if it has begun.
fn message_len(bytes: &[u8]) -> Option<usize> {
    let [kind, _, high, low] = *bytes.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let is_channel_data = kind & 0xC0 == 0x40;
    Some(if is_channel_data { (CHANNEL_HEADER_BYTES + len).next_multiple_of(4) } else { STUN_HEADER_BYTES + len })
}
