//! Detects the protocol of a connection by its first byte. Each protocol's own parser checks the rest.

use std::io;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Tls,
    /// STUN or TURN.
    Turn,
    Unknown,
}

/// Bytes that are looked at: a PROXY header with a few extensions.
const MAX_PEEK_BYTES: usize = 2048;

/// Waits for the first byte, and leaves it in the socket.
///
/// # Errors
/// recv(2) fails, or the client has closed the connection.
pub(super) async fn first(stream: &TcpStream) -> io::Result<Protocol> {
    peek(stream, |bytes| Some(protocol(bytes.first()))).await
}

/// A connection can't begin with ChannelData, which needs an allocation first. So letters begin the method of an HTTP request, although
/// half of them could begin a channel number too.
pub(super) fn protocol(first: Option<&u8>) -> Protocol {
    match first {
        Some(0x16) => Protocol::Tls,
        // RFC 8489 §5: the first two bits of STUN are 0. 0x40 begins ChannelData (RFC 8656 §12), which the relay refuses.
        Some(0..=0x40) => Protocol::Turn,
        Some(byte) if byte.is_ascii_alphabetic() => Protocol::Http,
        Some(_) | None => Protocol::Unknown,
    }
}

/// Passes the bytes that have come to `decide`, without consuming them, until it returns `Some`. It never gets an empty slice.
///
/// # Errors
/// recv(2) fails, or the client has closed the connection before the decision.
pub(super) async fn peek<T>(stream: &TcpStream, decide: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let seen = stream.try_io(Interest::READABLE, || {
            let mut buffer = [0; MAX_PEEK_BYTES];
            let (len, _) = rustix::net::recv(stream, &mut buffer, RecvFlags::PEEK)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // `WouldBlock` makes tokio wait for more bytes.
            decide(&buffer[..len])
                .ok_or_else(|| if len == MAX_PEEK_BYTES { too_long() } else { io::ErrorKind::WouldBlock.into() })
        });
        match seen {
            // The client has closed its side: tokio would report the socket as readable forever.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            seen => return seen,
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the PROXY header is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PRI", "PROXY", "get"] {
            assert_eq!(protocol(method.as_bytes().first()), Protocol::Http, "{method}");
        }
        for stun in [0x00, 0x01, 0x3F, 0x40] {
            assert_eq!(protocol(Some(&stun)), Protocol::Turn, "{stun:#x}");
        }
        assert_eq!(protocol(Some(&0x16)), Protocol::Tls);
        for other in [0x5B, 0x80, 0xFF] {
            assert_eq!(protocol(Some(&other)), Protocol::Unknown, "{other:#x}");
        }
        assert_eq!(protocol(None), Protocol::Unknown);
    }
}
