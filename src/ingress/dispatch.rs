//! Decides which part of the server a connection belongs to, and hands it over.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use rustls::server::Acceptor;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::detect::{self, Protocol};
use super::http_stream::HttpStream;
use super::listener::NewConnection;
use super::proxy_protocol;
use super::tls_handshake::LimitedHandshake;
use super::unidentified::{UnidentifiedConnection, UnidentifiedLimit};
use crate::diagnosis::observation::Path;
use crate::diagnosis::watch::{Seen, Watch};
use crate::http::connection_info::ConnectionInfo;
use crate::http::server::{HttpServer, HttpVersion};
use crate::limits::bans::BannedAddresses;
use crate::limits::concurrency::{ClientCounter, ConnectionSlot};
use crate::limits::descriptors::DescriptorPool;
use crate::limits::ip_prefix;
use crate::relay::{AcceptedConnection, NonBlockingConnection, StreamIntake};
use crate::tls::{ACME_TLS, HTTP_2, HandshakeConfigs, STUN_NAT_DISCOVERY, STUN_TURN};

/// Bytes that rustls buffers of what is written before the client takes any. Bytes in this buffer no longer count as waiting.
const MAX_TLS_BUFFER_BYTES: usize = 16 * 1024;

/// Where connections go once their protocol is known, and who may have how many.
pub struct Dispatcher {
    pub http: HttpServer,
    pub relay: StreamIntake,
    /// Whether the port serves TURN without TLS.
    pub plain_turn: bool,
    /// `None`: the port serves no TLS.
    pub tls: Option<HandshakeConfigs>,
    /// Proxies whose PROXY header and forwarding headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Bounds the HTTP connections of one address.
    pub http_connections: ClientCounter,
    /// Bounds all HTTP connections.
    pub http_descriptors: DescriptorPool,
    /// Bounds the connections whose protocol is not known yet, of all listeners.
    pub unidentified: UnidentifiedLimit,
    /// Is told of clients that don't trust the certificate.
    pub watch: Watch,
    /// Clients that are not served.
    pub banned: BannedAddresses,
}

impl Dispatcher {
    pub(super) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&ip))
    }

    /// Detects the protocol and hands the connection over.
    ///
    /// # Errors
    /// Why the connection is closed instead.
    pub(super) async fn dispatch(&self, new: NewConnection, connection: &UnidentifiedConnection) -> io::Result<()> {
        let NewConnection { stream, peer, serves_http, .. } = new;
        // Signaling and media are small packets that a client waits for.
        stream.set_nodelay(true)?;
        let server = ip_prefix::canonical(stream.local_addr()?);
        let trusted = self.trusts(peer.ip());
        let announced = if trusted { proxy_protocol::read_header(&stream).await? } else { None };
        let client = announced.map_or(peer, ip_prefix::canonical);
        if self.banned.contain(client.ip()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the address is banned"));
        }
        let forwarded = trusted && announced.is_none();
        let arrival = ConnectionInfo { client, tls: false, forwarded, local: (!trusted).then(|| server.ip()) };
        let protocol = detect::first(&stream).await?;
        connection.note_progress();
        match protocol {
            Protocol::Turn if self.plain_turn => {
                self.relay.take_in(AcceptedConnection {
                    client,
                    server,
                    connection: NonBlockingConnection::Tcp(stream.into_std()?),
                });
                Ok(())
            }
            Protocol::Http if serves_http => {
                let slot = self.http_slot(arrival)?;
                self.http.serve(HttpStream::plain(stream, slot), HttpVersion::Http1, arrival);
                Ok(())
            }
            Protocol::Tls => match &self.tls {
                Some(configs) => {
                    // The address that a proxy connects to is not the one that its client uses.
                    let local = announced.is_none().then(|| server.ip());
                    let stream = handshake(configs, stream, local, client.ip()).await;
                    if stream.as_ref().is_err_and(rejects_certificate) && self.watch.is_open() {
                        self.watch.note(client, None, Path::Tls, Seen::RejectedCertificate, Instant::now());
                    }
                    let stream = stream?;
                    self.dispatch_tls(stream, server, ConnectionInfo { tls: true, ..arrival }, serves_http).await
                }
                None => Err(unknown_protocol()),
            },
            Protocol::Turn | Protocol::Http | Protocol::Unknown => Err(unknown_protocol()),
        }
    }

    async fn dispatch_tls(
        &self,
        mut stream: TlsStream<LimitedHandshake>,
        server: SocketAddr,
        arrival: ConnectionInfo,
        serves_http: bool,
    ) -> io::Result<()> {
        let alpn = stream.get_ref().1.alpn_protocol();
        let version = if alpn == Some(HTTP_2) { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let protocol = match alpn {
            // RFC 8737 §3: the validation ends with the handshake.
            Some(ACME_TLS) => return Ok(()),
            Some(STUN_TURN | STUN_NAT_DISCOVERY) => Protocol::Turn,
            Some(HTTP_2) => Protocol::Http,
            // Some TURN clients offer HTTP/1.1 too (coturn's).
            Some(_) | None => detect::protocol(stream.fill_buf().await?.first()),
        };
        match protocol {
            Protocol::Turn => {
                let (tcp, tls) = stream.into_inner();
                let connection = NonBlockingConnection::tls(tcp.into_inner().into_std()?, tls);
                self.relay.take_in(AcceptedConnection { client: arrival.client, server, connection });
                Ok(())
            }
            Protocol::Http if serves_http => {
                let slot = self.http_slot(arrival)?;
                stream.get_mut().1.set_buffer_limit(Some(MAX_TLS_BUFFER_BYTES));
                self.http.serve(HttpStream::tls(stream, slot), version, arrival);
                Ok(())
            }
            Protocol::Http | Protocol::Tls | Protocol::Unknown => Err(unknown_protocol()),
        }
    }

    /// A slot for one HTTP connection, among those of its address and among all.
    fn http_slot(&self, arrival: ConnectionInfo) -> io::Result<ConnectionSlot> {
        let slot = match arrival.forwarded {
            true => Some(ConnectionSlot::uncounted()),
            false => self.http_connections.acquire(arrival.client.ip()),
        };
        let descriptor = self.http_descriptors.take().ok_or_else(no_descriptors)?;
        Ok(slot.ok_or_else(too_many_connections)?.with_descriptor(descriptor))
    }
}

async fn handshake(
    configs: &HandshakeConfigs,
    stream: TcpStream,
    local: Option<IpAddr>,
    client: IpAddr,
) -> io::Result<TlsStream<LimitedHandshake>> {
    let config = configs.config(local, client);
    let mut handshake = LazyConfigAcceptor::new(Acceptor::default(), LimitedHandshake::new(stream)).await?;
    handshake.io.hello_received();
    let mut stream = handshake.into_stream(config).await?;
    stream.get_mut().0.lift_limit();
    Ok(stream)
}

/// Whether the client gave up the handshake because of the certificate (RFC 8446 §6.2).
fn rejects_certificate(error: &io::Error) -> bool {
    use rustls::AlertDescription::{BadCertificate, CertificateExpired, CertificateUnknown, UnknownCA, UnsupportedCertificate};

    let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = alert else { return false };
    [BadCertificate, CertificateExpired, CertificateUnknown, UnknownCA, UnsupportedCertificate].contains(alert)
}

fn unknown_protocol() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "unknown or disabled protocol")
}

fn no_descriptors() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "too many HTTP connections in total for the limit of open files")
}

fn too_many_connections() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections from this address (CASTWAY_ADDRESS_CONNECTIONS)")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::{Config, Settings};
    use crate::tls::{Certificates, ServerHosts};

    #[tokio::test]
    async fn a_client_that_does_not_trust_the_certificate_is_told_from_one_that_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let source = Config::read(&Settings::default()).unwrap().tls.source;
        let configs = HandshakeConfigs::new(Certificates::open(&source, folder.path(), ServerHosts::default()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = async || {
            let (stream, peer) = listener.accept().await.unwrap();
            handshake(&configs, stream, None, peer.ip()).await.map(drop)
        };

        let trusts_nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(trusts_nobody));
        let distrusting = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            connector.connect(address.ip().into(), stream).await.unwrap_err()
        };
        let (error, _) = tokio::join!(accepted(), distrusting());
        assert!(rejects_certificate(&error.unwrap_err()));

        let leaving = async || TcpStream::connect(address).await.unwrap().write_all(&[0x16, 3, 1]).await.unwrap();
        let (error, ()) = tokio::join!(accepted(), leaving());
        assert!(!rejects_certificate(&error.unwrap_err()));
    }
}
