//! A connection whose calls never block: TCP, or TLS over TCP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustls::ServerConnection;

use crate::turn::Transport;
use crate::turn::codec::framing::{StreamFrame, next_frame};

/// Bytes of plaintext in a TLS record, at most. Little more than that waits encrypted, so the bounds of the queue in front of it
/// hold.
const MAX_RECORD_BYTES: usize = 16 * 1024;
/// Bytes of plaintext that one read from the socket can lead to, at most: an almost complete record, and 4 KiB more.
const MAX_BYTES_A_SOCKET_READ: usize = 2 * MAX_RECORD_BYTES;

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
}

impl NonBlockingConnection {
    /// A connection whose TLS handshake is complete.
    #[must_use]
    pub fn tls(tcp: TcpStream, tls: ServerConnection) -> Self {
        Self::Tls(TlsConnection { tcp, tls: Box::new(tls) })
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
    /// Never, with a buffer of 32 KiB or more.
    pub(in crate::relay) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (tcp, tls) = match self {
            Self::Tcp(tcp) => return tcp.read(buffer),
            Self::Tls(TlsConnection { tcp, tls }) => (tcp, tls),
        };
        let mut len = 0;
        loop {
            match tls.reader().read(&mut buffer[len..]) {
                Ok(0) => return Ok(len),
                Ok(more) => {
                    len += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end without a close_notify: the framing of TURN shows whether something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(len),
                Err(error) => return Err(error),
            }
            if buffer.len() - len < MAX_BYTES_A_SOCKET_READ {
                return Ok(len);
            }
            match tls.read_tls(tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && len > 0 => return Ok(len),
                Err(error) => return Err(error),
            }
            if let Err(error) = tls.process_new_packets() {
                // Sends the alert.
                let _ = tls.write_tls(tcp);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    /// Like write(2). With no bytes, it writes the bytes that are encrypted already: see [`Self::has_unwritten_tls`].
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_records(bytes, <[u8]>::len)
    }

    /// [`Self::write`] with a TLS record for each message, because some clients (coturn's) expect a message in each record.
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write_messages(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_records(bytes, |rest| if let StreamFrame::Complete(len) = next_frame(rest) { len } else { rest.len() })
    }

    fn write_records(&mut self, bytes: &[u8], record: impl Fn(&[u8]) -> usize) -> io::Result<usize> {
        let (tcp, tls) = match self {
            Self::Tcp(tcp) => return tcp.write(bytes),
            Self::Tls(TlsConnection { tcp, tls }) => (tcp, tls),
        };
        let mut taken = 0;
        loop {
            while tls.wants_write() {
                match tls.write_tls(tcp) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => return Ok(taken),
                    Err(error) => return Err(error),
                }
            }
            if taken > 0 || bytes.is_empty() {
                return Ok(taken);
            }
            while taken < MAX_RECORD_BYTES.min(bytes.len()) {
                let rest = &bytes[taken..];
                taken += tls.writer().write(&rest[..record(rest).min(MAX_RECORD_BYTES)])?;
            }
        }
    }

    /// Closes the direction to the other end, which may go on sending.
    ///
    /// # Errors
    /// Of shutdown(2).
    pub(in crate::relay) fn finish(&mut self) -> io::Result<()> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(TlsConnection { tcp, tls }) => {
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

    /// Whether the other end has sent a close_notify, which does not close the socket.
    pub(in crate::relay) fn has_ended(&mut self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(TlsConnection { tls, .. }) => tls.process_new_packets().is_ok_and(|state| state.peer_has_closed()),
        }
    }
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
