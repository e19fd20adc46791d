//! The connection of the self-test with one listener: messages of STUN over UDP, TCP or TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use stun::message::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::STUN_TURN;
use crate::turn::Transport;

/// Bytes of the longest message that is read.
const MAX_MESSAGE_BYTES: usize = 2048;
/// Bytes of the header of a message, whose third and fourth one have the length of the rest.
const HEADER_BYTES: usize = 20;
/// Over UDP a request is sent again after this time.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(250);

/// A connection with a listener.
pub(super) enum Link {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Link {
    /// Connects to a listener of this machine. `name`: what the client of TLS asks for.
    ///
    /// # Errors
    /// Of the system or of TLS.
    pub(super) async fn open(transport: Transport, server: SocketAddr, name: Option<&str>) -> io::Result<Self> {
        if transport == Transport::Udp {
            let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(server).await?;
            return Ok(Self::Udp(socket));
        }
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        if transport == Transport::Tcp {
            return Ok(Self::Stream(Box::new(stream)));
        }
        let named = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let named = named.unwrap_or_else(|| ServerName::IpAddress(server.ip().into()));
        Ok(Self::Stream(Box::new(TlsConnector::from(Arc::new(tls_config())).connect(named, stream).await?)))
    }

    /// Sends a message once.
    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(&message.raw).await.map(drop),
            Self::Stream(stream) => {
                stream.write_all(&message.raw).await?;
                stream.flush().await
            }
        }
    }

    /// Sends `message` until a message comes that is wanted. Never ends where none comes.
    pub(super) async fn ask(&mut self, message: &Message, is_wanted: impl Fn(&Message) -> bool) -> io::Result<Message> {
        loop {
            self.send(message).await?;
            let is_udp = matches!(self, Self::Udp(_));
            let answer = async {
                loop {
                    let answer = self.receive().await?;
                    if is_wanted(&answer) {
                        break Ok(answer);
                    }
                }
            };
            // A read of a stream is not interrupted, since it would lose bytes.
            if !is_udp {
                return answer.await;
            }
            if let Ok(answer) = timeout(RETRANSMIT_AFTER, answer).await {
                return answer;
            }
        }
    }

    async fn receive(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let len = match self {
            Self::Udp(socket) => socket.recv(&mut bytes).await?,
            Self::Stream(stream) => {
                stream.read_exact(&mut bytes[..HEADER_BYTES]).await?;
                let len = HEADER_BYTES + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                let rest = bytes.get_mut(HEADER_BYTES..len).ok_or(io::ErrorKind::InvalidData)?;
                stream.read_exact(rest).await?;
                len
            }
        };
        bytes.truncate(len);
        let mut message = Message { raw: bytes, ..Message::new() };
        message.decode().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Ok(message)
    }
}

/// Accepts any certificate, also those that rustls can't read: whether clients trust it is asked elsewhere, and the connection does not
/// leave this machine.
fn tls_config() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring has the suites of TLS 1.2 and 1.3").dangerous().with_custom_certificate_verifier(verifier);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![STUN_TURN.to_vec()];
    config
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
