//! HTTPS and TURN over TLS: where they listen and where the certificate comes from.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::{Host, Url};

use super::{Listen, Reader, Settings, list, text};

#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Every protocol, and those clients who ask for TLS; `None`: TLS is off.
    pub https: Option<Listen>,
    /// The standard port of TURN over TLS; `None`: TLS is off.
    pub turns: Option<Listen>,
    pub source: CertificateSource,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// Made here, and kept in the data folder.
    SelfSigned,
    /// PEM files that somebody else looks after.
    Files {
        cert: PathBuf,
        key: PathBuf,
        /// Whether clients know who has signed it; `None`: that is found out.
        trusted: Option<bool>,
    },
    Acme(AcmeConfig),
}

/// A certificate authority that speaks ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Names the certificate is for, the main one first; never empty.
    pub domains: Vec<String>,
    /// Where the authority writes to about trouble.
    pub email: Option<String>,
    pub directory: Url,
    /// The root certificate of the directory's own HTTPS, where it is not a public one.
    pub ca: Option<PathBuf>,
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl TlsConfig {
    /// `http` and `turn` are where HTTP and TURN listen: what is not set listens beside them.
    pub(super) fn read(settings: &Settings, reader: &mut Reader, http: SocketAddr, turn: SocketAddr) -> Self {
        let source = CertificateSource::read(settings, reader);
        let acme = matches!(source, CertificateSource::Acme(_));
        let expected = "an IP address and a port, e.g. 0.0.0.0:443";
        let https =
            reader.parse("CASTWAY_HTTPS_ADDR", &settings.https_addr, expected, None, |value| value.parse().ok().map(Some));
        let turns =
            reader.parse("CASTWAY_TURNS_ADDR", &settings.turns_addr, expected, None, |value| value.parse().ok().map(Some));
        let off = reader.parsed("CASTWAY_NO_TLS", &settings.no_tls, "true or false", false);
        if off && acme {
            reader.problem("CASTWAY_NO_TLS", "true", "false where CASTWAY_DOMAIN is set: its certificate is for TLS");
        }
        let beside = |other: SocketAddr, port: u16| SocketAddr::new(other.ip(), if other.port() == 0 { 0 } else { port });
        let https = https.map(Listen::exactly).unwrap_or_else(|| {
            let usual = beside(http, 8443);
            let privileged = (acme && usual.port() != 0).then(|| beside(http, 443));
            // Nobody can use a certificate for a name whose port is not there.
            Listen { addrs: privileged.into_iter().chain([usual]).collect(), required: acme }
        });
        let turns = turns.map(Listen::exactly);
        let turns = turns.unwrap_or_else(|| Listen { addrs: vec![beside(turn, 5349)], required: false });
        Self { https: (!off).then_some(https), turns: (!off).then_some(turns), source }
    }
}

impl CertificateSource {
    /// Where people find a server whose certificate is for a name of the settings.
    pub fn origin(&self, port: u16) -> Option<Url> {
        match self {
            Self::Acme(acme) => Url::parse(&format!("https://{}:{port}", acme.domains[0])).ok(),
            Self::SelfSigned | Self::Files { .. } => None,
        }
    }

    fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let domains =
            reader.list("CASTWAY_DOMAIN", &settings.domain, "host names such as cast.example.org, separated by commas", domain);
        let directory = reader.parse(
            "CASTWAY_ACME_DIRECTORY",
            &settings.acme_directory,
            "an https address",
            Url::parse(LETS_ENCRYPT).expect("a constant"),
            |value| Url::parse(value).ok().filter(|url| url.scheme() == "https"),
        );
        let email = reader.parse("CASTWAY_ACME_EMAIL", &settings.acme_email, "an e-mail address", None, |value| {
            let plain = value.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
            (plain && !value.contains(char::is_whitespace)).then(|| Some(value.to_owned()))
        });
        let ca = text(&settings.acme_ca).map(PathBuf::from);
        let trusted = reader
            .parse("CASTWAY_CERT_TRUSTED", &settings.cert_trusted, "true or false", None, |value| value.parse().ok().map(Some));
        if let Some(trusted) = trusted.filter(|_| text(&settings.cert).is_none()) {
            let expected = "nothing unless CASTWAY_CERT is set: it says whether clients know who signed that file";
            reader.problem("CASTWAY_CERT_TRUSTED", &bool::to_string(&trusted), expected);
        }
        match (text(&settings.cert), text(&settings.pkey)) {
            (None, None) if domains.is_empty() && list(&settings.domain).next().is_none() => Self::SelfSigned,
            (None, None) => Self::Acme(AcmeConfig { domains, email, directory, ca }),
            (Some(cert), Some(key)) => {
                if let Some(domain) = domains.first() {
                    reader.problem(
                        "CASTWAY_DOMAIN",
                        domain,
                        "nothing where CASTWAY_CERT is set: the certificate comes from one of them",
                    );
                }
                Self::Files { cert: cert.into(), key: key.into(), trusted }
            }
            (Some(_), None) => {
                reader.problem("CASTWAY_PKEY", "", "the file with the private key of CASTWAY_CERT");
                Self::SelfSigned
            }
            (None, Some(_)) => {
                reader.problem("CASTWAY_CERT", "", "the file with the certificate chain of CASTWAY_PKEY");
                Self::SelfSigned
            }
        }
    }
}

/// A name that a certificate authority can look up.
fn domain(value: &str) -> Option<String> {
    let Host::Domain(name) = Host::parse(value).ok()? else { return None };
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (plain && name.contains('.') && name.parse::<IpAddr>().is_err()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(settings: Settings) -> Result<TlsConfig, String> {
        Config::read(&settings).map(|config| config.tls).map_err(|problems| problems.to_string())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn tls_listens_beside_http_and_turn() {
        let tls = read(Settings::default()).unwrap();
        let addrs = |listen: Option<Listen>| listen.unwrap().addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addrs(tls.https), ["0.0.0.0:8443"]);
        assert_eq!(addrs(tls.turns), ["0.0.0.0:5349"]);
        let settings = Settings { http_addr: some("127.0.0.1:0"), turn_addr: some("[::1]:3478"), ..Settings::default() };
        let tls = read(settings).unwrap();
        assert_eq!(addrs(tls.https), ["127.0.0.1:0"]);
        assert_eq!(addrs(tls.turns), ["[::1]:5349"]);
        let tls = read(Settings { domain: some("Cast.Example.org"), ..Settings::default() }).unwrap();
        assert_eq!(addrs(tls.https.clone()), ["0.0.0.0:443", "0.0.0.0:8443"]);
        assert!(tls.https.unwrap().required && !tls.turns.unwrap().required);
        assert!(matches!(tls.source, CertificateSource::Acme(acme) if acme.domains == ["cast.example.org"]));
        assert!(read(Settings { no_tls: some("true"), ..Settings::default() }).unwrap().https.is_none());
    }

    #[test]
    fn one_source_and_all_of_it() {
        let half = Settings { cert: some("x.pem"), ..Settings::default() };
        assert!(read(half).unwrap_err().contains("CASTWAY_PKEY"));
        let both = Settings { cert: some("x.pem"), pkey: some("x.key"), domain: some("a.org"), ..Settings::default() };
        assert!(read(both).unwrap_err().contains("CASTWAY_DOMAIN"));
        for bad in ["localhost", "192.0.2.1", "a_b.org", "https://a.org"] {
            assert!(read(Settings { domain: some(bad), ..Settings::default() }).unwrap_err().contains("CASTWAY_DOMAIN"), "{bad}");
        }
        let plain = Settings { acme_directory: some("http://ca.org"), ..Settings::default() };
        assert!(read(plain).unwrap_err().contains("CASTWAY_ACME_DIRECTORY"));
    }

    #[test]
    fn whether_clients_trust_the_files_can_be_said() {
        let files = |trusted: &str| Settings {
            cert: some("x.pem"),
            pkey: some("x.key"),
            cert_trusted: some(trusted),
            ..Settings::default()
        };
        for (value, expected) in [("true", Some(true)), ("false", Some(false)), ("", None)] {
            let source = read(files(value)).unwrap().source;
            assert!(matches!(source, CertificateSource::Files { trusted, .. } if trusted == expected), "{value}: {source:?}");
        }
        assert!(read(files("yes")).unwrap_err().contains("CASTWAY_CERT_TRUSTED=\"yes\": expected true or false"));
        for domain in ["", "a.org"] {
            let other = Settings { cert_trusted: some("true"), domain: some(domain), ..Settings::default() };
            assert!(read(other).unwrap_err().contains("CASTWAY_CERT_TRUSTED=\"true\": expected nothing unless CASTWAY_CERT"));
        }
    }
}
