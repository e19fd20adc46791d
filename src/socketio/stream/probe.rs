//! The upgrade of a session from polling to a WebSocket (Engine.IO). The client sends a probe (`2probe`), is answered (`3probe`), and confirms
//! the upgrade (`5`). As in engine.io, a session whose client does not confirm it goes on by polling. engineioxide would end such a
//! session, so it gets the WebSocket only after the confirmation. The table of [`Probes`] says which polls have to be answered before.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt as _};
use socketioxide::socket::Sid;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::filtered_stream::FilteredStream;

/// From the handshake to the confirmation, as engine.io's `upgradeTimeout`.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a client takes the close frame and sends its own (RFC 6455 §7.1.2).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of one message before the confirmation.
const MAX_PROBE_MESSAGE_BYTES: usize = 1024;
/// Bytes of all frames before the confirmation, some pings among them.
const MAX_PROBE_BYTES: usize = 4096;

/// After this time a poll is answered while the WebSocket of its session is being probed, as in engine.io.
const POLL_RELEASE_DELAY: Duration = Duration::from_millis(100);

/// The frames of the client that engineioxide reads after the confirmation, masked with zeros: the probe and the confirmation.
const PROBE_AND_UPGRADE: &[u8] = b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005";
/// The frame with which engineioxide answers them, which the client has already got.
const PROBE_ANSWER: &[u8] = b"\x81\x063probe";

/// How far the upgrade of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The session has no WebSocket, or engineioxide has it.
    NoProbe,
    /// A WebSocket has been opened, and the client has not sent the probe.
    Opened,
    Probed,
}

/// The sessions that are polled or probed at present; clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::socketio) struct Probes(Arc<Mutex<HashMap<Sid, ProbedSession>>>);

#[derive(Debug)]
struct ProbedSession {
    stage: Arc<watch::Sender<Stage>>,
    /// How many [`StageHandle`]s there are.
    users: usize,
}

/// Access to the stage of one session; the last handle removes the entry of the session.
#[derive(Debug)]
struct StageHandle {
    probes: Probes,
    sid: Sid,
    stage: Arc<watch::Sender<Stage>>,
}

impl Probes {
    fn handle(&self, sid: Sid) -> StageHandle {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sessions
            .entry(sid)
            .or_insert_with(|| ProbedSession { stage: Arc::new(watch::Sender::new(Stage::NoProbe)), users: 0 });
        entry.users += 1;
        StageHandle { probes: self.clone(), sid, stage: Arc::clone(&entry.stage) }
    }

    /// Begins the upgrade of a session to a WebSocket. `None`: another WebSocket is being probed.
    pub(in crate::socketio) fn begin(&self, sid: Sid) -> Option<Probe> {
        let handle = self.handle(sid);
        let is_first = handle.stage.send_if_modified(|stage| {
            let is_free = *stage == Stage::NoProbe;
            if is_free {
                *stage = Stage::Opened;
            }
            is_free
        });
        is_first.then(|| Probe(handle))
    }

    /// Waits until a poll that begins now has to be answered: engine.io clients confirm the upgrade only after the answer to their poll.
    pub(in crate::socketio) async fn due(&self, sid: Sid) {
        let handle = self.handle(sid);
        let mut stage = handle.stage.subscribe();
        while stage.wait_for(|stage| *stage == Stage::Probed).await.is_ok() {
            if timeout(POLL_RELEASE_DELAY, stage.wait_for(|stage| *stage != Stage::Probed)).await.is_err() {
                return;
            }
        }
        // Unreachable: the handle holds the sender.
        pending().await
    }
}

impl Drop for StageHandle {
    fn drop(&mut self) {
        let mut sessions = self.probes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = sessions.get_mut(&self.sid) {
            entry.users -= 1;
            if entry.users == 0 {
                sessions.remove(&self.sid);
            }
        }
    }
}

/// The WebSocket that is being probed for its session; a session has at most one.
#[derive(Debug)]
pub(in crate::socketio) struct Probe(StageHandle);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.stage.send_replace(Stage::NoProbe);
    }
}

/// Reads the probe and the confirmation of an upgrade. True: engineioxide reads both again. False: the WebSocket has been closed.
pub(in crate::socketio) async fn is_agreed<S>(stream: &mut FilteredStream<S>, probe: Option<Probe>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(64)
        .max_message_size(Some(MAX_PROBE_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_PROBE_MESSAGE_BYTES));
    let frames = SingleFrames { stream, left: MAX_PROBE_BYTES };
    let mut socket = WebSocketStream::from_raw_socket(frames, Role::Server, Some(config)).await;
    let agreed = match probe {
        Some(probe) => matches!(timeout(UPGRADE_TIMEOUT, is_confirmed(&mut socket, &probe)).await, Ok(Ok(true))),
        None => false,
    };
    if agreed {
        stream.put_back(PROBE_AND_UPGRADE, PROBE_ANSWER.len());
    } else {
        // A client that does not take part in the closing handshake is not waited for.
        let _ = timeout(CLOSE_TIMEOUT, close(&mut socket)).await;
    }
    agreed
}

/// Whether the client confirms the upgrade. As in engine.io, it may do so without a probe.
async fn is_confirmed<S>(socket: &mut WebSocketStream<S>, probe: &Probe) -> Result<bool, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) if text.as_str() == "2probe" => {
                probe.0.stage.send_replace(Stage::Probed);
                socket.send(Message::text("3probe")).await?;
            }
            Message::Text(text) if text.starts_with('5') => {
                socket.flush().await?;
                return Ok(true);
            }
            // tungstenite answers pings.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(_) | Message::Binary(_) | Message::Close(_) | Message::Frame(_) => break,
        }
    }
    Ok(false)
}

/// The closing handshake.
async fn close<S>(socket: &mut WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // tungstenite's own `close` does not send the answer to a close frame.
    if SinkExt::close(socket).await.is_ok() && socket.get_mut().flush().await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// Reads no byte beyond the current frame, so that the bytes after the confirmation are left in the stream.
struct SingleFrames<'a, S> {
    stream: &'a mut S,
    /// Bytes that may still be read.
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for SingleFrames<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(left) = this.left.checked_sub(1) else { return Poll::Ready(Err(io::ErrorKind::InvalidData.into())) };
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut *this.stream).poll_read(cx, &mut one))?;
        this.left = left;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SingleFrames<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;
    use crate::limits::kept_buffers::KeptBuffers;
    use crate::limits::waiting_bytes::Ledger;
    use crate::socketio::engine_io_3::{FROM_CLIENT, TO_CLIENT};
    use crate::socketio::sessions::outgoing::Outgoing;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [0x11, 0x92, 0x33, 0xF4];
        let masked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        [first, 0x80 | payload.len() as u8].into_iter().chain(key).chain(masked).collect()
    }

    fn text(payload: &[u8]) -> Vec<u8> {
        frame(0x81, payload)
    }

    /// A client says all that in such pieces, without waiting, and stops. What it hears, and what engineioxide reads if it gets
    /// the WebSocket.
    async fn said(sent: &[u8], piece: usize, old: bool) -> (Vec<u8>, Option<Vec<u8>>) {
        let (server, mut client) = duplex(piece);
        let rules = old.then_some([&FROM_CLIENT, &TO_CLIENT]);
        let kept = KeptBuffers::default().of([127, 0, 0, 1].into());
        let mut stream = FilteredStream::new(server, rules, Arc::default(), Outgoing::new(Ledger::default().open(None)), kept);
        let probe = Probes::default().begin(Sid::new());
        assert!(probe.is_some());
        let serving = tokio::spawn(async move {
            let mut read = Vec::new();
            let agreed = is_agreed(&mut stream, probe).await;
            if agreed {
                stream.read_to_end(&mut read).await.unwrap();
            }
            agreed.then_some(read)
        });
        let (mut from, mut to) = tokio::io::split(&mut client);
        let mut heard = Vec::new();
        let saying = async {
            // Who is closed does not hear the rest.
            let _ = to.write_all(sent).await;
            let _ = to.shutdown().await;
        };
        let (_, read) = tokio::join!(saying, from.read_to_end(&mut heard));
        read.unwrap();
        (heard, serving.await.unwrap())
    }

    const CLOSE: &[u8] = b"\x88\0";

    #[tokio::test]
    async fn a_probe_is_agreed_on_however_its_bytes_come() {
        let behind = [text(b"42[\"a\"]"), frame(0x82, &[0; 9])[..9].to_vec()].concat();
        let (probe, five, ping) = (text(b"2probe"), text(b"5"), frame(0x89, b"x"));
        let fragments = [frame(0x01, b"2pr"), frame(0x89, b"x"), frame(0x80, b"obe")].concat();
        for (start, heard) in [
            ([&probe[..], &five].concat(), [PROBE_ANSWER].concat()),
            ([&ping[..], &probe, &five].concat(), [b"\x8a\x01x", PROBE_ANSWER].concat()),
            ([&probe[..], &ping, &five].concat(), [PROBE_ANSWER, b"\x8a\x01x"].concat()),
            ([&frame(0x8a, b"")[..], &probe, &five].concat(), [PROBE_ANSWER].concat()),
            ([&probe[..], &probe, &five].concat(), [PROBE_ANSWER, PROBE_ANSWER].concat()),
            ([&fragments[..], &five].concat(), [b"\x8a\x01x", PROBE_ANSWER].concat()),
            (five.clone(), Vec::new()),
        ] {
            for (piece, old) in [(4096, false), (1, false), (4096, true), (1, true)] {
                let expected = (heard.clone(), Some([PROBE_AND_UPGRADE, &behind].concat()));
                assert_eq!(said(&[&start[..], &behind].concat(), piece, old).await, expected, "{start:?} {piece} {old}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_probe_is_closed() {
        let probe = text(b"2probe");
        for wrong in [
            text(b"2"),
            text(b"2probes"),
            text(b"40/a?b,"),
            text(b""),
            text(b"\xFF"),
            frame(0x82, b"2probe"),
            frame(0x80, b"2probe"),
            frame(0xC1, b"2probe"),
            b"\x81\x062probe".to_vec(),
            [&[0x81, 0xFE, 0x04, 0x01, 0, 0, 0, 0][..], &[b'2'; 1025]].concat(),
        ] {
            for old in [false, true] {
                assert_eq!(said(&wrong, 4096, old).await, (CLOSE.to_vec(), None), "{wrong:?}");
                assert_eq!(
                    said(&[&probe[..], &wrong].concat(), 4096, old).await,
                    ([PROBE_ANSWER, CLOSE].concat(), None),
                    "{wrong:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_close_is_answered_and_an_end_without_a_word_is_one() {
        let (probe, close) = (text(b"2probe"), frame(0x88, &[0x03, 0xE8]));
        assert_eq!(said(&close, 4096, false).await, (b"\x88\x02\x03\xE8".to_vec(), None));
        assert_eq!(said(&[&probe[..], &close].concat(), 1, false).await, ([PROBE_ANSWER, b"\x88\x02\x03\xE8"].concat(), None));
        assert_eq!(said(&probe[..7], 4096, false).await.1, None);
        assert_eq!(said(b"", 4096, false).await.1, None);
    }

    #[tokio::test]
    async fn pings_without_end_are_closed() {
        let pings = frame(0x89, b"x").repeat(MAX_PROBE_BYTES);
        assert_eq!(said(&pings, 64, false).await.1, None);
    }

    #[tokio::test]
    async fn the_second_websocket_is_closed_and_the_first_stays() {
        let (probes, sid) = (Probes::default(), Sid::new());
        let first = probes.begin(sid);
        assert!(first.is_some());
        assert!(probes.begin(sid).is_none());
        assert!(probes.begin(sid).is_none(), "the second one's end is not the first one's");
        assert!(probes.begin(Sid::new()).is_some());
        drop(first);
        assert!(probes.begin(sid).is_some());
        assert!(probes.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn polls_are_let_go_between_the_probe_and_its_end() {
        let (probes, sid) = (Probes::default(), Sid::new());
        let boxed = |sid| -> Pin<Box<dyn Future<Output = ()> + '_>> { Box::pin(probes.due(sid)) };
        let (mut waiting, mut another) = (boxed(sid), boxed(Sid::new()));
        let waits = |poll: &mut Pin<Box<dyn Future<Output = ()> + '_>>| poll.now_or_never().is_none();
        assert!(waits(&mut waiting));
        let probe = probes.begin(sid).unwrap();
        assert!(waits(&mut waiting), "nothing has been said yet");
        probe.0.stage.send_replace(Stage::Probed);
        waiting.await;
        probes.due(sid).await;
        let mut late = boxed(sid);
        assert!(waits(&mut late));
        drop(probe);
        // Longer than such a poll has.
        assert!(timeout(2 * POLL_RELEASE_DELAY, late.as_mut()).await.is_err(), "the probe is over");
        assert!(waits(&mut another), "another session's");
        drop((late, another));
        assert!(probes.0.lock().unwrap().is_empty());
    }
}
