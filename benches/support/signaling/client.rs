//! A client over a raw WebSocket.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rustls::ClientConfig;

use super::role::{Heard, Role};
use super::stamp::find;
use super::stream::{self, Stream};
use super::{addresses, apprtc, frames, http, stamp};

/// How long a server may take to read what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) stream: Stream,
    pub(crate) role: Role,
    number: usize,
    /// What the client says as soon as it has a WebSocket.
    first: Option<Vec<u8>>,
    /// Bytes of an incomplete frame, or of the response to the handshake.
    received: Vec<u8>,
    upgraded: bool,
    frame: Vec<u8>,
    /// The measured message.
    message: Vec<u8>,
}

impl Client {
    /// Connects from an address of its own, because servers limit what one address may do, and asks for a WebSocket.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub(crate) fn connect(
        server: SocketAddr,
        number: usize,
        role: Role,
        tls: Option<&Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let first = match role {
            Role::Caller => Some(apprtc::join(server, addresses::of_client(number), number)?.into_bytes()),
            Role::Idle | Role::Tv | Role::Caster | Role::Owner | Role::Guest => None,
        };
        Self::connect_at(server, number, role, &role.path(number), first, tls)
    }

    /// Connects to `path`, and says `first` as soon as it has a WebSocket.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub(crate) fn connect_at(
        server: SocketAddr,
        number: usize,
        role: Role,
        path: &str,
        first: Option<Vec<u8>>,
        tls: Option<&Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let mut stream = Stream::new(stream::connect(server, addresses::of_client(number))?, tls)?;
        stream.write_all(&http::websocket_request(path, server))?;
        stream.flush()?;
        stream.set_nonblocking()?;
        Ok(Self { stream, role, number, first, received: Vec::new(), upgraded: false, frame: Vec::new(), message: Vec::new() })
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The server has ended the connection, or does not read.
    pub(crate) fn send(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.frame.clear();
        frames::push_text(&mut self.frame, text);
        let (mut sent, begun) = (0, Instant::now());
        while sent < self.frame.len() {
            match self.stream.write(&self.frame[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(begun.elapsed() < SEND_TIMEOUT, "the server does not read");
                    std::thread::yield_now();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes the measured message, of about `len` bytes.
    pub(crate) fn prepare_message(&mut self, len: usize) {
        self.message = self.role.message(self.number, len);
    }

    /// Sends the measured message with this stamp.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) fn send_message(&mut self, nanos: u64) -> anyhow::Result<()> {
        let mut message = std::mem::take(&mut self.message);
        stamp::write(&mut message, nanos)?;
        let sent = self.send(&message);
        self.message = message;
        sent
    }

    /// Reads what has come, into `buffer` first, and adds what it means to `heard`.
    ///
    /// # Errors
    /// The server has ended the connection, or has refused something.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], heard: &mut Vec<Heard>) -> anyhow::Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the server has ended the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut earlier = std::mem::take(&mut self.received);
            let bytes = if earlier.is_empty() {
                &buffer[..read]
            } else {
                earlier.extend_from_slice(&buffer[..read]);
                &earlier
            };
            let used = self.handle(bytes, heard)?;
            self.received = bytes[used..].to_vec();
            if read < buffer.len() && self.stream.is_empty_after_short_read() {
                return Ok(());
            }
        }
    }

    /// Returns how many bytes were complete.
    fn handle(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) -> anyhow::Result<usize> {
        let mut used = 0;
        if !self.upgraded {
            let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(0) };
            ensure!(bytes.starts_with(b"HTTP/1.1 101"), "the server answered {}", String::from_utf8_lossy(&bytes[..end]));
            self.upgraded = true;
            used = end + 4;
            if let Some(first) = self.first.take() {
                self.send(&first)?;
                if self.role == Role::Caller {
                    // Collider does not answer a registration.
                    heard.push(Heard::Connected);
                }
            }
        }
        while let Some((payload, len)) = frames::first(&bytes[used..]) {
            used += len;
            let reaction = self.role.react(self.number, payload)?;
            if let Some(answer) = reaction.answer {
                self.send(&answer)?;
            }
            if reaction.heard != Heard::Other {
                heard.push(reaction.heard);
            }
        }
        Ok(used)
    }
}
