//! The wire format of STUN and TURN: readers that borrow the received bytes, and a writer into a buffer that is reused. Nothing
//! allocates.
//!
//! A message is read by [`message::StunMessage::parse`], its attributes by the functions of [`attribute`]; [`integrity`] and
//! [`fingerprint`] verify it, and [`writer::MessageWriter`] writes the answer. [`framing`] handles ChannelData and the frames of
//! TCP and TLS. The numbers and the header are in [`header`] and [`error_code`]. Files import from `header` upwards, never back.

pub mod attribute;
pub mod error_code;
pub mod fingerprint;
pub mod framing;
pub mod header;
pub mod integrity;
pub mod message;
pub mod writer;
