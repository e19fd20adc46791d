//! Connects the casts of the rooms with their [`Outcomes`]: who takes part in which cast, and what pages report of it.
//!
//! Owner: the gateway, behind its lock. Inputs: the rooms' [`CastEvent`]s, offers and reports. Outputs: those of [`Outcomes`].

use std::collections::HashMap;
use std::time::Instant;

use socketioxide::extract::AckSender;

use super::code::Code;
use super::model::{CastEnd, CastEvent, LeaveReason, Refusal};
use super::resume_token;
use super::wire::Failure;
use crate::diagnosis::verdict::Side;
use crate::diagnosis::words::VerdictReply;
use crate::operator::rows::MediaRow;
use crate::outcomes::output::{Kind, Output, RecordId};
use crate::outcomes::party::{Member, PageReport, Role};
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::{Outcomes, Sources};
use crate::socketio::gateway::client_id::ClientId;

pub(super) struct CastReports {
    outcomes: Outcomes<Reporting>,
    reporter: Reporter,
    /// The cast of each room in which somebody casts.
    casts: HashMap<Code, RecordId>,
    /// The last cast of each connected client.
    clients: HashMap<ClientId, (RecordId, Role)>,
    /// The TV of each cast that is not forgotten.
    tvs: HashMap<RecordId, ClientId>,
}

/// A client that has sent a report.
pub(super) struct Reporting {
    pub(super) client: ClientId,
    pub(super) ack: Option<AckSender>,
}

/// What the gateway has to send.
pub(super) enum Told {
    Answer {
        to: Reporting,
        verdict: Option<VerdictReply>,
    },
    /// To a TV.
    Verdict {
        to: ClientId,
        side: Side,
        code: &'static str,
    },
}

impl CastReports {
    pub(super) fn new(sources: Sources, reporter: Reporter) -> Self {
        let (casts, clients, tvs) = Default::default();
        Self { outcomes: Outcomes::new(Kind::Cast, sources), reporter, casts, clients, tvs }
    }

    /// Casts that have not ended.
    pub(super) fn running(&self) -> usize {
        self.outcomes.running()
    }

    /// `member` describes a connected client.
    pub(super) fn handle(&mut self, event: CastEvent, member: impl Fn(ClientId) -> Option<Member>, now: Instant) {
        match event {
            CastEvent::Began { code, caster, tv } => {
                let record = self.outcomes.begin(format!("{code:?}"), member(caster), tv.and_then(&member), now);
                self.casts.insert(code, record);
                self.clients.insert(caster, (record, Role::Caster));
                self.take_tv(record, tv);
            }
            CastEvent::Returned { code, role, client } => {
                let Some(&record) = self.casts.get(&code) else { return };
                let role = match role {
                    resume_token::Role::Caster => Role::Caster,
                    resume_token::Role::Tv => Role::Tv,
                };
                if let Some(member) = member(client) {
                    self.outcomes.replace(record, role, member, now);
                }
                match role {
                    Role::Caster => drop(self.clients.insert(client, (record, role))),
                    Role::Tv => self.take_tv(record, Some(client)),
                }
            }
            CastEvent::Ended { code, reason } => {
                if let Some(record) = self.casts.remove(&code) {
                    self.outcomes.end(record, reason_label(reason), now);
                }
            }
        }
    }

    fn take_tv(&mut self, record: RecordId, tv: Option<ClientId>) {
        if let Some(tv) = tv {
            self.clients.insert(tv, (record, Role::Tv));
            self.tvs.insert(record, tv);
        }
    }

    /// An offer has been sent in a room.
    pub(super) fn offered(&mut self, code: Code, now: Instant) {
        if let Some(record) = self.casts.get(&code) {
            self.outcomes.negotiate(*record, now);
        }
    }

    /// A page reports. A client without a cast has none to report of, which is no error for one that has a seat.
    pub(super) fn report(
        &mut self,
        sent: PageReport,
        to: Reporting,
        has_seat: bool,
        now: Instant,
    ) -> Result<Option<Told>, (Reporting, Failure)> {
        match self.clients.get(&to.client) {
            Some(&(record, role)) => {
                let reported = self.outcomes.report(record, role, sent, to, now);
                reported.map(|()| None).map_err(|(to, refusal)| (to, Failure::from(refusal)))
            }
            None if has_seat => Ok(Some(Told::Answer { to, verdict: None })),
            None => Err((to, Failure::from(Refusal::NotInRoom))),
        }
    }

    /// A client is gone.
    pub(super) fn remove_client(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// How the media of the cast in a room go.
    pub(super) fn media(&self, code: Code) -> MediaRow {
        self.casts.get(&code).map(|record| self.outcomes.media(*record)).unwrap_or_default()
    }

    /// The server stops.
    pub(super) fn stop(&mut self, now: Instant) {
        self.outcomes.end_all("server_stopped", now);
        self.casts.clear();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.outcomes.next_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.outcomes.handle_timeout(now);
    }

    /// What the gateway has to send next. Everything else is done here.
    pub(super) fn poll(&mut self) -> Option<Told> {
        while let Some(output) = self.outcomes.poll_output() {
            match output {
                Output::Answer { to, verdict } => return Some(Told::Answer { to, verdict }),
                Output::TellTv { record, side, code } => {
                    if let Some(to) = self.tvs.get(&record) {
                        return Some(Told::Verdict { to: *to, side, code });
                    }
                }
                Output::Report(reported) => self.reporter.perform(Kind::Cast, reported, Instant::now()),
                Output::Forgotten(record) => drop(self.tvs.remove(&record)),
            }
        }
        None
    }
}

const fn reason_label(reason: CastEnd) -> &'static str {
    match reason {
        CastEnd::Caster(LeaveReason::Left) => "caster_left",
        CastEnd::Caster(LeaveReason::Lost) => "caster_lost",
        CastEnd::Caster(LeaveReason::EndedByTv) => "ended_by_tv",
        CastEnd::Caster(LeaveReason::EndedByOperator) => "ended_by_operator",
        CastEnd::Caster(LeaveReason::TakenOver | LeaveReason::Evicted) => "taken_over",
        CastEnd::Tv(LeaveReason::Left | LeaveReason::TakenOver | LeaveReason::EndedByTv | LeaveReason::EndedByOperator) => {
            "tv_left"
        }
        CastEnd::Tv(LeaveReason::Lost) => "tv_lost",
        CastEnd::Tv(LeaveReason::Evicted) => "tv_evicted",
    }
}
