//! What a client may ask for: how often (`rate`), how much at once (`concurrency`), how often wrongly (`guesses`), how much it may have
//! begun and not finished (`unfinished`), who gives way to whom (`shares`), and what counts as one client (`ip_prefix`).

pub mod byte_budget;
pub mod concurrency;
pub mod descriptor_limit;
pub mod descriptors;
pub mod fair_shares;
mod guess_reports;
mod guess_table;
pub mod guesses;
pub mod ip_prefix;
pub mod kept_buffers;
pub mod message_size;
pub mod rate;
pub mod reserved_names;
pub mod retry_after;
pub mod token_bucket;
pub mod unfinished;
pub mod unproven;
pub mod waiting_bytes;
