//! One WebSocket of Collider, from its handshake to its end.
//!
//! Owner: a task for each socket. Inputs: the client's frames, and the commands of its [`FrameReceiver`]. Outputs: events for the
//! [`AppRtcGateway`] and frames for the client. Invariants: a client sends no faster than [`SEND_LIMIT`], a client that reads too slowly
//! is disconnected, and a socket that registered leaves its room exactly once.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::frame_queue::{FrameReceiver, FrameSender, QueuedFrame, SocketCommand};
use super::gateway::AppRtcGateway;
use super::model::{ClientDetails, Refusal};
use super::websocket::WebSocket;
use super::wire::{self, Command};
use crate::limits::byte_budget::{ByteBudget, ByteRate};

/// A client is pinged at this interval, and is disconnected if it sent nothing since the last ping.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long one frame may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server reads what the client sent before its slot was removed or before it stopped reading.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(250);
/// How long the last frames and the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Faster frames wait, so that no client fills its peer's queue.
const SEND_LIMIT: ByteRate = ByteRate { rate: 512 << 10, burst: 1 << 20 };
/// A smaller frame costs this much of the budget.
const MIN_FRAME_COST_BYTES: usize = 100;

/// Serves a socket until it ends. `agent`: what its handshake says of the client.
pub(super) async fn run(mut socket: WebSocket, gateway: &AppRtcGateway, from: IpAddr, agent: Option<String>) {
    let (sender, mut receiver) = FrameSender::new(gateway.open_account(from));
    let budget = ByteBudget::new(SEND_LIMIT, std::time::Instant::now());
    let mut client = SocketClient { gateway, from, agent, sender, registered: None, budget };
    let reason = exchange_frames(&mut socket, &mut client, &mut receiver).await;
    if matches!(reason, EndReason::SlowReader) {
        // Nobody will read these frames, and they must not count any longer.
        while receiver.try_next().is_some() {}
    }
    if matches!(reason, EndReason::CloseCommand | EndReason::SlowReader) {
        timeout(DRAIN_TIMEOUT, handle_remaining_frames(&mut socket, &mut client)).await.ok();
    }
    // The grace period of its slot begins here, however long the close takes.
    drop(client);
    let error = match reason {
        EndReason::Gone | EndReason::SlowReader => return,
        EndReason::CloseCommand => None,
        EndReason::Error(error) => Some(wire::error_frame(&error)),
    };
    timeout(CLOSE_TIMEOUT, close(&mut socket, receiver, error)).await.ok();
}

enum EndReason {
    /// The socket is closed or dead.
    Gone,
    /// The client does not read; it may have sent a bye before.
    SlowReader,
    /// The rooms have closed the socket.
    CloseCommand,
    /// The client has made this error.
    Error(String),
}

async fn exchange_frames(socket: &mut WebSocket, client: &mut SocketClient<'_>, receiver: &mut FrameReceiver) -> EndReason {
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut received_since_ping = true;
    loop {
        let command = tokio::select! {
            message = socket.recv() => {
                received_since_ping = true;
                let text = match message {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return EndReason::Gone,
                };
                let Some(unhandled) = client.sender.count_unhandled(text.len()) else { return EndReason::SlowReader };
                client.wait_for_budget(text.len()).await;
                drop(unhandled);
                match client.handle_frame(&text) {
                    None => continue,
                    Some(reason) => return reason,
                }
            }
            command = receiver.next() => command,
            () = client.sender.account_closed() => return EndReason::SlowReader,
            _ = ping.tick() => {
                if !std::mem::replace(&mut received_since_ping, false) {
                    return EndReason::Gone;
                }
                if !write(socket, Message::Ping(Bytes::new()), &client.sender).await {
                    return EndReason::SlowReader;
                }
                continue;
            }
        };
        match command {
            SocketCommand::Close => return EndReason::CloseCommand,
            SocketCommand::Send(QueuedFrame { text, waiting }) => {
                if !write(socket, Message::Text(text.into()), &client.sender).await {
                    return EndReason::SlowReader;
                }
                drop(waiting);
            }
        }
    }
}

async fn handle_remaining_frames(socket: &mut WebSocket, client: &mut SocketClient<'_>) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = message {
            let text = message.into_data();
            client.wait_for_budget(text.len()).await;
            client.handle_frame(&text);
        }
    }
}

/// Writes the queued frames and the error, and closes the WebSocket (RFC 6455 §7.1.2).
async fn close(socket: &mut WebSocket, mut receiver: FrameReceiver, error: Option<String>) -> Result<(), Error> {
    let queued = std::iter::from_fn(|| receiver.try_next()).filter_map(|command| match command {
        SocketCommand::Send(frame) => Some(frame),
        SocketCommand::Close => None,
    });
    let queued: Vec<_> = queued.collect();
    for QueuedFrame { text, waiting } in queued {
        socket.send(Message::Text(text.into())).await?;
        drop(waiting);
    }
    if let Some(error) = error {
        socket.send(Message::Text(error.into())).await?;
    }
    socket.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await?;
    // A TCP connection that is closed with unread bytes is reset, and the client could lose the last frames.
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}

/// `false` if the client does not read.
async fn write(socket: &mut WebSocket, message: Message, sender: &FrameSender) -> bool {
    tokio::select! {
        sent = timeout(WRITE_TIMEOUT, socket.send(message)) => matches!(sent, Ok(Ok(()))),
        () = sender.account_closed() => false,
    }
}

/// The client behind a socket. Its drop reports to the rooms that the socket has closed.
struct SocketClient<'a> {
    gateway: &'a AppRtcGateway,
    from: IpAddr,
    /// Until it registers.
    agent: Option<String>,
    sender: FrameSender,
    registered: Option<Registered>,
    budget: ByteBudget,
}

#[derive(Clone)]
struct Registered {
    room: String,
    client: String,
}

impl SocketClient<'_> {
    async fn wait_for_budget(&mut self, bytes: usize) {
        let cost = bytes.max(MIN_FRAME_COST_BYTES).min(SEND_LIMIT.burst as usize);
        while let Err(wait) = self.budget.spend(cost, std::time::Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// `Some` if the socket has to end.
    fn handle_frame(&mut self, frame: &[u8]) -> Option<EndReason> {
        let error = match (Command::read(frame), &self.registered) {
            (Err(error), _) => format!("websocket.JSON.Receive error: {error}"),
            (Ok(Command::Unexpected), _) => return self.answer_error("Invalid message: unexpected 'cmd'"),
            (Ok(Command::Register { .. }), Some(_)) => "Duplicated register request".into(),
            (Ok(Command::Register { room, client }), None) => match self.register(room, client) {
                Ok(()) => return None,
                Err(error) => error,
            },
            (Ok(Command::Send { .. }), None) => "Client not registered".into(),
            (Ok(Command::Send { message }), Some(_)) if message.is_empty() => "Invalid send request: missing 'msg'".into(),
            (Ok(Command::Send { message }), Some(registered)) => match wire::check_size(&message) {
                Err(too_large) => return self.answer_error(&too_large.to_string()),
                Ok(()) => {
                    self.send(registered, message);
                    return None;
                }
            },
        };
        self.gateway.count_socket_error();
        Some(EndReason::Error(error))
    }

    /// Sends an error, and lets the client go on.
    fn answer_error(&self, error: &str) -> Option<EndReason> {
        self.gateway.count_socket_error();
        self.sender.send(wire::error_frame(error));
        None
    }

    fn send(&self, Registered { room, client }: &Registered, message: String) {
        let sent =
            self.gateway.handle(self.from, |rooms, context| rooms.handle_send(room, client, &self.sender, message, context));
        // As Collider does, drop a message that does not fit the queue. If the slot is gone, the socket is being closed.
        if let Err(refusal) = sent {
            tracing::debug!(%refusal, from = %self.from, "not delivered");
        }
    }

    fn register(&mut self, room: String, client: String) -> Result<(), String> {
        if room.is_empty() || client.is_empty() {
            return Err("Invalid register request: missing 'clientid' or 'roomid'".into());
        }
        wire::check_names(&room, &client).map_err(|error| format!("Invalid register request: {error}"))?;
        if !self.gateway.may_signal(&room, &client) {
            return Err(wire::NOT_JOINED.to_owned());
        }
        self.gateway.check_open(&room, self.from).map_err(|_| "Too many new rooms from this address".to_owned())?;
        let details = ClientDetails { agent: self.agent.take(), user: None };
        let registered = self.gateway.handle(self.from, |rooms, context| {
            rooms.handle_register(&room, &client, &self.sender, context)?;
            rooms.describe(&room, &client, details);
            Ok::<_, Refusal>(())
        });
        registered.map_err(|refusal| refusal.to_string())?;
        self.gateway.count_registration();
        self.registered = Some(Registered { room, client });
        Ok(())
    }
}

impl Drop for SocketClient<'_> {
    fn drop(&mut self) {
        if let Some(Registered { room, client }) = &self.registered {
            self.gateway.handle(self.from, |rooms, context| rooms.handle_drop(room, client, &self.sender, context));
        }
    }
}
