//! HTTP: connections, the clients behind them, the bounds of bodies, and the embedded pages.
//!
//! Owner: the ingress owns a [`server::HttpServer`] for each port; `app::router` puts the middleware of this folder in front of
//! all routes. Inputs: accepted connections. Outputs: requests with their facts as extensions, and responses.
//!
//! A request passes through the files in this order:
//! 1. [`server`] reads its head, and inserts [`connection_info::ConnectionInfo`] and the connection's account.
//! 2. [`base_path::remove`] removes the base path from its path, if the server has one.
//! 3. [`client_info::identify`] determines the client, also behind trusted proxies, and inserts [`client_info::ClientInfo`].
//! 4. [`request_bodies::limit`] bounds its body in bytes and in time.
//! 5. [`redirect::redirect`] redirects it to HTTPS if the certificate is trusted.
//! 6. [`websocket_handshake::refuse_broken`] refuses WebSocket handshakes that can't succeed.
//! 7. [`path_slashes`] removes superfluous slashes from its path.
//! 8. A handler responds: [`pages`], or one of another folder.
//! 9. [`response_bytes::count`] counts the response's bytes for the client until they are written. Over HTTP/2, `http2_responses`
//!    ends a connection whose client reads a response too slowly.
//!
//! [`proxy_sightings`] counts requests that seem to come through a proxy which the settings don't trust.
//!
//! `page_request` tells whether a browser requests a page.
//!
//! [`authorization`] reads the header in which a client proves who it is.
//!
//! [`problem`] is the form of errors where no contract fixes another one.
//!
//! [`layered`] puts these layers in front of the routes.
//!
//! [`own_address`] tells whether the address of a client is its own, for what only some networks may do.
//!
//! Invariants: handlers know the client only by its `ClientInfo`, and never read `X-Forwarded-*` themselves; no body is buffered
//! without being counted.

pub mod authorization;
pub mod banned_clients;
pub mod base_path;
mod body_pieces;
pub mod client_info;
pub mod connection_info;
mod http2_responses;
pub mod layered;
pub mod own_address;
mod page_request;
pub mod pages;
pub mod path_slashes;
pub mod problem;
pub mod proxy_sightings;
pub mod redirect;
pub mod request_bodies;
pub mod response_bytes;
pub mod server;
pub mod websocket_handshake;
