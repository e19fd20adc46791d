//! Who issues the TURN credentials of the cast flow.

use std::net::IpAddr;

use serde_json::Value;

/// Issues TURN credentials for the clients of the gateway.
pub trait Issuer: Send + Sync + 'static {
    /// Counts a request for credentials; `Err`: too many from this address, with the seconds to wait.
    fn check_rate(&self, from: IpAddr) -> Result<(), u64>;
    /// Whether [`Self::check_rate`] would refuse a request now; counts nothing.
    fn within_rate(&self, from: IpAddr) -> Result<(), u64>;
    /// An `iceServers` array with fresh credentials for `username`, which stay valid at least until [`Self::end_lease`]; `host` is the name by
    /// which the client reached us.
    fn ice_servers(&self, username: &str, host: Option<&str>) -> Value;
    /// The client that has credentials as `username` has a seat in the room with this code. The clients of a room belong together.
    fn join_room(&self, username: &str, code: &str);
    /// The user of the credentials that the client gets as `username`, as the relay knows it.
    fn user(&self, username: &str) -> String;
    /// The client that had credentials as `username` is gone.
    fn end_lease(&self, username: &str);
}
