//! The only integration test binary, with one file for each capability.

#![allow(clippy::unwrap_used, reason = "a test's helper fails like its test")]

mod addresses;
mod beside;
mod control;
mod credentials;
mod doctor;
mod external;
mod hooks;
mod languages;
mod layers;
mod metrics;
mod port;
mod proxies;
mod relay;
mod relay_limits;
mod relay_moves;
mod relay_shards;
mod relay_stream_writes;
mod relay_streams;
mod relay_tcp_peers;
mod relay_ways;
mod requirements;
mod self_test;
mod sessions;
mod settings_document;
mod support;
mod tidy;
mod tls;
mod users;
mod witness;
