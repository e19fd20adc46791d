//! The PROXY protocol, versions 1 and 2: what a proxy that passes bytes on says first. Only trusted ones are asked.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::net::TcpStream;

use super::detect;

const VERSION_1: &[u8] = b"PROXY ";
/// Bytes of a header of version 1, its end of line included.
const LONGEST_1: usize = 107;

/// What has come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Something else: the proxy speaks for itself, or HTTP.
    Nothing,
    /// A header of so many bytes; a proxy that speaks for itself (health checks) names no client.
    Header(usize, Option<SocketAddr>),
    Broken,
}

/// The client that the header names; `None` where there is no header, or no client in it. The header is consumed, and not a byte
/// more.
///
/// # Errors
/// The connection ends, or the header is broken.
pub(super) async fn read_header(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
    match detect::peek(stream, look).await? {
        Seen::Nothing => Ok(None),
        Seen::Header(len, client) => {
            let mut header = vec![0; len];
            let read = stream.try_read(&mut header)?;
            if read == len { Ok(client) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Seen::Broken => Err(io::Error::new(io::ErrorKind::InvalidData, "a PROXY header that can't be read")),
    }
}

/// `None`: more is needed to tell.
fn look(bytes: &[u8]) -> Option<Seen> {
    let begins = |whole: &[u8]| bytes.starts_with(whole) || whole.starts_with(bytes);
    if !begins(VERSION_1) && !begins(v2::PROTOCOL_PREFIX) {
        return Some(Seen::Nothing);
    }
    if bytes.len() < VERSION_1.len() {
        return None;
    }
    let header = HeaderResult::parse(bytes);
    // Half of an address of version 1 would look like a wrong one, and a line that lacks something like half of it.
    let whole =
        if bytes.starts_with(VERSION_1) { bytes.contains(&b'\n') || bytes.len() >= LONGEST_1 } else { header.is_complete() };
    if !whole {
        return None;
    }
    Some(match header {
        HeaderResult::V1(Ok(header)) => Seen::Header(
            header.header.len(),
            match header.addresses {
                v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Unknown => None,
            },
        ),
        HeaderResult::V2(Ok(header)) => Seen::Header(
            header.len(),
            match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
                v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
            },
        ),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Seen::Broken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: v2::Command) -> Vec<u8> {
        let addresses: (SocketAddr, SocketAddr) = ("192.0.2.9:5".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
        let builder = v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, addresses);
        builder.write_tlv(v2::Type::NoOp, b"more").unwrap().build().unwrap()
    }

    #[test]
    fn both_versions_name_the_client_and_their_own_length() {
        let (v4, v6) = (b"PROXY TCP4 192.0.2.9 192.0.2.1 5 443\r\n", b"PROXY TCP6 2001:db8::9 2001:db8::1 5 443\r\n");
        let second = version_2(v2::Command::Proxy);
        for (header, client) in [(v4.to_vec(), "192.0.2.9:5"), (v6.to_vec(), "[2001:db8::9]:5"), (second, "192.0.2.9:5")] {
            for len in 1..header.len() {
                assert_eq!(look(&header[..len]), None, "{len} of {header:?}");
            }
            let expected = Some(Seen::Header(header.len(), Some(client.parse().unwrap())));
            for after in ["", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
                assert_eq!(look(&[&header, after.as_bytes()].concat()), expected);
            }
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let local = version_2(v2::Command::Local);
        assert_eq!(look(&local), Some(Seen::Header(local.len(), None)));
        let unknown = b"PROXY UNKNOWN\r\n";
        assert_eq!(look(unknown), Some(Seen::Header(unknown.len(), None)));
        for other in [&b"GET / HTTP/1.1"[..], b"POST /", b"PRI *", b"\x16\x03\x01", b"\x00\x01", b"\r\n\r\nGET"] {
            assert_eq!(look(other), Some(Seen::Nothing), "{other:?}");
        }
    }

    #[test]
    fn a_broken_header_is_one() {
        for broken in [
            &b"PROXY TCP4 x y 1 2\r\n"[..],
            b"PROXY TCP4 x y\r\n",
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
            &[b"PROXY "[..].to_vec(), vec![b'1'; 110]].concat(),
            b"\r\n\r\n\0\r\nQUIT\n\x91\x11\0\0",
        ] {
            assert_eq!(look(broken), Some(Seen::Broken), "{broken:?}");
        }
    }
}
