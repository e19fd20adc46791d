//! Castway puts a screen on another screen: signaling, TURN credentials, the TURN relay and the pages in one binary.
//!
//! The map of the house is in `ARCHITECTURE.md`.

pub mod config;
pub mod relay;
pub mod secret;
