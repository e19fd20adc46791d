//! What a connection speaks, by its first byte. Each protocol's own parser looks at the rest.

use std::io;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Tls,
    /// STUN, TURN.
    Turn,
    Unknown,
}

/// The most that is looked at: a PROXY header with a few extras.
const MOST: usize = 2048;

/// Waits for the first byte, and leaves it there.
///
/// # Errors
/// Of recv(2); the client has left.
pub(super) async fn first(stream: &TcpStream) -> io::Result<Protocol> {
    peek(stream, |bytes| Some(told(bytes.first()))).await
}

/// A connection can't begin with ChannelData, which would need an allocation first. So letters, half of which are channel
/// numbers too, begin the method of an HTTP request.
pub(super) fn told(first: Option<&u8>) -> Protocol {
    match first {
        Some(0x16) => Protocol::Tls,
        // The first two bits of STUN are 0 (RFC 8489 §5); 0x40 is ChannelData, for the relay to refuse.
        Some(0..=0x40) => Protocol::Turn,
        Some(byte) if byte.is_ascii_alphabetic() => Protocol::Http,
        Some(_) | None => Protocol::Unknown,
    }
}

/// Shows what has come to `judge`, consuming nothing, until that has seen enough. It is not asked about nothing.
///
/// # Errors
/// Of recv(2); the client has left before there was enough.
pub(super) async fn peek<T>(stream: &TcpStream, judge: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let seen = stream.try_io(Interest::READABLE, || {
            let mut buffer = [0; MOST];
            let (len, _) = rustix::net::recv(stream, &mut buffer, RecvFlags::PEEK)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // `WouldBlock` has the next bytes waited for.
            judge(&buffer[..len]).ok_or_else(|| if len == MOST { too_long() } else { io::ErrorKind::WouldBlock.into() })
        });
        match seen {
            // Nothing more will come, and that would be reported for ever.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            seen => return seen,
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a PROXY header that is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PRI", "PROXY", "get"] {
            assert_eq!(told(method.as_bytes().first()), Protocol::Http, "{method}");
        }
        for stun in [0x00, 0x01, 0x3F, 0x40] {
            assert_eq!(told(Some(&stun)), Protocol::Turn, "{stun:#x}");
        }
        assert_eq!(told(Some(&0x16)), Protocol::Tls);
        for other in [0x5B, 0x80, 0xFF] {
            assert_eq!(told(Some(&other)), Protocol::Unknown, "{other:#x}");
        }
        assert_eq!(told(None), Protocol::Unknown);
    }
}
