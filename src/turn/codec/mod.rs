//! The wire format of STUN and TURN: readers that borrow the received bytes, and a writer into a buffer that is reused.
//!
//! - Owner: nobody, as nothing here has a state.
//! - Inputs: the bytes of a datagram or of a frame; the attributes of an answer, and the buffer that it is written to.
//! - Outputs: messages and attributes as ranges of those bytes, or an error that says what does not parse; a written answer.
//! - Invariants: no input panics, and nothing is read beyond the message. Readers don't allocate; the writer only lets its buffer
//!   grow.
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
