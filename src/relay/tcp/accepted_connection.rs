//! A connection on its way from the listener that accepted it to the shard that will serve it.

use std::net::SocketAddr;

use crate::relay::tcp::connection::NonBlockingConnection;

/// A client's connection that has been accepted.
#[derive(Debug)]
pub struct AcceptedConnection {
    pub client: SocketAddr,
    /// The local address.
    pub server: SocketAddr,
    pub connection: NonBlockingConnection,
}
