//! Resolving host names.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How long the resolver may take for one name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A source of the addresses of host names.
pub trait Resolver: Sync {
    /// # Errors
    /// The name is unknown, or the resolver can't be reached.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The addresses of `name`, of which there is at least one.
pub(super) async fn resolve(resolver: &impl Resolver, name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses =
        tokio::time::timeout(RESOLVE_TIMEOUT, resolver.resolve(name)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if addresses.is_empty() {
        return Err(io::Error::other("it has no address"));
    }
    Ok(addresses.into_iter().map(|ip| ip.to_canonical()).collect())
}
