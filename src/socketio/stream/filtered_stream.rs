//! The stream of a WebSocket, between hyper and engineioxide. It applies [`crate::websocket::frame_filter`] to both directions, reports which packets
//! have been written, and ends the WebSocket when its client's account is closed.
//!
//! Where the client of an Engine.IO 4 session has no namespace at the end of its WebSocket, the stream returns one more message: the request
//! for [`LAST_NAMESPACE`](crate::socketio::sessions::session::LAST_NAMESPACE), so that socketioxide keeps no memory for the session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::sent_packets::SentPackets;
use super::traffic::Traffic;
use crate::limits::kept_buffers::KeptBuffer;
use crate::limits::unfinished::IncomingMessages;
use crate::socketio::sessions::outgoing::{Outgoing, WebSocketTask};
use crate::socketio::sessions::session::last_packet;
use crate::websocket::frame_counts::FrameCounts;
use crate::websocket::frame_filter::FrameFilter;
use crate::websocket::message_start::ConnectPackets;
use crate::websocket::received_frames::{ReceivedFrames, remove_first};
use crate::websocket::rewrite_rule::RewriteRule;

/// Bytes of one write that are filtered at a time: those that the client's socket does not take are kept here.
const MAX_PIECE_BYTES: usize = 16 * 1024;

/// A stream whose frames are counted and, where a rule applies, replaced.
pub(in crate::socketio) struct FilteredStream<S> {
    io: S,
    received: ReceivedFrames,
    sent: FrameFilter,
    /// Bytes that were replaced or not taken, and are not written yet.
    unwritten: Vec<u8>,
    /// Bytes that engineioxide writes next and that the client has already got.
    already_sent: usize,
    traffic: Arc<Traffic>,
    /// The packets that wait for the client.
    outgoing: Outgoing,
    /// Which of those packets have been written.
    sent_packets: SentPackets,
    /// The size of the writer's buffer.
    kept: KeptBuffer,
    /// Dropped with the stream.
    guard: Option<Box<dyn Send>>,
    last_connect: LastConnect,
}

/// Whether the request for the last namespace has been read at the end of the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastConnect {
    Pending,
    /// It has been read, and socketioxide's task has not run yet.
    Read,
    /// socketioxide has handled it, or it is not needed, because a client of Engine.IO 3 always has a namespace.
    Done,
}

/// [`last_packet`] in a frame that is masked with zeros.
fn last_connect_frame() -> Vec<u8> {
    let packet = last_packet();
    [&[0x81, 0x80 | packet.len() as u8, 0, 0, 0, 0], packet.as_bytes()].concat()
}

impl<S> FilteredStream<S> {
    /// `rules`: one for messages from the client, one for messages to it. The stream adds what it carries to `traffic`, and ends when the
    /// client's account in `outgoing` is closed or when `kept` is over.
    pub(in crate::socketio) fn new(
        io: S,
        rules: Option<[&'static RewriteRule; 2]>,
        traffic: Arc<Traffic>,
        outgoing: Outgoing,
        kept: KeptBuffer,
    ) -> Self {
        let (received, sent, last_connect) = match rules {
            Some([received, sent]) => (Some(received), Some(sent), LastConnect::Done),
            None => (None, None, LastConnect::Pending),
        };
        let (received, sent) = (ReceivedFrames::new(received), FrameFilter::new(sent));
        let (unwritten, sent_packets) = (Vec::new(), SentPackets::default());
        Self { io, received, sent, unwritten, already_sent: 0, traffic, outgoing, sent_packets, kept, guard: None, last_connect }
    }

    /// Bounds unfinished messages of the client, in bytes and in time.
    pub(in crate::socketio) fn with_limit(mut self, incoming: Option<IncomingMessages>) -> Self {
        self.received.limit(incoming);
        self
    }

    /// Drops `guard` when the stream is dropped.
    pub(in crate::socketio) fn hold(&mut self, guard: impl Send + 'static) {
        self.guard = Some(Box::new(guard));
    }

    /// The next read returns `bytes`, and the next `answered` bytes that are written are dropped, because the client has already got them.
    /// Neither is counted.
    pub(in crate::socketio) fn put_back(&mut self, bytes: &[u8], answered: usize) {
        self.received.put_back(bytes);
        self.already_sent = answered;
    }

    /// An error once the WebSocket has to end; then both of its tasks end.
    fn check_open(&self, side: WebSocketTask, cx: &Context<'_>) -> io::Result<()> {
        if self.outgoing.is_over(side, cx.waker()) || self.kept.is_over() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }

    /// Filters a piece that is written to the client, see [`FrameFilter::handle`].
    fn filter_sent(&mut self, piece: &[u8]) -> usize {
        let before = self.sent.counts();
        let passed = self.sent.handle(piece, &mut self.unwritten);
        self.traffic.sent.replace(before, self.sent.counts());
        passed
    }
}

impl<S> Drop for FilteredStream<S> {
    fn drop(&mut self) {
        self.outgoing.end_websocket();
        // An incomplete message never becomes complete now.
        for (totals, counts) in [(&self.traffic.received, self.received.counts()), (&self.traffic.sent, self.sent.counts())] {
            totals.replace(counts, FrameCounts { incomplete: 0, ..counts });
        }
    }
}

impl<S: AsyncWrite + Unpin> FilteredStream<S> {
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unwritten))?;
            note_written(&mut self.sent_packets, &self.outgoing, &self.unwritten[..written]);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            remove_first(&mut self.unwritten, written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The client's socket has taken these bytes.
fn note_written(sent_packets: &mut SentPackets, outgoing: &Outgoing, written: &[u8]) {
    let left = sent_packets.handle(written);
    if left.events > 0 {
        outgoing.leave(left.events);
    }
    if left.answers > 0 {
        outgoing.answered(left.answers);
    }
}

impl<S: AsyncRead + Unpin> FilteredStream<S> {
    fn poll_received(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check_open(WebSocketTask::Reader, cx)?;
        // What has been read is counted already. If it waited here, the answers to it might wait for it.
        if !self.received.has_unread() {
            ready!(self.outgoing.account().poll_may_read(cx));
        }
        let before = self.received.counts();
        let polled = self.received.poll_read(&mut self.io, cx, buffer);
        self.traffic.received.replace(before, self.received.counts());
        let ConnectPackets { packets, bytes } = self.received.take_connects();
        self.outgoing.expect_answers(packets, bytes);
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FilteredStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.last_connect == LastConnect::Read {
            // socketioxide opens a namespace in a task of its own, which has to run before the end is read.
            this.last_connect = LastConnect::Done;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (before, was_complete) = (buffer.filled().len(), this.received.is_complete());
        let polled = ready!(this.poll_received(cx, buffer));
        if this.last_connect == LastConnect::Pending && was_complete && !this.outgoing.namespace_join().has_joined() {
            let is_end = polled.is_err() || buffer.filled().len() == before || ends_session(&buffer.filled()[before..]);
            let connect = if is_end { last_connect_frame() } else { Vec::new() };
            if is_end && buffer.capacity() - before >= connect.len() {
                buffer.set_filled(before);
                buffer.put_slice(&connect);
                this.last_connect = LastConnect::Read;
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(polled)
    }
}

/// Whether a client's frame ends its session: a close frame, or the close packet of Engine.IO (type 1). Bytes after it are lost anyway.
fn ends_session(frame: &[u8]) -> bool {
    match frame {
        [0x88, ..] => true,
        [0x81, 0x81, key, _, _, _, byte, ..] => key ^ byte == b'1',
        _ => false,
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FilteredStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outgoing = &this.outgoing;
        this.kept.note(bytes.len(), || {
            let wakers = outgoing.wakers();
            move || wakers.wake()
        });
        this.check_open(WebSocketTask::Writer, cx)?;
        if this.already_sent > 0 {
            let len = bytes.len().min(this.already_sent);
            this.already_sent -= len;
            return Poll::Ready(Ok(len));
        }
        if !this.sent.has_rule() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
            this.filter_sent(&bytes[..written]);
            note_written(&mut this.sent_packets, &this.outgoing, &bytes[..written]);
            return Poll::Ready(Ok(written));
        }
        ready!(this.poll_unwritten(cx))?;
        let piece = &bytes[..bytes.len().min(MAX_PIECE_BYTES)];
        let passed = this.filter_sent(piece);
        let written = match passed {
            0 => 0,
            _ => match Pin::new(&mut this.io).poll_write(cx, &piece[..passed]) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            },
        };
        note_written(&mut this.sent_packets, &this.outgoing, &piece[..written]);
        this.unwritten.splice(..0, piece[written..passed].iter().copied());
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(WebSocketTask::Writer, cx)?;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(WebSocketTask::Writer, cx)?;
        ready!(this.poll_unwritten(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::limits::kept_buffers::{KeptBuffers, MAX_TOTAL_BYTES, UNCOUNTED_BYTES};
    use crate::limits::waiting_bytes::Ledger;
    use crate::socketio::engine_io_3::{FROM_CLIENT, TO_CLIENT};

    fn kept() -> KeptBuffer {
        KeptBuffers::default().of([127, 0, 0, 1].into())
    }

    fn filtered(room: usize) -> (FilteredStream<DuplexStream>, DuplexStream, Arc<Traffic>) {
        let (server, client) = duplex(room);
        let traffic = Arc::<Traffic>::default();
        let outgoing = Outgoing::new(Ledger::default().open(None));
        (FilteredStream::new(server, Some([&FROM_CLIENT, &TO_CLIENT]), Arc::clone(&traffic), outgoing, kept()), client, traffic)
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
        assert_eq!(traffic.sent.counts(), FrameCounts { bytes, messages: 4, incomplete: 0 });
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn what_has_been_read_is_passed_on_while_the_client_is_not_heard() {
        const MEMORY: usize = 1 << 20;
        let ledger = Ledger::new(MEMORY, 0);
        let (gone, account) = (ledger.open(None), ledger.open(None));
        let _behind = [MEMORY - 1, MEMORY - 1].map(|bytes| gone.add(bytes));
        let _waiting = account.add(MEMORY - 1);
        let ((server, mut client), mut bytes) = (duplex(64), [0; 64]);
        let mut stream = FilteredStream::new(server, None, Arc::default(), Outgoing::new(account), kept());
        stream.put_back(b"read", 0);
        client.write_all(b"\x81\x80\0\0\0\0").await.unwrap();
        let mut buffer = ReadBuf::new(&mut bytes);
        let mut read = || {
            let polled = Pin::new(&mut stream).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut buffer);
            (polled.is_ready(), buffer.filled().to_vec())
        };
        assert_eq!(read(), (true, b"read".to_vec()));
        assert_eq!(read(), (false, b"read".to_vec()), "nothing more is read");
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
        assert_eq!(traffic, [6, 3].map(|bytes| FrameCounts { bytes, messages: 1, incomplete: 0 }));
    }

    /// What socketioxide reads of a WebSocket of Engine.IO 4 on which that comes before its end.
    async fn read(come: &[u8], joins: bool) -> Vec<u8> {
        let (server, mut client) = duplex(1024);
        let outgoing = Outgoing::new(Ledger::default().open(None));
        let mut stream = FilteredStream::new(server, None, Arc::default(), outgoing.clone(), kept());
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
        let after = |come: &[u8]| [come, &last_connect_frame()].concat();
        assert_eq!(read(b"", false).await, last_connect_frame());
        assert_eq!(read(connect, false).await, after(connect), "the namespace may be one that there is not");
        for farewell in [&b"\x88\x80\0\0\0\0"[..], b"\x81\x81\x10\0\0\0\x21"] {
            assert_eq!(read(farewell, false).await, last_connect_frame(), "{farewell:?}");
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
        assert_eq!(traffic.received.counts(), FrameCounts { bytes: 7, messages: 0, incomplete: 0 });
    }
    #[tokio::test]
    async fn a_websocket_ends_where_all_keep_too_much_and_it_keeps_most_even_while_it_waits() {
        const MESSAGE: usize = 1 << 20;
        let (buffers, ledger) = (KeptBuffers::default(), Ledger::default());
        let open = || {
            let (server, client) = duplex(2 * MESSAGE);
            let (outgoing, kept) = (Outgoing::new(ledger.open(None)), buffers.of([127, 0, 0, 1].into()));
            (FilteredStream::new(server, None, Arc::default(), outgoing, kept), client)
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
        assert_eq!(others.len(), MAX_TOTAL_BYTES / (MESSAGE - UNCOUNTED_BYTES));
        for (other, _) in &mut others {
            other.write_all(b"goes on").await.unwrap();
        }
        assert_eq!(ledger.closed(), 0, "nobody failed to read");
        drop(others);
        assert_eq!(buffers.bytes(), 0);
    }
}
