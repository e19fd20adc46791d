//! The stream of a WebSocket, between hyper and engineioxide: applies [`super::frames`] to what passes, both ways.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::departures::Departures;
use super::frames::{Connects, Counts, Filter, Rule};
use super::received::{Received, take};
use super::session::last_packet;
use crate::limits::kept_buffers::KeptBuffer;
use crate::limits::unfinished::IncomingMessages;
use crate::socketio::outgoing::{Outgoing, WebSocketTask};

/// Taken from the writer at once: what the other side does not take at once of it is kept.
const MAX_PIECE: usize = 16 * 1024;

/// What all WebSockets of Socket.IO have carried.
#[derive(Debug, Default)]
pub struct Traffic {
    pub received: Totals,
    pub sent: Totals,
}

/// The sum of many [`Counts`].
#[derive(Debug, Default)]
pub struct Totals {
    bytes: AtomicU64,
    messages: AtomicU64,
    incomplete: AtomicU64,
}

impl Totals {
    pub fn counts(&self) -> Counts {
        let [bytes, messages, incomplete] =
            [&self.bytes, &self.messages, &self.incomplete].map(|number| number.load(Ordering::Relaxed));
        Counts { bytes, messages, incomplete }
    }

    /// What one stream has counted turns from `old` into `new`.
    fn replace(&self, old: Counts, new: Counts) {
        for (total, old, new) in [
            (&self.bytes, old.bytes, new.bytes),
            (&self.messages, old.messages, new.messages),
            (&self.incomplete, old.incomplete, new.incomplete),
        ] {
            if old != new {
                total.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
            }
        }
    }
}

/// A stream whose frames are counted and, where there are rules, replaced.
pub(super) struct Filtered<S> {
    io: S,
    received: Received,
    sent: Filter,
    /// Replaced, or not taken at once, and not written yet.
    unwritten: Vec<u8>,
    /// Bytes that are to be written next and that the client has got already.
    swallowed: usize,
    traffic: Arc<Traffic>,
    /// What waits for the client, and what of it has been written.
    outgoing: Outgoing,
    departures: Departures,
    /// What the writer's buffer keeps.
    kept: KeptBuffer,
    /// Dropped with the stream.
    held: Option<Box<dyn Send>>,
    /// What the client leaves unsaid.
    last_words: LastWords,
}

/// What is read at the end of a WebSocket whose client has no namespace: that it asks for the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWords {
    Unsaid,
    Said,
    /// socketioxide has taken them up; or they are not needed, since Engine.IO 3 gives everybody a namespace.
    Over,
}

/// [`last_packet`] in a frame, masked with zeros.
fn last_words() -> Vec<u8> {
    let packet = last_packet();
    [&[0x81, 0x80 | packet.len() as u8, 0, 0, 0, 0], packet.as_bytes()].concat()
}

impl<S> Filtered<S> {
    /// A rule for what comes from the client, and one for what goes to it; what passes is added to `traffic`. Ends when the client's
    /// account in `outgoing` is closed, or when too much is `kept`.
    pub(super) fn new(
        io: S,
        rules: Option<[&'static Rule; 2]>,
        traffic: Arc<Traffic>,
        outgoing: Outgoing,
        kept: KeptBuffer,
    ) -> Self {
        let (received, sent, last_words) = match rules {
            Some([received, sent]) => (Some(received), Some(sent), LastWords::Over),
            None => (None, None, LastWords::Unsaid),
        };
        let (received, sent) = (Received::new(received), Filter::new(sent));
        let (unwritten, departures) = (Vec::new(), Departures::default());
        Self { io, received, sent, unwritten, swallowed: 0, traffic, outgoing, departures, kept, held: None, last_words }
    }

    /// Bounds what the client has begun and not finished, in bytes and in time.
    pub(super) fn with_limit(mut self, arriving: Option<IncomingMessages>) -> Self {
        self.received.limit(arriving);
        self
    }

    /// Keeps something as long as the stream lives.
    pub(super) fn hold(&mut self, held: impl Send + 'static) {
        self.held = Some(Box::new(held));
    }

    /// Has `bytes` read next, and counts neither them nor the `answered` bytes that are written next, which the client has got.
    pub(super) fn put_back(&mut self, bytes: &[u8], answered: usize) {
        self.received.put_back(bytes);
        self.swallowed = answered;
    }

    /// An error once the WebSocket has to end: both its tasks do then.
    fn goes_on(&self, side: WebSocketTask, cx: &Context<'_>) -> io::Result<()> {
        if self.outgoing.is_over(side, cx.waker()) || self.kept.is_over() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }

    /// Has a piece of what goes to the client judged, see [`Filter::handle`].
    fn judge_sent(&mut self, piece: &[u8]) -> usize {
        let before = self.sent.counts();
        let passed = self.sent.handle(piece, &mut self.unwritten);
        self.traffic.sent.replace(before, self.sent.counts());
        passed
    }
}

impl<S> Drop for Filtered<S> {
    fn drop(&mut self) {
        self.outgoing.end_websocket();
        // What has not become a message never will.
        for (totals, counts) in [(&self.traffic.received, self.received.counts()), (&self.traffic.sent, self.sent.counts())] {
            totals.replace(counts, Counts { incomplete: 0, ..counts });
        }
    }
}

impl<S: AsyncWrite + Unpin> Filtered<S> {
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unwritten))?;
            note(&mut self.departures, &self.outgoing, &self.unwritten[..written]);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            take(&mut self.unwritten, written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The client's socket has taken that.
fn note(departures: &mut Departures, outgoing: &Outgoing, written: &[u8]) {
    let left = departures.handle(written);
    if left.events > 0 {
        outgoing.leave(left.events);
    }
    if left.answers > 0 {
        outgoing.answered(left.answers);
    }
}

impl<S: AsyncRead + Unpin> Filtered<S> {
    fn poll_received(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.goes_on(WebSocketTask::Reader, cx)?;
        ready!(self.outgoing.account().poll_may_read(cx));
        let before = self.received.counts();
        let polled = self.received.poll_read(&mut self.io, cx, buffer);
        self.traffic.received.replace(before, self.received.counts());
        let Connects { packets, bytes } = self.received.take_connects();
        self.outgoing.expect_answers(packets, bytes);
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Filtered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.last_words == LastWords::Said {
            // socketioxide takes a namespace up in a task of its own, which is to run before the end is read.
            this.last_words = LastWords::Over;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (before, was_whole) = (buffer.filled().len(), this.received.is_whole());
        let polled = ready!(this.poll_received(cx, buffer));
        if this.last_words == LastWords::Unsaid && was_whole && !this.outgoing.namespace_join().has_joined() {
            let is_end = polled.is_err() || buffer.filled().len() == before || says_farewell(&buffer.filled()[before..]);
            let words = if is_end { last_words() } else { Vec::new() };
            if is_end && buffer.capacity() - before >= words.len() {
                buffer.set_filled(before);
                buffer.put_slice(&words);
                this.last_words = LastWords::Said;
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(polled)
    }
}

/// Whether a client's frame ends its session: the close frame, or Engine.IO's packet of type 1. What comes after it is lost anyway.
fn says_farewell(frame: &[u8]) -> bool {
    match frame {
        [0x88, ..] => true,
        [0x81, 0x81, key, _, _, _, byte, ..] => key ^ byte == b'1',
        _ => false,
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Filtered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outgoing = &this.outgoing;
        this.kept.note(bytes.len(), || {
            let wakers = outgoing.wakers();
            move || wakers.wake()
        });
        this.goes_on(WebSocketTask::Writer, cx)?;
        if this.swallowed > 0 {
            let len = bytes.len().min(this.swallowed);
            this.swallowed -= len;
            return Poll::Ready(Ok(len));
        }
        if !this.sent.has_rule() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
            this.judge_sent(&bytes[..written]);
            note(&mut this.departures, &this.outgoing, &bytes[..written]);
            return Poll::Ready(Ok(written));
        }
        ready!(this.poll_unwritten(cx))?;
        let piece = &bytes[..bytes.len().min(MAX_PIECE)];
        let passed = this.judge_sent(piece);
        let written = match passed {
            0 => 0,
            _ => match Pin::new(&mut this.io).poll_write(cx, &piece[..passed]) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            },
        };
        note(&mut this.departures, &this.outgoing, &piece[..written]);
        this.unwritten.splice(..0, piece[written..passed].iter().copied());
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.goes_on(WebSocketTask::Writer, cx)?;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.goes_on(WebSocketTask::Writer, cx)?;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::limits::kept_buffers::{FREE_BYTES, KeptBuffers, MAX_TOTAL_BYTES};
    use crate::limits::waiting_bytes::Ledger;
    use crate::socketio::engine_io_3::{FROM_CLIENT, TO_CLIENT};

    fn kept() -> KeptBuffer {
        KeptBuffers::default().of([127, 0, 0, 1].into())
    }

    fn filtered(room: usize) -> (Filtered<DuplexStream>, DuplexStream, Arc<Traffic>) {
        let (server, client) = duplex(room);
        let traffic = Arc::<Traffic>::default();
        let outgoing = Outgoing::new(Ledger::default().open(None));
        (Filtered::new(server, Some([&FROM_CLIENT, &TO_CLIENT]), Arc::clone(&traffic), outgoing, kept()), client, traffic)
    }

    #[tokio::test]
    async fn a_client_that_takes_one_byte_after_the_other_gets_all_of_them() {
        let (mut stream, mut client, traffic) = filtered(1);
        let refusal = b"44/nope,{\"message\":\"no\"}";
        let frame = |packet: &[u8]| [&[0x81, packet.len() as u8][..], packet].concat();
        let (long, last) = ([&[0x82, 126, 0x75, 0x30][..], &[7; 30_000]].concat(), frame(b"3"));
        let sent = [frame(b"42"), frame(refusal), long.clone(), last.clone()].concat();
        let expected = [frame(b"42"), frame(b"44/nope,\"no\""), long, last].concat();
        let bytes = sent.len() as u64;
        let writing = tokio::spawn(async move {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            stream
        });
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, expected);
        assert_eq!(traffic.sent.counts(), Counts { bytes, messages: 4, incomplete: 0 });
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn what_was_said_already_is_read_again_and_not_answered_twice() {
        let (mut stream, mut client, traffic) = filtered(64);
        stream.put_back(b"before", 4);
        client.write_all(b"\x81\x80\0\0\0\0").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"before\x81\x80\0\0\0\0");
        for piece in [&b"\x81"[..], b"\x023p\x81\x01", b"2"] {
            stream.write_all(piece).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let traffic = [traffic.received.counts(), traffic.sent.counts()];
        drop(stream);
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"\x81\x012");
        assert_eq!(traffic, [6, 3].map(|bytes| Counts { bytes, messages: 1, incomplete: 0 }));
    }

    /// What socketioxide reads of a WebSocket of Engine.IO 4 on which that comes before its end.
    async fn read(come: &[u8], joins: bool) -> Vec<u8> {
        let (server, mut client) = duplex(1024);
        let outgoing = Outgoing::new(Ledger::default().open(None));
        let mut stream = Filtered::new(server, None, Arc::default(), outgoing.clone(), kept());
        if joins {
            outgoing.join();
        }
        client.write_all(come).await.unwrap();
        client.shutdown().await.unwrap();
        let (mut got, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => return got,
                len => got.extend_from_slice(&buffer[..len]),
            }
        }
    }

    #[tokio::test]
    async fn a_client_without_a_namespace_asks_for_the_last_one_before_its_end() {
        let connect = b"\x81\x82\0\0\0\x0040";
        let after = |come: &[u8]| [come, &last_words()].concat();
        assert_eq!(read(b"", false).await, last_words());
        assert_eq!(read(connect, false).await, after(connect), "the namespace may be one that there is not");
        for farewell in [&b"\x88\x80\0\0\0\0"[..], b"\x81\x81\x10\0\0\0\x21"] {
            assert_eq!(read(farewell, false).await, last_words(), "{farewell:?}");
        }
        assert_eq!(read(&connect[..7], false).await, connect[..7], "nothing fits into a message");
        assert_eq!(read(connect, true).await, connect);
        assert_eq!(read(b"", true).await, b"");
    }

    #[tokio::test]
    async fn a_message_that_does_not_get_complete_is_not_counted_on() {
        let (mut stream, mut client, traffic) = filtered(64);
        client.write_all(b"\x01\x85\0\0\0\x004").await.unwrap();
        client.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        drop(stream);
        assert_eq!(traffic.received.counts(), Counts { bytes: 7, messages: 0, incomplete: 0 });
    }
    #[tokio::test]
    async fn a_websocket_ends_where_all_keep_too_much_and_it_keeps_most_even_while_it_waits() {
        const MESSAGE: usize = 1 << 20;
        let (buffers, ledger) = (KeptBuffers::default(), Ledger::default());
        let open = || {
            let (server, client) = duplex(2 * MESSAGE);
            let (outgoing, kept) = (Outgoing::new(ledger.open(None)), buffers.of([127, 0, 0, 1].into()));
            (Filtered::new(server, None, Arc::default(), outgoing, kept), client)
        };
        let (mut oldest, _client) = open();
        oldest.write_all(&vec![0; MESSAGE]).await.unwrap();
        let waiting = tokio::spawn(async move { oldest.read_u8().await.unwrap_err().kind() });
        tokio::task::yield_now().await;
        let mut others = Vec::new();
        while buffers.ended() == 0 {
            let (mut other, client) = open();
            other.write_all(&vec![0; MESSAGE]).await.unwrap();
            others.push((other, client));
        }
        assert_eq!(waiting.await.unwrap(), io::ErrorKind::ConnectionAborted);
        // What is free is not counted.
        assert_eq!(others.len(), MAX_TOTAL_BYTES / (MESSAGE - FREE_BYTES));
        for (other, _) in &mut others {
            other.write_all(b"goes on").await.unwrap();
        }
        assert_eq!(ledger.closed(), 0, "nobody failed to read");
        drop(others);
        assert_eq!(buffers.bytes(), 0);
    }
}
