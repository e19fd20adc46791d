//! One TCP port for every protocol: accepts connections, detects what each one speaks, and hands it to HTTP or to the relay.
//!
//! - **Owner** of the listeners and of each connection until its protocol is known.
//! - **Inputs**: accepted connections, from [`bind`] or from [`Listener::handed`].
//! - **Outputs**: connections given to [`HttpServer::serve`](crate::http::server::HttpServer::serve) or to the relay, which serve them from
//!   then on.
//!
//! The path of a connection: `accept` takes an `unidentified` slot and starts a task, in which `dispatch` reads the header of the PROXY
//! protocol (`proxy_protocol`, from trusted proxies only), looks at the first byte (`detect`), and for TLS makes the handshake
//! (`tls_handshake`) and asks its ALPN protocol or the first decrypted byte. Without TLS nothing is consumed (`MSG_PEEK`), so that a
//! socket is handed over without copying; inside TLS the decrypted byte stays in the connection. `http_stream` is what HTTP then
//! reads from and writes to.
//!
//! Invariants:
//! - Each connection has a task of its own and `DETECT_TIMEOUT` (`listener`) to identify its protocol; no connection waits for another.
//! - The number of unidentified connections is bounded, in total and for each address. The oldest are closed first, because an honest
//!   client identifies itself immediately. No connection is accepted before a descriptor is free for it.
//! - The relay's ports serve TURN alone, plain and inside TLS, unless a setting adds HTTP.
//! - The number of HTTP connections is bounded, in total and for each address. The relay counts its connections by its own rules.

mod accept;
mod detect;
mod dispatch;
mod http_stream;
mod listener;
mod proxy_protocol;
mod tls_handshake;
mod unidentified;

pub use accept::serve;
pub use dispatch::Dispatcher;
pub use listener::{Bound, Listener, bind};
pub use unidentified::UnidentifiedLimit;
