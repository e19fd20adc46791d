//! Where a request goes: the addresses of its host, checked once they are known. Whoever controls the name can't lead a request elsewhere,
//! because the connection goes to an address that was checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use super::error::PostError;
use crate::config::{HookUrl, may_connect};

type Addresses = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up. Clones share it.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String) -> Addresses + Send + Sync>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// The machine's own, with its hosts file and DNS.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::new(|host| async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    pub fn new<F>(look_up: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = std::io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host| Box::pin(look_up(host))))
    }

    /// Addresses that a request may go to; `private`: they may be private.
    pub(super) async fn addresses(&self, url: &HookUrl, private: bool) -> Result<Vec<SocketAddr>, PostError> {
        let found = match url.host().parse() {
            Ok(address) => vec![address],
            Err(_) => (self.0)(url.host().to_owned()).await.map_err(PostError::NameNotFound)?,
        };
        let all = found.len();
        let allowed = found.into_iter().filter(|ip| may_connect(*ip, url.is_secure(), private));
        let allowed: Vec<_> = allowed.map(|ip| SocketAddr::new(ip, url.port())).collect();
        match (allowed.is_empty(), all) {
            (false, _) => Ok(allowed),
            (true, 0) => Err(PostError::NameNotFound(std::io::ErrorKind::NotFound.into())),
            (true, _) => Err(PostError::AddressNotAllowed { secure: url.is_secure() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn addresses(url: &str, found: &'static [&'static str], private: bool) -> Result<Vec<String>, String> {
        let resolver = Resolver::new(move |_| async move { Ok(found.iter().map(|ip| ip.parse().unwrap()).collect()) });
        let url = HookUrl::read(url, true).unwrap();
        let addresses = resolver.addresses(&url, private).await.map_err(|error| error.to_string())?;
        Ok(addresses.iter().map(SocketAddr::to_string).collect())
    }

    #[tokio::test]
    async fn a_name_leads_to_public_addresses_and_to_this_machine() {
        let url = "https://app.example.org:8443/hook";
        let public = addresses(url, &["8.8.8.8", "2606:4700::1", "127.0.0.1", "64:ff9b::808:808"], false).await;
        assert_eq!(public.unwrap(), ["8.8.8.8:8443", "[2606:4700::1]:8443", "127.0.0.1:8443", "[64:ff9b::808:808]:8443"]);
        let mixed = addresses(url, &["10.0.0.7", "8.8.8.8", "::ffff:192.168.0.1"], false).await;
        assert_eq!(mixed.unwrap(), ["8.8.8.8:8443"], "the others are left out");
        for private in [
            "10.0.0.7",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.1.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.7",
            "64:ff9b::a00:7",
            "64:ff9b::7f00:1",
            "0.0.0.0",
        ] {
            let found: &[&str] = Box::leak(Box::new([private]));
            let refused = addresses(url, found, false).await.expect_err(private);
            assert!(refused.contains("CASTWAY_HOOKS_PRIVATE"), "{refused}");
            assert_eq!(addresses(url, found, true).await.expect(private).len(), 1);
        }
        assert!(addresses(url, &[], false).await.is_err());
    }

    #[tokio::test]
    async fn without_tls_a_name_leads_to_this_machine_alone() {
        let found = &["8.8.8.8", "10.0.0.7", "127.0.0.1"];
        assert_eq!(addresses("http://localhost:9000/", found, true).await.unwrap(), ["127.0.0.1:9000"]);
        assert!(addresses("http://localhost:9000/", &["8.8.8.8"], true).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_a_url_is_checked_too() {
        assert!(addresses("https://10.0.0.7/", &[], false).await.is_err());
        assert_eq!(addresses("https://[::1]/", &[], false).await.unwrap(), ["[::1]:443"]);
    }
}
