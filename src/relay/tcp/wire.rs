//! What carries a connection's bytes: TCP, or TLS over it, without ever waiting.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustls::ServerConnection;

use crate::turn::Transport;
use crate::turn::codec::framing::{Frame, next_frame};

/// The most plaintext in a TLS record. Little more than that waits encrypted, so that the bounds of the queue in front hold.
const RECORD: usize = 16 * 1024;
/// The most plaintext that one read from the socket can lead to: a record that was almost whole, and 4 KiB more.
const AT_ONCE: usize = 2 * RECORD;

/// A non-blocking connection.
#[derive(Debug)]
pub enum Wire {
    Tcp(TcpStream),
    /// After the handshake; what was decrypted already counts as not read yet.
    Tls(TcpStream, Box<ServerConnection>),
}

impl Wire {
    pub(in crate::relay) const fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(..) => Transport::Tls,
        }
    }

    /// As of read(2). All that was decrypted is returned, so that the socket alone tells whether there is more.
    ///
    /// # Errors
    /// Of read(2), `WouldBlock` among them; `InvalidData` where the client breaks TLS.
    ///
    /// # Panics
    /// Never, with a buffer of 32 KiB or more.
    pub(in crate::relay) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (tcp, connection) = match self {
            Self::Tcp(tcp) => return tcp.read(buffer),
            Self::Tls(tcp, connection) => (tcp, connection),
        };
        let mut len = 0;
        loop {
            match connection.reader().read(&mut buffer[len..]) {
                Ok(0) => return Ok(len),
                Ok(more) => {
                    len += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end without a farewell: frames tell by themselves whether something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(len),
                Err(error) => return Err(error),
            }
            if buffer.len() - len < AT_ONCE {
                return Ok(len);
            }
            match connection.read_tls(tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && len > 0 => return Ok(len),
                Err(error) => return Err(error),
            }
            if let Err(error) = connection.process_new_packets() {
                // The client is told why.
                let _ = connection.write_tls(tcp);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    /// As of write(2), but that with nothing to write what is encrypted already goes out: see [`Self::holds_back`].
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_records(bytes, <[u8]>::len)
    }

    /// [`Self::write`] with a TLS record for each message: some clients take one for the other (coturn's).
    ///
    /// # Errors
    /// Of write(2), `WouldBlock` among them.
    pub(in crate::relay) fn write_messages(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_records(bytes, |rest| if let Frame::Whole(len) = next_frame(rest) { len } else { rest.len() })
    }

    fn write_records(&mut self, bytes: &[u8], record: impl Fn(&[u8]) -> usize) -> io::Result<usize> {
        let (tcp, connection) = match self {
            Self::Tcp(tcp) => return tcp.write(bytes),
            Self::Tls(tcp, connection) => (tcp, connection),
        };
        let mut taken = 0;
        loop {
            while connection.wants_write() {
                match connection.write_tls(tcp) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => return Ok(taken),
                    Err(error) => return Err(error),
                }
            }
            if taken > 0 || bytes.is_empty() {
                return Ok(taken);
            }
            while taken < RECORD.min(bytes.len()) {
                let rest = &bytes[taken..];
                taken += connection.writer().write(&rest[..record(rest).min(RECORD)])?;
            }
        }
    }

    /// Tells the other end that nothing more comes; it may go on to send.
    ///
    /// # Errors
    /// Of shutdown(2).
    pub(in crate::relay) fn finish(&mut self) -> io::Result<()> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tcp, connection) => {
                connection.send_close_notify();
                while connection.wants_write() {
                    match connection.write_tls(tcp) {
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

    /// Whether something was taken that has not been written.
    pub(in crate::relay) fn holds_back(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(_, connection) => connection.wants_write(),
        }
    }

    /// Whether the client has said that it is done, which closes no socket.
    pub(in crate::relay) fn has_ended(&mut self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(_, connection) => connection.process_new_packets().is_ok_and(|state| state.peer_has_closed()),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) | Self::Tls(tcp, _) => tcp.as_fd(),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(tcp, connection) = self {
            connection.send_close_notify();
            // Where there is no room for it, the end of the connection says the same.
            let _ = connection.write_tls(tcp);
        }
    }
}
