//! Entries of TVs and casters: who they are, whether they have to wait for an answer of the operator's server, and what becomes of what they
//! send meanwhile.
//!
//! A client with a pending entry is let in, or refused, by one input of the gateway, which then handles the held events in order. An entry
//! among them may be pending in turn; the events behind it go on waiting. `LEAVE_ROOM` does not wait: it gives up the entry and the entries
//! among the held events, and what else was held is answered as without them. A client that is gone gives up everything.

use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use socketioxide::extract::AckSender;

use super::client::ReadEvent;
use super::gateway::{Answer, AskedEntry, State};
use super::model::{CheckRequest, JoinRequest, OpenOutcome, OpenRequest};
use super::pending::{Asking, Entry, HeldEvents, PendingEntry};
use super::wire::{self, CheckArguments, Failure, JoinArguments, OpenArguments, Request};
use crate::admission::{AdmissionRefusal, ProvenUser};
use crate::hooks::authorize::SeatKind;
use crate::socketio::gateway::client_id::ClientId;
use crate::socketio::gateway::event_sender::EventSender;
use crate::socketio::gateway::gateway_state::ReceivedEvent;

impl State {
    /// A TV asks for a code.
    pub(super) fn open(&mut self, id: ClientId, arguments: OpenArguments, sender: &mut EventSender) -> Result<Answer, Failure> {
        if !self.admission.asks_for(SeatKind::Tv) {
            return self.seat_tv(id, &arguments, sender);
        }
        let client = &self.clients[&id];
        let Ok(code) = self.rooms.asked_code(open_request(id, client.from, &arguments, false), Instant::now()) else {
            return self.seat_tv(id, &arguments, sender);
        };
        let applicant = client.applicant(SeatKind::Tv, arguments.proof.as_ref());
        let user = self.admission.identify(applicant, SystemTime::now())?;
        // Each question is work for the operator's server.
        self.issuer.check_rate(client.from).map_err(Failure::rate_limited)?;
        let name = arguments.details.as_ref().and_then(|details| details.name.clone());
        let code = code.map(|code| code.as_str().to_owned());
        let question = self.admission.question(applicant, user.as_ref(), code, name);
        Ok(Answer::Asked(Box::new(AskedEntry { question, entry: Entry::Open(arguments) })))
    }

    fn seat_tv(&mut self, id: ClientId, arguments: &OpenArguments, sender: &mut EventSender) -> Result<Answer, Failure> {
        let client = self.clients.get_mut(&id).expect("the caller looked it up");
        let (event, had_token) = (arguments.event, arguments.token.is_some());
        let asked_before = client.tv_event.replace(event).is_some();
        let open = open_request(id, client.from, arguments, asked_before);
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

    /// A caster asks to cast. Whoever comes back to the seat that it has is not asked again, but its user must not have been disabled
    /// meanwhile.
    pub(super) fn join(&mut self, id: ClientId, arguments: JoinArguments, sender: &mut EventSender) -> Result<Answer, Failure> {
        let (client, now) = (&self.clients[&id], SystemTime::now());
        let token = arguments.token.as_deref();
        if let Some(code) = self.rooms.own_caster_seat(id, token, &arguments.code) {
            let user = self.casting_users.of(code).cloned();
            if user.as_ref().is_some_and(|user| !self.admission.is_current(user)) {
                return Err(AdmissionRefusal::SignInRequired.into());
            }
            return self.seat_caster(id, &arguments, user, sender);
        }
        if !token.is_some_and(|token| self.rooms.proves_code(token, &arguments.code)) || self.admission.asks_for(SeatKind::Caster)
        {
            self.issuer.check_rate(client.from).map_err(Failure::rate_limited)?;
        }
        let applicant = client.applicant(SeatKind::Caster, arguments.proof.as_ref());
        let user = self.admission.identify(applicant, now)?;
        if !self.admission.asks_for(SeatKind::Caster) {
            return self.seat_caster(id, &arguments, user, sender);
        }
        // The operator's server hears of live codes only, so that a wrong one costs what it costs elsewhere.
        self.rooms.handle_check(CheckRequest { client: id, from: client.from, code: &arguments.code, token }, Instant::now())?;
        let name = arguments.username.clone();
        let question = self.admission.question(applicant, user.as_ref(), self.rooms.spelled(&arguments.code), name);
        Ok(Answer::Asked(Box::new(AskedEntry { question, entry: Entry::Join { arguments, user } })))
    }

    fn seat_caster(
        &mut self,
        id: ClientId,
        arguments: &JoinArguments,
        user: Option<ProvenUser>,
        sender: &mut EventSender,
    ) -> Result<Answer, Failure> {
        let client = self.clients.get_mut(&id).expect("the caller looked it up");
        let (event, token) = (arguments.event, arguments.token.as_deref());
        let join = JoinRequest {
            client: id,
            dialect: event.dialect(),
            from: client.from,
            code: &arguments.code,
            token,
            username: arguments.username.as_deref().or(user.as_ref().map(|user| user.name.as_str())),
        };
        let seated = self.rooms.handle_join(join, Instant::now())?;
        client.user.clone_from(&user);
        self.welcome(&self.clients[&id], sender, event, "caster", &seated);
        Ok(Answer::Now(wire::joined(event, &seated, self.rooms.tv_details(seated.code))))
    }

    /// Somebody asks what a join would lead to. It needs no sign-in, and learns what anybody with the code may know. A wrong code counts
    /// against the rate limit of credentials as in a join; a right one doesn't. A client beyond the limit learns nothing of either.
    pub(super) fn check(&self, id: ClientId, arguments: &CheckArguments) -> Result<Value, Failure> {
        let client = &self.clients[&id];
        let (from, code, token) = (client.from, arguments.code.as_str(), arguments.token.as_deref());
        let has_proof = token.is_some_and(|token| self.rooms.proves_code(token, code));
        if !has_proof {
            self.issuer.within_rate(from).map_err(Failure::rate_limited)?;
        }
        let checked = self.rooms.handle_check(CheckRequest { client: id, from, code, token }, Instant::now());
        if checked.is_err() && !has_proof {
            self.issuer.check_rate(from).ok();
        }
        let proof = client.applicant(SeatKind::Caster, arguments.proof.as_ref()).proof;
        Ok(wire::checked(&checked?, self.admission.would_ask_to_sign_in(proof, SystemTime::now())))
    }

    /// The entry waits for the answer to its question.
    pub(super) fn ask(&mut self, id: ClientId, event: String, ack: Option<AckSender>, asked: AskedEntry) {
        let (admission, gateway) = (self.admission.clone(), self.handle.clone());
        self.last_question += 1;
        let number = self.last_question;
        let AskedEntry { question, entry } = asked;
        let asking = tokio::spawn(async move {
            let answer = admission.ask(question).await;
            if let Some(gateway) = gateway.upgrade() {
                gateway.with(|state, sender| state.answered(id, number, answer, sender));
            }
        });
        let (held, _asking) = (HeldEvents::default(), Asking(asking));
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.pending = Some(PendingEntry { number, entry, event, ack, held, _asking });
    }

    /// The answer to an entry. It is for nobody, if the client is gone or has given the entry up.
    fn answered(&mut self, id: ClientId, number: u64, answer: Result<(), AdmissionRefusal>, sender: &mut EventSender) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(PendingEntry { entry, event, ack, held, .. }) = client.pending.take_if(|pending| pending.number == number)
        else {
            return;
        };
        let sent_before = sender.sent_bytes();
        let result = answer.map_err(Failure::from).and_then(|()| match entry {
            Entry::Open(arguments) => self.seat_tv(id, &arguments, sender),
            // The user may have been disabled meanwhile.
            Entry::Join { user: Some(user), .. } if !self.admission.is_current(&user) => {
                Err(AdmissionRefusal::SignInRequired.into())
            }
            Entry::Join { arguments, user } => self.seat_caster(id, &arguments, user, sender),
        });
        self.finish(id, event, ack, result, sender);
        self.charge(id, 0, sent_before, sender);
        self.handle_held(id, held, sender);
    }

    /// Handles what was held, until an entry among it waits in turn.
    fn handle_held(&mut self, id: ClientId, mut held: HeldEvents<ReadEvent>, sender: &mut EventSender) {
        while let Some((event, paid)) = held.next() {
            self.handle_paid(id, event, paid, sender);
            let Some(client) = self.clients.get_mut(&id) else { return };
            if let Some(pending) = client.pending.as_mut() {
                pending.held = held;
                return;
            }
        }
    }

    /// Holds an event of a client whose entry is pending; gives back what is to be handled now.
    pub(super) fn hold(
        &mut self,
        id: ClientId,
        event: ReceivedEvent<ReadEvent>,
        paid: usize,
        sender: &mut EventSender,
    ) -> Option<ReceivedEvent<ReadEvent>> {
        let client = self.clients.get_mut(&id)?;
        let Some(pending) = client.pending.as_mut() else { return Some(event) };
        if matches!(event.request.request, Some(Ok(Request::Leave))) {
            self.leave_pending(id, event, paid, sender);
            return None;
        }
        let account = client.socket.account();
        if !pending.held.hold(event, paid, account) {
            // Its events have to be handled in order, so none of them can be left out.
            tracing::debug!(from = %client.from, "disconnecting: too much waits until the client is let in");
            let failure = Failure::too_much_waits();
            sender.emit(&client.socket, "CAST_ERROR", json!({"event": pending.event, "error": failure}));
            sender.disconnect(id);
        }
        None
    }

    /// Gives up the entries of a client that leaves, those among the held events too, and its seat if it has one.
    fn leave_pending(&mut self, id: ClientId, event: ReceivedEvent<ReadEvent>, paid: usize, sender: &mut EventSender) {
        let Some(pending) = self.clients.get_mut(&id).and_then(|client| client.pending.take()) else { return };
        let given_up = || json!({"ok": false, "error": Failure::given_up()});
        let PendingEntry { ack, mut held, .. } = pending;
        self.acknowledge(id, ack, given_up(), sender);
        while let Some((event, paid)) = held.next() {
            if matches!(event.request.request, Some(Ok(Request::Open(_) | Request::Join(_)))) {
                self.acknowledge(id, event.ack, given_up(), sender);
            } else {
                self.handle_paid(id, event, paid, sender);
            }
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.waiting.clear();
        // Without a seat, the client has left its entries.
        self.rooms.handle_leave(id, Instant::now()).ok();
        let sent_before = sender.sent_bytes();
        self.finish(id, event.request.name, event.ack, Ok(Answer::Now(json!({"ok": true}))), sender);
        self.charge(id, paid, sent_before, sender);
    }

    /// Ends the casts of users who are no longer users, or have another password.
    pub(super) fn end_casts_of_former_users(&mut self, now: Instant) {
        for code in self.casting_users.failing(|user| self.admission.is_current(user)) {
            self.rooms.handle_former_user(code, now);
        }
    }
}

fn open_request(client: ClientId, from: std::net::IpAddr, arguments: &OpenArguments, asked_before: bool) -> OpenRequest<'_> {
    OpenRequest {
        client,
        dialect: arguments.event.dialect(),
        from,
        code: arguments.code.as_deref(),
        token: arguments.token.as_deref(),
        shows_picture: arguments.shows_picture,
        casting: arguments.casting,
        understands_new_codes: arguments.understands_new_codes,
        details: arguments.details.as_ref(),
        asked_before,
    }
}
