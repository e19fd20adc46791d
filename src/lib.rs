//! Castway puts a screen on another screen: signaling, TURN credentials, the TURN relay and the pages in one binary.
//!
//! `ARCHITECTURE.md` has the code map, the layers and the invariants.

pub mod addresses;
pub mod admin;
pub mod admission;
pub mod api;
pub mod app;
pub mod apprtc;
pub mod cast;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod diagnosis;
pub mod hooks;
pub mod http;
pub mod ingress;
pub mod limits;
pub mod multiconnection;
pub mod operator;
pub mod outcomes;
pub mod relay;
pub mod room_driver;
pub mod sentence;
pub mod socketio;
pub mod tls;
pub mod turn;
pub mod users;
pub mod websocket;
pub mod whole_number;
