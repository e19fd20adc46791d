//! A connection whose calls never block: TCP, or TLS over TCP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustls::ServerConnection;

use crate::turn::Transport;
use crate::turn::codec::framing::{StreamFrame, next_frame};

/// Bytes of plaintext in a TLS record, at most.
pub(super) const MAX_RECORD_BYTES: usize = 16 * 1024;
/// Bytes that are encrypted for one write, at most, and so the bytes that wait encrypted.
pub(super) const MAX_ENCRYPTED_BYTES: usize = 64 * 1024;
/// What a record costs beside its plaintext: its header, its tag, and the vector that it waits in.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// A connection whose calls never block.
#[derive(Debug)]
pub enum NonBlockingConnection {
    Tcp(TcpStream),
    Tls(TlsConnection),
}

/// TLS after the handshake. What it has decrypted already is read first.
#[derive(Debug)]
pub struct TlsConnection {
    tcp: TcpStream,
    tls: Box<ServerConnection>,
    /// Bytes that are encrypted and not written, with [`RECORD_OVERHEAD_BYTES`] for each record.
    encrypted: usize,
    /// Each message has a record of its own. coturn's clients take what one record holds for one message. They offer HTTP/1.1 and TURN
    /// by ALPN, as others may that expect the same; browsers offer nothing.
    message_a_record: bool,
}

impl NonBlockingConnection {
    /// A connection whose TLS handshake is complete.
    #[must_use]
    pub fn tls(tcp: TcpStream, mut tls: ServerConnection) -> Self {
        // `write_records` has the bound, which counts what a record costs.
        tls.set_buffer_limit(None);
        let message_a_record = tls.alpn_protocol().is_some();
        Self::Tls(TlsConnection { tcp, tls: Box::new(tls), encrypted: 0, message_a_record })
    }

    /// The first byte that waits to be read, which is left there; `None` at the end of the stream, and with TLS.
    ///
    /// # Errors
    /// Of recv(2), `WouldBlock` among them.
    pub(in crate::relay) fn peek_first_byte(&self) -> io::Result<Option<u8>> {
        let Self::Tcp(tcp) = self else { return Ok(None) };
        let mut byte = [0];
        Ok((tcp.peek(&mut byte)? > 0).then_some(byte[0]))
    }

    /// The socket, where there is no TLS.
    pub(in crate::relay) fn into_tcp(self) -> Option<TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(_) => None,
        }
    }

    pub(in crate::relay) const fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }

    /// Like read(2). Returns everything that is decrypted, so that the socket alone tells whether more can be read.
    ///
    /// # Errors
    /// Of read(2), `WouldBlock` among them; `InvalidData` where the client breaks TLS.
    ///
    /// # Panics
    /// Never, with a buffer of 64 KiB or more.
    pub(in crate::relay) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Tls(connection) => connection.read(buffer),
        }
    }

    /// Like write(2). With no bytes, it writes the bytes that are encrypted already: see [`Self::has_unwritten_tls`].
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Tls(connection) => connection.write_records(bytes, <[u8]>::len),
        }
    }

    /// [`Self::write`] of whole messages. With TLS, as many of them as fit are in a record, or one for clients that expect that.
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write_messages(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Tls(connection) if connection.message_a_record => connection.write_records(bytes, first_message),
            Self::Tls(connection) => connection.write_records(bytes, messages_of_a_record),
        }
    }

    /// Closes the direction to the other end, which may go on sending.
    ///
    /// # Errors
    /// Of shutdown(2).
    pub(in crate::relay) fn finish(&mut self) -> io::Result<()> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(TlsConnection { tcp, tls, .. }) => {
                tls.send_close_notify();
                while tls.wants_write() {
                    match tls.write_tls(tcp) {
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                tcp
            }
        };
        tcp.shutdown(Shutdown::Write)
    }

    /// Whether TLS has encrypted bytes that have not been written.
    pub(in crate::relay) fn has_unwritten_tls(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(TlsConnection { tls, .. }) => tls.wants_write(),
        }
    }

    /// Bytes that have been encrypted but not written, about.
    pub(in crate::relay) fn encrypted_bytes(&self) -> usize {
        match self {
            Self::Tls(TlsConnection { tls, encrypted, .. }) if tls.wants_write() => *encrypted,
            Self::Tcp(_) | Self::Tls(_) => 0,
        }
    }

    /// Whether the other end has sent a close_notify, which does not close the socket.
    pub(in crate::relay) fn has_ended(&mut self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(TlsConnection { tls, .. }) => tls.process_new_packets().is_ok_and(|state| state.peer_has_closed()),
        }
    }
}

impl TlsConnection {
    /// Reads once from the socket. The bytes as they were received are in the second half of `buffer`, where the decrypted ones in front
    /// of them never come to: those are fewer, except for an incomplete record of 16 KiB from earlier reads.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut len, mut has_ended) = self.take_decrypted(buffer)?;
        if len > 0 || has_ended {
            return Ok(len);
        }
        let mut at = buffer.len() / 2;
        let end = at + self.tcp.read(&mut buffer[at..])?;
        loop {
            // rustls takes 4 KiB at a time. An empty read tells it of the end.
            at += self.tls.read_tls(&mut &buffer[at..end])?;
            if let Err(error) = self.tls.process_new_packets() {
                // Sends the alert.
                let _ = self.tls.write_tls(&mut self.tcp);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            let more;
            (more, has_ended) = self.take_decrypted(&mut buffer[len..at])?;
            len += more;
            if has_ended || at == end {
                break;
            }
        }
        if len > 0 || has_ended { Ok(len) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Takes what is decrypted. Returns its length, and whether nothing will follow.
    fn take_decrypted(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        let mut len = 0;
        while len < buffer.len() {
            match self.tls.reader().read(&mut buffer[len..]) {
                Ok(0) => return Ok((len, true)),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The end without a close_notify: the framing of TURN shows whether something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((len, true)),
                Err(error) => return Err(error),
            }
        }
        Ok((len, false))
    }

    /// Writes records together; `record` tells how many of the bytes that remain are in the next one.
    fn write_records(&mut self, bytes: &[u8], record: impl Fn(&[u8]) -> usize) -> io::Result<usize> {
        let Self { tcp, tls, encrypted, .. } = self;
        let mut taken = 0;
        loop {
            while tls.wants_write() {
                match tls.write_tls(tcp) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(len) => *encrypted = encrypted.saturating_sub(len),
                    // What is encrypted already must not be encrypted again.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => return Ok(taken),
                    Err(error) => return Err(error),
                }
            }
            if taken > 0 || bytes.is_empty() {
                return Ok(taken);
            }
            *encrypted = 0;
            while taken < bytes.len() && *encrypted < MAX_ENCRYPTED_BYTES {
                let rest = &bytes[taken..];
                let len = tls.writer().write(&rest[..record(rest).min(MAX_RECORD_BYTES)])?;
                taken += len;
                *encrypted += len + RECORD_OVERHEAD_BYTES;
            }
        }
    }
}

/// The length of the first message, or of what remains of one.
fn first_message(bytes: &[u8]) -> usize {
    if let StreamFrame::Complete(len) = next_frame(bytes) { len } else { bytes.len() }
}

/// The length of the messages that a record can hold, or of one that is longer.
fn messages_of_a_record(bytes: &[u8]) -> usize {
    let mut len = first_message(bytes);
    while len < bytes.len() {
        let with_next = len + first_message(&bytes[len..]);
        if with_next > MAX_RECORD_BYTES {
            break;
        }
        len = with_next;
    }
    len
}

impl AsFd for NonBlockingConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) | Self::Tls(TlsConnection { tcp, .. }) => tcp.as_fd(),
        }
    }
}

impl Drop for TlsConnection {
    fn drop(&mut self) {
        self.tls.send_close_notify();
        // Where the socket has no room for a close_notify, closing the connection has the same effect.
        let _ = self.tls.write_tls(&mut self.tcp);
    }
}
