//! A polled payload of Engine.IO 3 as a body with one frame for each packet.
//!
//! engineioxide copies and checks the rest of a frame for each packet in it, and needs 16 s for one MiB of the smallest packets in one
//! frame. With one frame for each packet it looks at each byte once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;

use super::payload::next_of_text;

/// A text payload. A malformed rest is one frame.
pub(super) struct PollBody(pub(super) Bytes);

impl HttpBody for PollBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let after = next_of_text(&self.0).map_or(0, |(_, after)| after.len());
        let end = self.0.len() - after;
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(end)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payload: &'static str) -> Vec<String> {
        let mut packets = PollBody(Bytes::from_static(payload.as_bytes()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let next = || match Pin::new(&mut packets).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()),
            Poll::Ready(None | Some(Err(_))) | Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn each_packet_is_a_frame() {
        assert_eq!(frames("2:40"), ["2:40"]);
        assert_eq!(frames("1:210:42[\"ü漢\",1]1:2"), ["1:2", "10:42[\"ü漢\",1]", "1:2"]);
        assert_eq!(frames("4:4\u{1F600}x1:2"), ["4:4\u{1F600}x", "1:2"], "two units each");
        assert_eq!(frames("0:0:1:2"), ["0:", "0:", "1:2"]);
    }

    #[test]
    fn bytes_that_are_no_packet_are_one_frame() {
        assert_eq!(frames(""), [""; 0]);
        for broken in ["x", "9:42", "1:\u{1F600}", "123456789:4", ":4", "-1:4"] {
            assert_eq!(frames(broken), [broken], "{broken}");
        }
        assert_eq!(frames("1:2nonsense"), ["1:2", "nonsense"]);
    }
}
