//! Castway puts a screen on another screen: signaling, TURN credentials, the TURN relay and the pages in one binary.
//!
//! The map of the house is in `ARCHITECTURE.md`.

pub mod address;
pub mod api;
pub mod app;
pub mod apprtc;
pub mod budget;
pub mod cast;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod connection;
pub mod driver;
pub mod external;
pub mod held_body;
pub mod http;
pub mod ice;
pub mod kept_buffers;
pub mod limits;
pub mod memory;
pub mod multiconnection;
pub mod names;
pub mod namespaces;
pub mod numbers;
pub mod outgoing;
pub mod packet;
pub mod pages;
pub mod port;
pub mod quota;
pub mod relay;
pub mod router;
pub mod secret;
pub mod signals;
pub mod size;
pub mod slashes;
pub mod socket_io;
pub mod telemetry;
pub mod tls;
pub mod turn;
pub mod users;
pub mod waiting;
