//! Why a cast, a call or a check failed: observations of both ends and of the server go in, one verdict comes out.
//!
//! Pure: nothing here opens a socket or reads a clock. A verdict is never a guess: where the evidence allows two causes, it names both,
//! and what would tell them apart.

mod address_form;
pub mod decide;
pub mod observation;
mod other_networks;
mod read;
pub mod report;
pub mod verdict;
pub mod watch;
mod watch_index;
mod whole;
pub mod words;
