//! The Socket.IO shell around the cast rooms: reads events, calls [`Rooms`], sends the outputs.
//!
//! Owner of the rooms and of the table of clients, behind the lock of [`Connections`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};

use super::client::{Client, NO_ARGUMENTS, WaitingRequest, username};
use super::issuer::Issuer;
use super::model::{CheckRequest, Dialect, JoinRequest, Notice, OpenOutcome, OpenRequest, Output, Refusal, Seated, Signal};
use super::reports::{CastReports, Reporting, Told};
use super::room::Rooms;
use super::wire::{self, CheckArguments, Content, EntryEvent, Failure, JoinArguments, OpenArguments, Request, WireEvent};
use crate::clock::WallClock;
use crate::outcomes::party::PageReport;
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::Sources;
use crate::room_driver::DrivenState;
use crate::socketio::gateway::client_id::ClientId;
use crate::socketio::gateway::connections::{self, Connections};
use crate::socketio::gateway::event_sender::EventSender;
use crate::socketio::gateway::gateway_state::{Disconnect, GatewayState, ReceivedEvent};

/// Front ends of dialect B connect to this namespace and expect to be asked for their device token.
pub const RTC: &str = "/rtc";

/// What the gateway serves now, and has evicted since the start.
#[derive(Debug, Clone, Copy)]
pub struct CastCounts {
    /// TVs with a code.
    pub tvs: usize,
    /// TVs that wait for a code.
    pub waiting: usize,
    /// TVs that have been evicted since the start.
    pub evicted: u64,
    /// Connected clients.
    pub clients: usize,
}

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct CastGateway(Connections<State>);

struct State {
    rooms: Rooms<Content>,
    /// Makes rooms without clients.
    new_rooms: Box<dyn Fn(WallClock) -> Rooms<Content> + Send>,
    clients: HashMap<ClientId, Client>,
    issuer: Box<dyn Issuer>,
    reports: CastReports,
    sources: Sources,
    reporter: Reporter,
}

/// How a request that was not refused is acknowledged.
enum Answer {
    Now(Value),
    /// When the TV has its code.
    Later {
        event: EntryEvent,
        had_token: bool,
    },
    /// When the verdict is made, if the report is one of a failure.
    AfterReport(PageReport),
}

/// An event of a client, read; `request`: `None` for one that is not of this flow.
struct ReadEvent {
    name: String,
    request: Option<Result<Request, Failure>>,
}

impl CastGateway {
    /// `new_rooms` makes rooms without clients. Verdicts are made from `sources`, and `reporter` is told what becomes of each cast.
    pub fn new(
        new_rooms: impl Fn(WallClock) -> Rooms<Content> + Send + 'static,
        clock: WallClock,
        issuer: impl Issuer,
        sources: Sources,
        reporter: Reporter,
    ) -> Self {
        Self(Connections::new(State {
            rooms: new_rooms(clock),
            new_rooms: Box::new(new_rooms),
            clients: HashMap::new(),
            issuer: Box::new(issuer),
            reports: CastReports::new(sources.clone(), reporter.clone()),
            sources,
            reporter,
        }))
    }

    /// Before the client is told that it is connected.
    pub fn register(&self, socket: &SocketRef) {
        self.0.register(socket, |name, packet| {
            let request = wire::read(&name, packet.json.as_str(), packet.attachments);
            ReadEvent { name, request }
        });
    }

    /// The client is connected.
    pub fn connected(&self, socket: SocketRef) {
        self.0.connected(socket, |state, id, socket, sender| {
            if socket.ns() == RTC {
                sender.emit(id, &socket, "VERIFY", NO_ARGUMENTS);
            }
            state.clients.insert(id, Client::new(id, socket));
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
            state.clients.values().for_each(|client| sender.emit(client.id, &client.socket, "SERVER_SHUTDOWN", json!({})));
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

    /// Ends the connections and the seats of the clients at these addresses.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.0.end_clients(is_one);
    }

    pub fn counts(&self) -> CastCounts {
        self.0.with(|state, _| CastCounts {
            tvs: state.rooms.len(),
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
        self.rooms = (self.new_rooms)(self.rooms.clock());
        self.reports = CastReports::new(self.sources.clone(), self.reporter.clone());
        for (id, client) in clients {
            self.issuer.end_lease(&username(id));
            connections::disconnect(client.socket);
        }
    }
}

impl GatewayState for State {
    type Request = ReadEvent;

    fn handle_event(&mut self, id: ClientId, event: ReceivedEvent<ReadEvent>, sender: &mut EventSender) {
        let sent_before = sender.sent_bytes();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let paid = client.budget.spend(event.bytes, 1);
        let ReceivedEvent { request: ReadEvent { name, request }, ack, .. } = event;
        let result = match paid {
            Ok(_) => self.perform(id, request, sender),
            Err(wait) => Err(Failure::over_budget(wait)),
        };
        match result {
            Ok(Answer::Now(answer)) => self.acknowledge(id, ack, answer, sender),
            Ok(Answer::Later { event, had_token }) => self.keep_waiting(id, WaitingRequest { event, had_token, ack }),
            Ok(Answer::AfterReport(report)) => self.take_report(id, &name, report, ack, sender),
            Err(failure) => {
                // A refused client hears first of what led to that.
                self.send_outputs(sender);
                self.refuse(id, &name, ack, &failure, sender);
            }
        }
        self.send_outputs(sender);
        if let (Some(client), Ok(paid)) = (self.clients.get_mut(&id), paid) {
            client.budget.charge_excess(paid, sender.sent_bytes() - sent_before);
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

    fn remove_client(&mut self, id: ClientId, how: Disconnect) -> Option<SocketRef> {
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
                sender.emit(client.id, &client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
            }
            Request::Verify => {
                client.verified = true;
                sender.emit(client.id, &client.socket, "VERIFY_RESPONCE", json!({"code": 200}));
            }
            Request::Open(arguments) => return self.open(id, &arguments, sender),
            Request::Join(arguments) => return self.join(id, &arguments, sender).map(Answer::Now),
            Request::Signal(signal) => {
                let (bytes, is_offer) = (signal.payload().bytes(), matches!(signal, Signal::Offer(_)));
                self.rooms.handle_signal(id, signal, bytes)?;
                if let Some(code) = self.rooms.code_of(id).filter(|_| is_offer) {
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
        let now = Instant::now();
        while let Some(event) = self.rooms.poll_cast_event() {
            let member = |id| self.clients.get(&id).map(|client| client.member(&*self.issuer));
            self.reports.handle(event, member, now);
        }
        while let Some(told) = self.reports.poll(now) {
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

    fn open(&mut self, id: ClientId, arguments: &OpenArguments, sender: &mut EventSender) -> Result<Answer, Failure> {
        let client = self.clients.get_mut(&id).expect("the caller looked it up");
        let (event, had_token) = (arguments.event, arguments.token.is_some());
        let asked_before = client.tv_event.replace(event).is_some();
        let open = OpenRequest {
            client: id,
            dialect: event.dialect(),
            from: client.from,
            code: arguments.code.as_deref(),
            token: arguments.token.as_deref(),
            shows_picture: arguments.shows_picture,
            casting: arguments.casting,
            understands_new_codes: arguments.understands_new_codes,
            details: arguments.details.as_ref(),
            asked_before,
        };
        match self.rooms.handle_open(open, Instant::now())? {
            OpenOutcome::Waiting => Ok(Answer::Later { event, had_token }),
            OpenOutcome::Seated(seated) => {
                if !self.clients[&id].waiting.is_empty() {
                    self.answer_waiting(id, &Ok(seated.clone()), sender);
                }
                self.welcome_tv(&self.clients[&id], sender, event, had_token, &seated);
                Ok(Answer::Now(wire::accepted(&seated)))
            }
        }
    }

    fn keep_waiting(&mut self, id: ClientId, request: WaitingRequest) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.waiting.retain(|waiting| waiting.event != request.event);
        client.waiting.push(request);
    }

    /// Answers a TV that waited, once for each event by which it asked. An evicted TV has not asked again.
    fn answer_waiting(&mut self, id: ClientId, result: &Result<Seated, Refusal>, sender: &mut EventSender) {
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

    fn welcome_tv(&self, client: &Client, sender: &mut EventSender, event: EntryEvent, had_token: bool, seated: &Seated) {
        if event.dialect() == Dialect::B && !had_token {
            // A front end of dialect B that has no device token keeps this one and shows it at its next VERIFY.
            sender.emit(client.id, &client.socket, "TEST_TOKEN_TV", seated.resume_token.clone());
        }
        self.welcome(client, sender, event, "tv", seated);
        // A TV on /rtc was asked for its token when it connected.
        if event == EntryEvent::TvRegister && !client.verified && client.socket.ns() != RTC {
            sender.emit(client.id, &client.socket, "VERIFY", NO_ARGUMENTS);
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
            sender.emit(client.id, &client.socket, "CAST_ERROR", json!({"event": event, "error": failure}));
        }
        if entry == Some(EntryEvent::TvGetInfo) && failure.is_final() {
            // Dialect B disconnects a refused TV after telling it.
            sender.to_disconnect.push(id);
        }
        self.acknowledge(id, ack, json!({"ok": false, "error": failure}), sender);
    }

    fn acknowledge(&self, id: ClientId, ack: Option<AckSender>, answer: Value, sender: &mut EventSender) {
        if let (Some(client), Some(ack)) = (self.clients.get(&id), ack) {
            sender.acknowledge(id, &client.socket, ack, answer);
        }
    }

    /// Counts against the rate limit of credentials, like `CONFIG` and a join without proof.
    fn new_code(&mut self, id: ClientId) -> Result<Value, Failure> {
        let from = self.clients[&id].from;
        self.issuer.check_rate(from).map_err(Failure::rate_limited)?;
        Ok(wire::accepted(&self.rooms.handle_new_code(id, Instant::now())?))
    }

    fn join(&mut self, id: ClientId, arguments: &JoinArguments, sender: &mut EventSender) -> Result<Value, Failure> {
        let client = &self.clients[&id];
        let (event, token) = (arguments.event, arguments.token.as_deref());
        if !token.is_some_and(|token| self.rooms.proves_code(token, &arguments.code)) {
            self.issuer.check_rate(client.from).map_err(Failure::rate_limited)?;
        }
        let join = JoinRequest {
            client: id,
            dialect: event.dialect(),
            from: client.from,
            code: &arguments.code,
            token,
            username: arguments.username.as_deref(),
        };
        let seated = self.rooms.handle_join(join, Instant::now())?;
        self.welcome(client, sender, event, "caster", &seated);
        Ok(wire::joined(event, &seated, self.rooms.tv_details(seated.code)))
    }

    /// A wrong code counts against the rate limit of credentials as in a join; a right one doesn't. A client beyond the limit learns nothing
    /// of either.
    fn check(&self, id: ClientId, arguments: &CheckArguments) -> Result<Value, Failure> {
        let (from, token) = (self.clients[&id].from, arguments.token.as_deref());
        let has_proof = token.is_some_and(|token| self.rooms.proves_code(token, &arguments.code));
        if !has_proof {
            self.issuer.within_rate(from).map_err(Failure::rate_limited)?;
        }
        let check = CheckRequest { client: id, from, code: &arguments.code, token };
        let checked = self.rooms.handle_check(check, Instant::now());
        if checked.is_err() && !has_proof {
            self.issuer.check_rate(from).ok();
        }
        Ok(wire::checked(&checked?))
    }

    fn welcome(&self, client: &Client, sender: &mut EventSender, event: EntryEvent, role: &str, seated: &Seated) {
        self.issuer.join_room(&username(client.id), seated.code.as_str());
        // Credentials that are not sent would only push out the lease of those that were.
        let config = match event.brings_ice_servers() {
            true => client.config(&*self.issuer, event.dialect()),
            false => Value::Null,
        };
        client.emit(sender, wire::welcome(event, seated, &config));
        let token = json!({"role": role, "code": seated.code.as_str(), "resumeToken": seated.resume_token});
        sender.emit(client.id, &client.socket, "RESUME_TOKEN", token);
        if event.dialect().accepts_unasked_credentials() {
            sender.emit(client.id, &client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
        }
    }
}
