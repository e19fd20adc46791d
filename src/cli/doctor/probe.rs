//! Small questions to a port: does it take a connection, does it answer STUN, who answers HTTP?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::tls;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Packets of one question over UDP, and how long each waits for the answer.
const UDP_TRIES: usize = 4;
const UDP_TIMEOUT: Duration = Duration::from_millis(700);
/// Bytes of an HTTP response that are read at most.
const MAX_RESPONSE_BYTES: u64 = 16 * 1024;
/// RFC 8489 §5: the type of a Binding request, no attributes, the magic cookie.
const BINDING_REQUEST: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];

/// The addresses by which this machine reaches a listener: loopback for a wildcard, where `[::]` takes IPv4 too.
pub(super) fn reachable(listening: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ips = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v4, v6],
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => vec![ip],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, listening.port())).collect()
}

/// Whether a TCP connection can be made.
pub(super) async fn connects(to: SocketAddr) -> io::Result<()> {
    timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(drop)
}

/// Whether something answers a STUN Binding request over UDP.
pub(super) async fn answers_stun(to: SocketAddr) -> io::Result<()> {
    let own: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(to).await?;
    let transaction: [u8; 12] = rand::random();
    let request = [&BINDING_REQUEST[..], &transaction].concat();
    let mut answer = [0; 1500];
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..UDP_TRIES {
        if let Err(error) = socket.send(&request).await {
            last = error;
            continue;
        }
        match timeout(UDP_TIMEOUT, socket.recv(&mut answer)).await {
            Ok(Ok(bytes)) if answer[..bytes].get(8..20) == Some(&transaction[..]) => return Ok(()),
            Ok(Ok(_)) => {}
            // ICMP says that the port is closed.
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
    Err(last)
}

/// The response to `GET /healthz`, in lower case. `over_tls`: HTTPS, with any certificate.
pub(super) async fn http_response(to: SocketAddr, host: &str, over_tls: bool) -> io::Result<String> {
    let asked = async {
        let stream = TcpStream::connect(to).await?;
        if !over_tls {
            return get_health(stream, host).await;
        }
        let (stream, _) = tls::connect(stream, host).await.map_err(io::Error::other)?;
        get_health(stream, host).await
    };
    timeout(CONNECT_TIMEOUT, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn get_health<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, host: &str) -> io::Result<String> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    let end = stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response).await;
    // Some end a response over TLS without saying so.
    if response.is_empty() {
        end?;
    }
    Ok(String::from_utf8_lossy(&response).to_lowercase())
}

/// What went wrong with a connection, in words.
pub(super) fn in_words(error: &io::Error) -> &'static str {
    let words = [
        (io::ErrorKind::ConnectionRefused, "nothing listens there"),
        (io::ErrorKind::TimedOut, "there is no answer"),
        (io::ErrorKind::PermissionDenied, "the firewall of this machine forbids it"),
    ];
    words.into_iter().find(|(kind, _)| *kind == error.kind()).map_or("it can't be reached", |(_, words)| words)
}
