//! The questions, one in each file.

pub mod checks;
pub mod credentials;
pub mod facts;
