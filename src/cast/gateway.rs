//! The Socket.IO shell around the cast rooms: reads events, calls [`Rooms`], sends the outputs.
//!
//! Owner of the rooms and of the table of clients, behind the lock of [`Connections`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};

use super::casting_users::CastingUsers;
use super::client::{Client, NO_ARGUMENTS, ReadEvent, WaitingRequest, username};
use super::issuer::Issuer;
use super::model::{Dialect, Notice, Output, Refusal, Seated, Signal};
use super::pending::Entry;
use super::reports::{CastReports, Reporting, Told};
use super::room::Rooms;
use super::wire::{self, Content, EntryEvent, Failure, Request, WireEvent};
use crate::admission::{Admission, Proof};
use crate::clock::WallClock;
use crate::hooks::authorize::Question;
use crate::outcomes::party::PageReport;
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::Sources;
use crate::room_driver::DrivenState;
use crate::socketio::gateway::client_connection::ClientConnection;
use crate::socketio::gateway::client_id::ClientId;
use crate::socketio::gateway::connections::{Connections, WeakConnections};
use crate::socketio::gateway::event_sender::EventSender;
use crate::socketio::gateway::gateway_state::{Disconnect, GatewayState, ReceivedEvent};

/// Front ends of dialect B connect to this namespace and expect to be asked for their device token.
pub const RTC: &str = "/rtc";

/// What the gateway serves now, and has evicted since the start.
#[derive(Debug, Clone, Copy)]
pub struct CastCounts {
    /// TVs with a code.
    pub tvs: usize,
    /// Casts that run.
    pub casts: usize,
    /// TVs that wait for a code.
    pub waiting: usize,
    /// TVs that have been evicted since the start.
    pub evicted: u64,
    /// Connected clients.
    pub clients: usize,
}

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct CastGateway(pub(super) Connections<State>);

pub(super) struct State {
    pub(super) rooms: Rooms<Content>,
    /// Makes rooms without clients.
    new_rooms: Box<dyn Fn(WallClock) -> Rooms<Content> + Send>,
    pub(super) clients: HashMap<ClientId, Client>,
    pub(super) issuer: Box<dyn Issuer>,
    pub(super) reports: CastReports,
    sources: Sources,
    reporter: Reporter,
    pub(super) admission: Admission,
    pub(super) casting_users: CastingUsers,
    /// The number of the last question to the operator's server.
    pub(super) last_question: u64,
    /// Of the gateway itself, for answers.
    pub(super) handle: WeakConnections<State>,
}

/// How a request that was not refused is acknowledged.
pub(super) enum Answer {
    Now(Value),
    /// When the TV has its code.
    Later {
        event: EntryEvent,
        had_token: bool,
    },
    /// When the operator's server has answered.
    Asked(Box<AskedEntry>),
    /// When the verdict is made, if the report is one of a failure.
    AfterReport(PageReport),
}

/// An entry that waits for the answer to a question.
pub(super) struct AskedEntry {
    pub(super) question: Question,
    pub(super) entry: Entry,
}

impl CastGateway {
    /// `new_rooms` makes rooms without clients. Verdicts are made from `sources`, and `reporter` is told what becomes of each cast.
    /// `admission` decides who may have a seat.
    pub fn new(
        new_rooms: impl Fn(WallClock) -> Rooms<Content> + Send + 'static,
        clock: WallClock,
        issuer: impl Issuer,
        sources: Sources,
        reporter: Reporter,
        admission: Admission,
    ) -> Self {
        Self(Connections::with_handle(|handle| State {
            rooms: new_rooms(clock),
            new_rooms: Box::new(new_rooms),
            clients: HashMap::new(),
            issuer: Box::new(issuer),
            reports: CastReports::new(sources.clone(), reporter.clone()),
            sources,
            reporter,
            admission,
            casting_users: CastingUsers::default(),
            last_question: 0,
            handle,
        }))
    }

    /// Before the client is told that it is connected. `auth`: what its handshake has by that name.
    pub fn register(&self, socket: &SocketRef, auth: Option<&Value>) {
        if self.0.with(|state, _| state.admission.reads_proofs())
            && let Some(Ok(Some(proof))) = auth.map(Proof::read)
        {
            socket.extensions.insert(proof);
        }
        self.0.register(socket, |name, packet| {
            let request = wire::read(&name, packet.json.as_str(), packet.attachments);
            ReadEvent { name, request }
        });
    }

    /// The client is connected.
    pub fn connected(&self, socket: SocketRef) {
        self.0.connected(socket, |state, socket, sender| {
            if socket.ns() == RTC {
                sender.emit(&socket, "VERIFY", NO_ARGUMENTS);
            }
            state.clients.insert(socket.client(), Client::new(socket));
        });
    }

    /// Runs the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0
            .run(|state, _| {
                let now = Instant::now();
                state.rooms.handle_timeout(now);
                state.reports.handle_timeout(now);
            })
            .await;
    }

    /// Tells all clients that the server is shutting down. For the log their casts end.
    pub fn announce_shutdown(&self) {
        self.0.with(|state, sender| {
            state.reports.stop(Instant::now());
            state.clients.values().for_each(|client| sender.emit(&client.socket, "SERVER_SHUTDOWN", json!({})));
        });
    }

    /// The wall clock has been set.
    pub fn handle_clock(&self, clock: WallClock) {
        self.0.with(|state, _| state.rooms.handle_clock(clock, Instant::now()));
    }

    /// The secret that signs credentials has changed, or the wall clock was set by so much that credentials may end early: all seated clients
    /// that accept unasked credentials get fresh ones within seconds.
    pub fn renew_credentials(&self) {
        self.0.with(|state, _| state.rooms.renew_credentials(Instant::now()));
    }

    /// Users have changed: casts of those who were disabled or removed, or have a new password, end.
    pub fn follow_users(&self) {
        self.0.with(|state, _| state.end_casts_of_former_users(Instant::now()));
    }

    /// Ends the connections and the seats of the clients at these addresses. Both sides of their casts are told that the operator ended
    /// them.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.0.with(|state, _| {
            for id in state.clients_of(&is_one) {
                state.rooms.handle_operator_end_of(id, Instant::now());
            }
        });
        self.0.end_clients(is_one);
    }

    /// For how long events have held the lock of all rooms, see [`RoomDriver::locked_time`](crate::room_driver::RoomDriver::locked_time).
    pub fn locked_time(&self) -> Duration {
        self.0.locked_time()
    }

    pub fn counts(&self) -> CastCounts {
        self.0.with(|state, _| CastCounts {
            tvs: state.rooms.len(),
            casts: state.reports.running(),
            waiting: state.rooms.waiting(),
            evicted: state.rooms.evicted(),
            clients: state.clients.len(),
        })
    }
}

impl DrivenState for State {
    const NAME: &'static str = "cast";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout().into_iter().chain(self.reports.next_timeout()).min()
    }

    fn reset(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.rooms = (self.new_rooms)(self.rooms.clock()).instead_of(&self.rooms);
        self.reports = CastReports::new(self.sources.clone(), self.reporter.clone());
        self.casting_users = CastingUsers::default();
        for (id, client) in clients {
            self.issuer.end_lease(&username(id));
            client.socket.disconnect();
        }
    }
}

impl GatewayState for State {
    type Request = ReadEvent;

    fn handle_event(&mut self, id: ClientId, event: ReceivedEvent<ReadEvent>, sender: &mut EventSender) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.budget.spend(event.bytes, 1) {
            Ok(paid) => {
                if let Some(event) = self.hold(id, event, paid, sender) {
                    self.handle_paid(id, event, paid, sender);
                }
            }
            Err(wait) => {
                let ReceivedEvent { request: ReadEvent { name, .. }, ack, .. } = event;
                self.finish(id, name, ack, Err(Failure::over_budget(wait)), sender);
            }
        }
    }

    fn send_outputs(&mut self, sender: &mut EventSender) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Seated { to, result, .. } => self.answer_waiting(to, &result, sender),
                Output::Deliver { to, dialect, signal } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    client.deliver(sender, wire::delivery(dialect, signal));
                }
                Output::CastState { to, state } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    client.deliver(sender, wire::cast_state(state));
                }
                Output::Notify { to, dialect, notice } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    if notice == Notice::Credentials {
                        let config = client.config(&*self.issuer, dialect);
                        client.emit(sender, WireEvent { name: "CONFIG_FEEDBACK", argument: Some(json!({"config": config})) });
                    }
                    wire::notice_events(dialect, &notice).into_iter().for_each(|event| client.emit(sender, event));
                }
            }
        }
        self.send_verdicts(sender);
    }

    fn clients_of(&self, is_one: &dyn Fn(IpAddr) -> bool) -> Vec<ClientId> {
        self.clients.iter().filter(|(_, client)| is_one(client.from)).map(|(id, _)| *id).collect()
    }

    fn remove_client(&mut self, id: ClientId, how: Disconnect) -> Option<ClientConnection> {
        match how {
            Disconnect::Deliberate => drop(self.rooms.handle_leave(id, Instant::now())),
            Disconnect::Dropped => self.rooms.handle_drop(id, Instant::now()),
        }
        self.issuer.end_lease(&username(id));
        self.reports.remove_client(id);
        self.clients.remove(&id).map(|client| client.socket)
    }
}

impl State {
    /// Handles an event that the client has paid for.
    pub(super) fn handle_paid(&mut self, id: ClientId, event: ReceivedEvent<ReadEvent>, paid: usize, sender: &mut EventSender) {
        if !self.clients.contains_key(&id) {
            return;
        }
        let sent_before = sender.sent_bytes();
        let ReceivedEvent { request: ReadEvent { name, request }, ack, .. } = event;
        let result = self.perform(id, request, sender);
        self.finish(id, name, ack, result, sender);
        self.charge(id, paid, sent_before, sender);
    }

    /// Answers a request, and sends what it leads to.
    pub(super) fn finish(
        &mut self,
        id: ClientId,
        event: String,
        ack: Option<AckSender>,
        result: Result<Answer, Failure>,
        sender: &mut EventSender,
    ) {
        match result {
            Ok(Answer::Now(answer)) => self.acknowledge(id, ack, answer, sender),
            Ok(Answer::Later { event, had_token }) => self.keep_waiting(id, WaitingRequest { event, had_token, ack }),
            Ok(Answer::AfterReport(report)) => self.take_report(id, &event, report, ack, sender),
            Ok(Answer::Asked(asked)) => self.ask(id, event, ack, *asked),
            Err(failure) => {
                // A refused client hears first of what led to that.
                self.send_outputs(sender);
                self.refuse(id, &event, ack, &failure, sender);
            }
        }
        self.send_outputs(sender);
    }

    /// Charges a client what the server has sent for its event beyond what it has paid.
    pub(super) fn charge(&mut self, id: ClientId, paid: usize, sent_before: usize, sender: &EventSender) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.budget.charge_excess(paid, sender.sent_bytes() - sent_before);
        }
    }

    fn perform(
        &mut self,
        id: ClientId,
        request: Option<Result<Request, Failure>>,
        sender: &mut EventSender,
    ) -> Result<Answer, Failure> {
        let request = request.ok_or_else(Failure::unknown_event)??;
        let client = self.clients.get_mut(&id).expect("the caller looked it up");
        match request {
            Request::Config => {
                self.issuer.check_rate(client.from).map_err(Failure::rate_limited)?;
                let config = client.pooled_config(&*self.issuer);
                sender.emit(&client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
            }
            Request::Verify => {
                client.verified = true;
                sender.emit(&client.socket, "VERIFY_RESPONCE", json!({"code": 200}));
            }
            Request::Open(arguments) => return self.open(id, arguments, sender),
            Request::Join(arguments) => return self.join(id, arguments, sender),
            Request::Signal(signal) => {
                let (bytes, is_offer) = (signal.payload().bytes(), matches!(signal, Signal::Offer(_)));
                self.rooms.handle_signal(id, signal, bytes)?;
                if is_offer && let Some(code) = self.rooms.code_of(id) {
                    self.reports.offered(code, Instant::now());
                }
            }
            Request::Report(report) => return Ok(Answer::AfterReport(*report)),
            Request::NewCode => return self.new_code(id).map(Answer::Now),
            Request::Check(arguments) => return self.check(id, &arguments).map(Answer::Now),
            Request::CastState(state) => self.rooms.handle_cast_state(id, state)?,
            Request::EndCast => self.rooms.handle_end_cast(id, Instant::now())?,
            Request::Leave => {
                client.waiting.clear();
                self.rooms.handle_leave(id, Instant::now())?;
            }
        }
        Ok(Answer::Now(json!({"ok": true})))
    }

    fn take_report(&mut self, id: ClientId, event: &str, report: PageReport, ack: Option<AckSender>, sender: &mut EventSender) {
        let has_seat = self.rooms.code_of(id).is_some();
        match self.reports.report(report, Reporting { client: id, ack }, has_seat, Instant::now()) {
            Ok(told) => told.into_iter().for_each(|told| self.tell(told, sender)),
            Err((Reporting { ack, .. }, failure)) => self.refuse(id, event, ack, &failure, sender),
        }
    }

    /// Follows what has happened to the casts, and sends what that leads to.
    fn send_verdicts(&mut self, sender: &mut EventSender) {
        while let Some(event) = self.rooms.poll_cast_event() {
            let now = Instant::now();
            self.casting_users.handle(event, |id| self.clients.get(&id)?.user.clone());
            let member = |id| self.clients.get(&id).map(|client| client.member(&*self.issuer));
            self.reports.handle(event, member, now);
        }
        while let Some(told) = self.reports.poll() {
            self.tell(told, sender);
        }
    }

    fn tell(&self, told: Told, sender: &mut EventSender) {
        match told {
            Told::Answer { to, verdict } => {
                self.acknowledge(to.client, to.ack, wire::report_answer(verdict.as_ref()), sender);
            }
            Told::Verdict { to, side, code } => {
                self.clients.get(&to).inspect(|client| client.emit(sender, wire::cast_verdict(side, code)));
            }
        }
    }

    fn keep_waiting(&mut self, id: ClientId, request: WaitingRequest) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.waiting.retain(|waiting| waiting.event != request.event);
        client.waiting.push(request);
    }

    /// Answers a TV that waited, once for each event by which it asked. An evicted TV has not asked again.
    pub(super) fn answer_waiting(&mut self, id: ClientId, result: &Result<Seated, Refusal>, sender: &mut EventSender) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut waiting = std::mem::take(&mut client.waiting);
        if waiting.is_empty() {
            waiting.extend(client.tv_event.map(|event| WaitingRequest { event, had_token: true, ack: None }));
        }
        for WaitingRequest { event, had_token, ack } in waiting {
            match result {
                Ok(seated) => {
                    self.welcome_tv(&self.clients[&id], sender, event, had_token, seated);
                    self.acknowledge(id, ack, wire::accepted(seated), sender);
                }
                Err(refusal) => self.refuse(id, event.name(), ack, &Failure::from(*refusal), sender),
            }
        }
    }

    pub(super) fn welcome_tv(
        &self,
        client: &Client,
        sender: &mut EventSender,
        event: EntryEvent,
        had_token: bool,
        seated: &Seated,
    ) {
        if event.dialect() == Dialect::B && !had_token {
            // A front end of dialect B that has no device token keeps this one and shows it at its next VERIFY.
            sender.emit(&client.socket, "TEST_TOKEN_TV", seated.resume_token.clone());
        }
        self.welcome(client, sender, event, "tv", seated);
        // A TV on /rtc was asked for its token when it connected.
        if event == EntryEvent::TvRegister && !client.verified && client.socket.ns() != RTC {
            sender.emit(&client.socket, "VERIFY", NO_ARGUMENTS);
        }
    }

    fn refuse(&self, id: ClientId, event: &str, ack: Option<AckSender>, failure: &Failure, sender: &mut EventSender) {
        let Some(client) = self.clients.get(&id) else { return };
        tracing::debug!(event, code = failure.code, from = %client.from, "refused");
        let entry = EntryEvent::of_name(event);
        if let Some(refusal) = entry.and_then(|entry| wire::refusal(entry, failure)) {
            client.emit(sender, refusal);
        }
        if ack.is_none() && failure.code != Failure::UNKNOWN_EVENT {
            sender.emit(&client.socket, "CAST_ERROR", json!({"event": event, "error": failure}));
        }
        if entry == Some(EntryEvent::TvGetInfo) && failure.is_final() {
            // Dialect B disconnects a refused TV after telling it.
            sender.disconnect(id);
        }
        self.acknowledge(id, ack, json!({"ok": false, "error": failure}), sender);
    }

    pub(super) fn acknowledge(&self, id: ClientId, ack: Option<AckSender>, answer: Value, sender: &mut EventSender) {
        if let Some(ack) = ack
            && let Some(client) = self.clients.get(&id)
        {
            sender.acknowledge(&client.socket, ack, answer);
        }
    }

    /// Counts against the rate limit of credentials, like `CONFIG` and a join without proof.
    fn new_code(&mut self, id: ClientId) -> Result<Value, Failure> {
        let from = self.clients[&id].from;
        self.issuer.check_rate(from).map_err(Failure::rate_limited)?;
        Ok(wire::accepted(&self.rooms.handle_new_code(id, Instant::now())?))
    }

    pub(super) fn welcome(&self, client: &Client, sender: &mut EventSender, event: EntryEvent, role: &str, seated: &Seated) {
        self.issuer.join_room(&username(client.socket.client()), seated.code.as_str());
        // Credentials that are not sent would only push out the lease of those that were.
        let config = match event.brings_ice_servers() {
            true => client.config(&*self.issuer, event.dialect()),
            false => Value::Null,
        };
        client.emit(sender, wire::welcome(event, seated, &config));
        let token = json!({"role": role, "code": seated.code.as_str(), "resumeToken": seated.resume_token});
        sender.emit(&client.socket, "RESUME_TOKEN", token);
        if event.dialect().accepts_unasked_credentials() {
            sender.emit(&client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
        }
    }
}
