//! The wire format: zero-copy readers and a writer over byte slices.

pub mod attribute;
pub mod error_code;
pub mod framing;
pub mod integrity;
pub mod message;
pub mod writer;
