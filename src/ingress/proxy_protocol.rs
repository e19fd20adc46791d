//! The PROXY protocol, versions 1 and 2: the header in which a proxy names the client of a connection that it passes on. It is read from
//! trusted proxies only.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::net::TcpStream;

use super::detect;

const VERSION_1_PREFIX: &[u8] = b"PROXY ";
/// Bytes of a header of version 1, its end of line included.
const MAX_VERSION_1_BYTES: usize = 107;

/// The header at the beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// The connection begins with another protocol: the proxy sends no header.
    Absent,
    /// The header has `len` bytes. It names no client where the proxy itself is the client (health checks).
    Present {
        len: usize,
        client: Option<SocketAddr>,
    },
    Malformed,
}

/// The client that the header names; `None` without a header, or if it names no client. Consumes exactly the header.
///
/// # Errors
/// The connection ends, or the header is malformed.
pub(super) async fn read_header(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
    match detect::peek(stream, parse).await? {
        Header::Absent => Ok(None),
        Header::Present { len, client } => {
            let mut header = vec![0; len];
            let read = stream.try_read(&mut header)?;
            if read == len { Ok(client) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Header::Malformed => Err(io::Error::new(io::ErrorKind::InvalidData, "the PROXY header is malformed")),
    }
}

/// `None`: more bytes are needed to decide.
fn parse(bytes: &[u8]) -> Option<Header> {
    let begins = |whole: &[u8]| bytes.starts_with(whole) || whole.starts_with(bytes);
    if !begins(VERSION_1_PREFIX) && !begins(v2::PROTOCOL_PREFIX) {
        return Some(Header::Absent);
    }
    if bytes.len() < VERSION_1_PREFIX.len() {
        return None;
    }
    let header = HeaderResult::parse(bytes);
    // In version 1 the first half of an address would be taken for a wrong address, so the whole line is awaited.
    let whole = if bytes.starts_with(VERSION_1_PREFIX) {
        bytes.contains(&b'\n') || bytes.len() >= MAX_VERSION_1_BYTES
    } else {
        header.is_complete()
    };
    if !whole {
        return None;
    }
    Some(match header {
        HeaderResult::V1(Ok(header)) => Header::Present {
            len: header.header.len(),
            client: match header.addresses {
                v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Unknown => None,
            },
        },
        HeaderResult::V2(Ok(header)) => Header::Present {
            len: header.len(),
            client: match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
                v2::Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
            },
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Header::Malformed,
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
                assert_eq!(parse(&header[..len]), None, "{len} of {header:?}");
            }
            let expected = Some(Header::Present { len: header.len(), client: Some(client.parse().unwrap()) });
            for after in ["", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
                assert_eq!(parse(&[&header, after.as_bytes()].concat()), expected);
            }
        }
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        let local = version_2(v2::Command::Local);
        assert_eq!(parse(&local), Some(Header::Present { len: local.len(), client: None }));
        let unknown = b"PROXY UNKNOWN\r\n";
        assert_eq!(parse(unknown), Some(Header::Present { len: unknown.len(), client: None }));
        for other in [&b"GET / HTTP/1.1"[..], b"POST /", b"PRI *", b"\x16\x03\x01", b"\x00\x01", b"\r\n\r\nGET"] {
            assert_eq!(parse(other), Some(Header::Absent), "{other:?}");
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
            assert_eq!(parse(broken), Some(Header::Malformed), "{broken:?}");
        }
    }
}
