//! The configuration of a TLS handshake: TLS 1.2 and 1.3, every protocol that the port serves, and the certificate for the client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificates::Certificates;

/// The ALPN protocol of an authority's TLS-ALPN-01 look-up (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";
/// The ALPN protocol of STUN and TURN over TLS (RFC 7443).
pub const STUN_TURN: &[u8] = b"stun.turn";
/// The ALPN protocol of NAT discovery with STUN over TLS (RFC 7443).
pub const STUN_NAT_DISCOVERY: &[u8] = b"stun.nat-discovery";
/// The ALPN protocol of HTTP/2 (RFC 9113).
pub const HTTP_2: &[u8] = b"h2";

/// Makes the configuration of each handshake.
pub struct HandshakeConfigs {
    certificates: Certificates,
    /// Everything but the certificate.
    common: ServerConfig,
}

impl HandshakeConfigs {
    /// # Panics
    /// Never: the provider supports both versions.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("ring has TLS 1.2 and 1.3");
        let placeholder =
            CertificateResolver { certificates: certificates.clone(), local: None, client: Ipv4Addr::UNSPECIFIED.into() };
        let mut common = builder.with_no_client_auth().with_cert_resolver(Arc::new(placeholder));
        common.alpn_protocols = [HTTP_2, b"http/1.1", STUN_TURN, STUN_NAT_DISCOVERY, ACME_TLS].map(<[u8]>::to_vec).to_vec();
        Self { certificates, common }
    }

    /// For a connection from `client` to the address `local` of this machine; `None` where a proxy is between the two.
    #[must_use]
    pub fn config(&self, local: Option<IpAddr>, client: IpAddr) -> Arc<ServerConfig> {
        let mut config = self.common.clone();
        config.cert_resolver = Arc::new(CertificateResolver { certificates: self.certificates.clone(), local, client });
        Arc::new(config)
    }
}

/// Chooses the certificate of one connection.
#[derive(Debug)]
struct CertificateResolver {
    certificates: Certificates,
    local: Option<IpAddr>,
    client: IpAddr,
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        // RFC 8737 §3: the look-up offers this protocol and no other.
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            return self.certificates.tls_challenge(hello.server_name()?);
        }
        Some(self.certificates.for_client(hello.server_name(), self.local, self.client).key())
    }
}
