//! Connects the calls of the rooms with their [`Outcomes`]: who takes part in which call, and what pages report of it.
//!
//! Owner: the gateway, behind its lock. Inputs: the rooms' [`CallEvent`]s and reports. Outputs: the answers to reports.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::model::{CallEnd, CallEvent, CallMember, Refusal};
use crate::diagnosis::report::Report;
use crate::diagnosis::words::VerdictReply;
use crate::operator::rows::{MediaRow, masked};
use crate::outcomes::output::{Kind, Output, RecordId};
use crate::outcomes::party::{Member, PageReport, ReportRefusal, Role};
use crate::outcomes::reporter::Reporter;
use crate::outcomes::table::{Outcomes, Sources};

/// A room and a client in it.
type MemberName = (Arc<str>, String);

#[derive(Debug)]
pub(super) struct CallReports {
    outcomes: Outcomes<oneshot::Sender<Option<VerdictReply>>>,
    reporter: Reporter,
    /// The call of each room that has one.
    calls: HashMap<Arc<str>, RecordId>,
    /// The members of each call that is not forgotten.
    members: HashMap<RecordId, [MemberName; 2]>,
    /// The same by member.
    records: HashMap<MemberName, (RecordId, Role)>,
}

/// How a client reaches this server.
#[derive(Debug)]
pub(super) struct SeenClient {
    pub(super) host: Option<String>,
    pub(super) reached: Option<IpAddr>,
}

/// Why a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    #[error(transparent)]
    Report(#[from] ReportRefusal),
    #[error(transparent)]
    Member(#[from] Refusal),
}

impl CallReports {
    pub(super) fn new(sources: Sources, reporter: Reporter) -> Self {
        let (calls, members, records) = Default::default();
        Self { outcomes: Outcomes::new(Kind::Call, sources), reporter, calls, members, records }
    }

    /// Calls that have not ended.
    pub(super) fn running(&self) -> usize {
        self.outcomes.running()
    }

    pub(super) fn handle(&mut self, event: CallEvent, now: Instant) {
        match event {
            CallEvent::Began { room, members } => {
                let of_call = |member: &CallMember| {
                    Some(Member { address: member.address, user: None, signed_in: None, host: None, reached: None })
                };
                let record = self.outcomes.begin(masked(&room), of_call(&members[0]), of_call(&members[1]), now);
                let names = members.map(|member| (room.clone(), member.client));
                for (name, role) in names.iter().zip(Role::ALL) {
                    self.records.insert(name.clone(), (record, role));
                }
                self.members.insert(record, names);
                self.calls.insert(room, record);
            }
            CallEvent::Ended { room, reason } => {
                if let Some(record) = self.calls.remove(&room) {
                    self.outcomes.end(record, reason_label(reason), now);
                }
            }
        }
    }

    /// A page reports. A member without a call has none to report of, which is no error.
    pub(super) fn report(
        &mut self,
        (room, client): (&str, &str),
        sent: PageReport,
        seen: &SeenClient,
        is_member: bool,
        now: Instant,
    ) -> Result<oneshot::Receiver<Option<VerdictReply>>, ReportError> {
        let (answer, answered) = oneshot::channel();
        match self.records.get(&(Arc::from(room), client.to_owned())) {
            Some(&(record, role)) => {
                self.outcomes.describe(record, role, seen.host.clone(), seen.reached);
                self.outcomes.report(record, role, sent, answer, now).map_err(|(_, refusal)| refusal)?;
            }
            None if is_member => drop(answer.send(None)),
            None => return Err(Refusal::UnknownClient.into()),
        }
        Ok(answered)
    }

    /// How the media of the call in a room go.
    pub(super) fn media(&self, room: &str) -> MediaRow {
        self.calls.get(room).map(|record| self.outcomes.media(*record)).unwrap_or_default()
    }

    /// The server stops.
    pub(super) fn stop(&mut self, now: Instant) {
        self.outcomes.end_all("server_stopped", now);
        self.calls.clear();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.outcomes.next_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.outcomes.handle_timeout(now);
    }

    pub(super) fn perform_outputs(&mut self, now: Instant) {
        while let Some(output) = self.outcomes.poll_output() {
            match output {
                // Whoever has gone away needs no answer.
                Output::Answer { to, verdict } => drop(to.send(verdict)),
                // The other page asks for the verdict itself.
                Output::TellTv { .. } => {}
                Output::Report(reported) => self.reporter.perform(Kind::Call, reported, now),
                Output::Forgotten(record) => self.forget(record),
            }
        }
    }

    fn forget(&mut self, record: RecordId) {
        for name in self.members.remove(&record).into_iter().flatten() {
            // The member may be in a newer call.
            if self.records.get(&name).is_some_and(|(of_name, _)| *of_name == record) {
                self.records.remove(&name);
            }
        }
    }
}

/// What a page reports of its call: a [`Report`], to be shown to the operator with the query `send=1`. An empty body then means the
/// report that the client has sent before.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn page_report(body: &[u8], query: &str) -> Result<PageReport, String> {
    let send = query.split('&').any(|field| field == "send=1");
    if send && body.is_empty() {
        return Ok(PageReport { report: None, send });
    }
    let text = std::str::from_utf8(body).map_err(|_| "the report is not UTF-8".to_owned())?;
    Ok(PageReport { report: Some(Report::read(text)?), send })
}

const fn reason_label(reason: CallEnd) -> &'static str {
    match reason {
        CallEnd::Left => "left",
        CallEnd::Lost => "lost",
        CallEnd::Evicted => "evicted",
        CallEnd::Expired => "expired",
        CallEnd::EndedByOperator => "ended_by_operator",
    }
}
