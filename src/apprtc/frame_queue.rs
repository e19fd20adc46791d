//! The queue of frames for one client's WebSocket.
//!
//! Owner: the rooms hold a [`FrameSender`] as the handle of a socket, the socket's task holds the [`FrameReceiver`]. Invariants:
//! sending never blocks; the queued bytes count in the client's [`Account`], and a client whose account is full is disconnected.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::limits::waiting_bytes::{Account, WaitingBytes};

/// Memory of a queued frame besides its text.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// Clones are the same socket.
#[derive(Debug, Clone)]
pub(super) struct FrameSender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    commands: mpsc::UnboundedSender<SocketCommand>,
    account: Account,
    account_closed: Arc<Notify>,
}

/// What a socket's task has to do next.
#[derive(Debug)]
pub(super) enum SocketCommand {
    Send(QueuedFrame),
    Close,
}

/// A frame that is not yet written; its bytes count until it is dropped.
#[derive(Debug)]
pub(super) struct QueuedFrame {
    pub(super) text: String,
    pub(super) waiting: WaitingBytes,
}

#[derive(Debug)]
pub(super) struct FrameReceiver(mpsc::UnboundedReceiver<SocketCommand>);

impl PartialEq for FrameSender {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl FrameSender {
    pub(super) fn new(account: Account) -> (Self, FrameReceiver) {
        let (sender, commands) = mpsc::unbounded_channel();
        let account_closed = Arc::<Notify>::default();
        let notify = Arc::clone(&account_closed);
        account.on_close(move || notify.notify_one());
        (Self(Arc::new(Inner { commands: sender, account, account_closed })), FrameReceiver(commands))
    }

    pub(super) fn send(&self, text: String) {
        if let Some(waiting) = self.0.account.add(text.len() + FRAME_OVERHEAD_BYTES) {
            // When the receiver is gone, the socket's task is already leaving the room.
            self.0.commands.send(SocketCommand::Send(QueuedFrame { text, waiting })).ok();
        }
    }

    /// Counts a frame of the client that is not handled yet. `None`: the account is full, and the client has to be disconnected.
    pub(super) fn count_unhandled(&self, bytes: usize) -> Option<WaitingBytes> {
        self.0.account.add(bytes)
    }

    /// Ends when the client's account is closed because too many bytes wait.
    pub(super) async fn account_closed(&self) {
        self.0.account_closed.notified().await;
    }

    pub(super) fn close(&self) {
        self.0.commands.send(SocketCommand::Close).ok();
    }
}

impl FrameReceiver {
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> SocketCommand {
        self.0.recv().await.unwrap_or(SocketCommand::Close)
    }

    /// The next command that is already queued.
    pub(super) fn try_next(&mut self) -> Option<SocketCommand> {
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected_and_sending_never_blocks() {
        let (sender, mut receiver) = FrameSender::new(Ledger::default().open(None));
        for _ in 0..40 {
            sender.send("x".repeat(64 * 1024));
        }
        tokio::time::timeout(Duration::from_secs(5), sender.account_closed()).await.expect("it overflowed");
        let taken = std::iter::from_fn(|| receiver.try_next()).count();
        assert_eq!(taken, MAX_CLIENT_BYTES / (64 * 1024 + FRAME_OVERHEAD_BYTES), "no more than the bound was kept");
    }

    #[tokio::test]
    async fn a_frame_that_was_read_counts_no_longer() {
        let (sender, mut receiver) = FrameSender::new(Ledger::default().open(None));
        for _ in 0..200 {
            sender.send("x".repeat(64 * 1024));
            assert!(matches!(receiver.next().await, SocketCommand::Send(_)));
        }
        let closed = tokio::time::timeout(Duration::from_millis(1), sender.account_closed()).await;
        assert!(closed.is_err(), "it never had to wait for more than one");
    }
}
