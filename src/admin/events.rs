//! Server-sent events: a page sees what happens without asking.
//!
//! A task of each stream computes nothing that others show as well, and waits for no reader: what a reader does not take is bounded by
//! `MAX_WAITING_EVENTS` and by the bytes of its connection's account, and then the stream ends. It ends with its session, too, when its
//! client's address is banned, and when the server stops.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, http::HeaderValue};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::answer::Refusal;
use super::handle::Admin;
use super::sessions::SignedIn;
use super::views::View;
use crate::http::client_info::ClientInfo;
use crate::limits::waiting_bytes::{Account, WaitingBytes};
use crate::operator::log;
use crate::sentence::Sentence;

/// Events that wait for a reader.
const MAX_WAITING_EVENTS: usize = 32;
/// How often a stream looks whether there is something new.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two comments, which show a proxy that the stream is alive.
const TICKS_OF_COMMENT: u64 = 15;
/// Lines of the log in one event.
const MAX_LINES_OF_EVENT: usize = 100;

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    view: View,
    /// The number of the last line that the page knows.
    #[serde(default)]
    after: u64,
}

pub(super) async fn stream(
    State(admin): State<Admin>,
    Extension(signed_in): Extension<SignedIn>,
    Extension(client): Extension<ClientInfo>,
    account: Option<Extension<Account>>,
    query: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let wrong = |_| {
        Refusal::BadRequest(Sentence::new(
            "view is now, casts, calls, rooms, allocations or log.",
            "view 应为 now、casts、calls、rooms、allocations 或 log。",
        ))
    };
    let Query(query) = query.map_err(wrong)?;
    let slot = Slot::open(&admin, signed_in.id)?;
    let (events, waiting) = mpsc::channel(MAX_WAITING_EVENTS);
    let stream = EventStream {
        stopping: admin.0.stopping(),
        admin,
        _slot: slot,
        session: signed_in.id,
        address: client.address,
        view: query.view,
        shown: None,
        last_line: query.after,
        sink: EventSink { events, account: account.map(|Extension(account)| account) },
    };
    tokio::spawn(stream.run());
    let body = stream::unfold(waiting, |mut waiting: mpsc::Receiver<Bytes>| async {
        let event = waiting.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), waiting))
    });
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // nginx would wait for more.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((head, Body::from_stream(body)).into_response())
}

/// One of the streams that a session and all together may have.
struct Slot {
    admin: Admin,
    stream: u64,
}

impl Slot {
    fn open(admin: &Admin, session: u64) -> Result<Self, Refusal> {
        let stream = admin.0.sessions().open_stream(session).map_err(|_| Refusal::TooManyStreams)?;
        Ok(Self { admin: admin.clone(), stream })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admin.0.sessions().close_stream(self.stream);
    }
}

/// Why a stream goes on no longer.
enum Ended {
    /// The reader has gone, or does not read.
    Reader,
    Session,
    /// The client's address is banned. Through a proxy, its connection is not closed.
    Banned,
    Server,
}

struct EventStream {
    admin: Admin,
    _slot: Slot,
    session: u64,
    /// The client's.
    address: IpAddr,
    view: View,
    /// What was sent last of the view.
    shown: Option<Arc<str>>,
    last_line: u64,
    sink: EventSink,
    stopping: watch::Receiver<bool>,
}

/// Where the reader takes events.
struct EventSink {
    events: mpsc::Sender<Bytes>,
    /// That of the connection.
    account: Option<Account>,
}

impl EventStream {
    async fn run(mut self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0_u64;
        let ended = loop {
            let reader = self.sink.events.clone();
            tokio::select! {
                _ = self.stopping.wait_for(|stopping| *stopping) => break Ended::Server,
                () = reader.closed() => break Ended::Reader,
                _ = interval.tick() => {}
            }
            if let Err(ended) = self.tick(tick).await {
                break ended;
            }
            tick += 1;
        };
        if matches!(ended, Ended::Session) {
            self.sink.send("signed-out", "{}").ok();
        }
    }

    async fn tick(&mut self, tick: u64) -> Result<(), Ended> {
        if !self.admin.0.is_live(self.session) {
            return Err(Ended::Session);
        }
        if self.admin.0.parts.directory.banned_addresses().contain(self.address) {
            return Err(Ended::Banned);
        }
        if tick.is_multiple_of(TICKS_OF_COMMENT) {
            self.sink.send_text(":\n\n".to_owned())?;
        }
        if tick.is_multiple_of(View::Now.interval()) {
            let now = self.json(View::Now).await?;
            self.sink.send(View::Now.name(), &now)?;
        }
        if tick.is_multiple_of(self.view.interval()) {
            match self.view {
                View::Now => {}
                View::Log => self.send_log()?,
                View::Casts | View::Calls | View::Rooms | View::Allocations => self.send_view().await?,
            }
        }
        Ok(())
    }

    async fn json(&self, view: View) -> Result<Arc<str>, Ended> {
        let views = self.admin.0.views().ok_or(Ended::Server)?;
        views.json(view).await.map_err(|_| Ended::Server)
    }

    async fn send_view(&mut self) -> Result<(), Ended> {
        let json = self.json(self.view).await?;
        if self.shown.as_deref() != Some(&*json) {
            self.sink.send(self.view.name(), &json)?;
            self.shown = Some(json);
        }
        Ok(())
    }

    fn send_log(&mut self) -> Result<(), Ended> {
        let lines = log::kept().after(self.last_line);
        for lines in lines.chunks(MAX_LINES_OF_EVENT) {
            self.sink.send(View::Log.name(), &json!({"lines": lines}).to_string())?;
            self.last_line = lines.last().map_or(self.last_line, |line| line.n);
        }
        Ok(())
    }
}

impl EventSink {
    fn send(&self, event: &str, json: &str) -> Result<(), Ended> {
        self.send_text(format!("event: {event}\ndata: {json}\n\n"))
    }

    fn send_text(&self, text: String) -> Result<(), Ended> {
        let waiting = self.account.as_ref().map(|account| account.add(text.len()).ok_or(Ended::Reader)).transpose()?;
        let event = Bytes::from_owner(CountedEvent { text, _waiting: waiting });
        self.events.try_send(event).map_err(|_| {
            if let Some(account) = &self.account {
                account.close("an operator's page does not read its events");
            }
            Ended::Reader
        })
    }
}

/// An event that hyper has not yet written.
struct CountedEvent {
    text: String,
    _waiting: Option<WaitingBytes>,
}

impl AsRef<[u8]> for CountedEvent {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::{Ledger, MAX_CLIENT_BYTES};

    fn sink(account: &Account) -> (EventSink, mpsc::Receiver<Bytes>) {
        let (events, reader) = mpsc::channel(MAX_WAITING_EVENTS);
        (EventSink { events, account: Some(account.clone()) }, reader)
    }

    #[test]
    fn what_a_reader_takes_counts_until_it_is_written() {
        let ledger = Ledger::default();
        let (sink, mut reader) = sink(&ledger.open(None));
        assert!(sink.send("now", "{}").is_ok());
        let event = reader.try_recv().unwrap();
        assert_eq!((&event[..], ledger.bytes()), (&b"event: now\ndata: {}\n\n"[..], event.len()));
        drop(event);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn a_reader_that_does_not_read_is_dropped() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let (slow, _reader) = sink(&account);
        assert!((0..MAX_WAITING_EVENTS).all(|_| slow.send("now", "{}").is_ok()) && !account.is_closed());
        assert!(slow.send("now", "{}").is_err() && account.is_closed());

        let account = ledger.open(None);
        let (large, _reader) = sink(&account);
        let json = "x".repeat(MAX_CLIENT_BYTES / 2);
        assert!(large.send("allocations", &json).is_ok() && large.send("allocations", &json).is_err() && account.is_closed());
    }
}
