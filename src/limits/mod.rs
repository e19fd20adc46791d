//! What a client may ask for: how often (`rate`), how much at once (`concurrency`), how often wrongly (`guesses`), how much it may have begun and
//! not finished (`unfinished`), and what counts as one client (`ip_prefix`).

pub mod concurrency;
pub mod guesses;
pub mod ip_prefix;
pub mod rate;
pub mod unfinished;
pub mod wait;
