//! What a client may ask for: how often (`rate`), how much at once (`concurrency`), how often wrongly (`guesses`), and what counts as
//! one client (`ip_prefix`).

pub mod concurrency;
pub mod descriptors;
mod guess_reports;
mod guess_table;
pub mod guesses;
pub mod ip_prefix;
pub mod rate;
pub mod strangers;
pub mod wait;
