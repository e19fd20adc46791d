//! All casts of a gateway, or all calls, with their timers. The time is an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::output::{Began, Kind, Output, RecordId, Reported};
use super::party::{Member, PageReport, ReportRefusal, Role, report_bytes};
use super::record::{Evidence, Record};
use crate::diagnosis::observation::FactsSource;
use crate::diagnosis::watch::Watch;
use crate::operator::rows::MediaRow;

/// Bytes of the reports that are kept. Beyond them the oldest casts forget what their pages said of each ICE server.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Casts that have ended and wait for the last report of a page.
const MAX_ENDED: usize = 1024;

/// What verdicts are made from, besides reports; clones share it.
#[derive(Clone)]
pub struct Sources {
    pub watch: Watch,
    pub facts: Arc<dyn FactsSource>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// `T` names who gets the answer to a report.
#[derive(Debug)]
pub struct Outcomes<T> {
    kind: Kind,
    sources: Sources,
    records: BTreeMap<RecordId, Record<T>>,
    /// Each record's `due`.
    timers: BTreeSet<(Instant, RecordId)>,
    outputs: VecDeque<Output<T>>,
    next: u64,
    /// Of the reports in `records`.
    kept_bytes: usize,
    /// Records that are over.
    ended: usize,
}

impl<T> Outcomes<T> {
    pub fn new(kind: Kind, sources: Sources) -> Self {
        Self {
            kind,
            sources,
            records: BTreeMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            next: 0,
            kept_bytes: 0,
            ended: 0,
        }
    }

    /// Casts that have not ended.
    pub fn running(&self) -> usize {
        self.records.len() - self.ended
    }

    /// A cast begins. `name`: its code, with the middle hidden.
    pub fn begin(&mut self, name: String, caster: Option<Member>, tv: Option<Member>, now: Instant) -> RecordId {
        let id = RecordId(self.next);
        self.next += 1;
        let address = |member: &Option<Member>| Some(member.as_ref()?.address);
        let user = caster.as_ref().and_then(|caster| caster.signed_in.clone());
        let began = Began { record: id, name: name.clone(), caster: address(&caster), tv: address(&tv), user };
        self.outputs.push_back(Output::Report(Reported::Began(began)));
        self.records.insert(id, Record::new(id, self.kind, name, [caster, tv], now));
        self.update(id, now, |record, evidence, _| record.open_watches(evidence.watch, now));
        id
    }

    /// A client has come back by another connection.
    pub fn replace(&mut self, id: RecordId, role: Role, member: Member, now: Instant) {
        self.update(id, now, |record, evidence, _| record.replace(role, member, evidence.watch));
    }

    /// How a client reaches this server, as its report shows it.
    pub fn describe(&mut self, id: RecordId, role: Role, host: Option<String>, reached: Option<IpAddr>) {
        let member = self.records.get_mut(&id).and_then(|record| record.party_mut(role).member.as_mut());
        if let Some(member) = member {
            (member.host, member.reached) = (host, reached);
        }
    }

    /// An offer has been sent.
    pub fn negotiate(&mut self, id: RecordId, now: Instant) {
        self.update(id, now, |record, evidence, outputs| record.negotiate(evidence, now, outputs));
    }

    /// A page reports; [`Output::Answer`] answers. A cast that is forgotten has no use for its report.
    ///
    /// # Errors
    /// [`ReportRefusal`], and who is told of it.
    pub fn report(&mut self, id: RecordId, role: Role, sent: PageReport, to: T, now: Instant) -> Result<(), (T, ReportRefusal)> {
        if !self.records.contains_key(&id) {
            self.outputs.push_back(Output::Answer { to, verdict: None });
            return Ok(());
        }
        self.make_space(sent.report.as_ref().map_or(0, report_bytes));
        let result = self.update(id, now, |record, evidence, outputs| record.report(role, sent, to, (evidence, now), outputs));
        result.expect("the record was there")
    }

    /// A cast has ended.
    pub fn end(&mut self, id: RecordId, reason: &'static str, now: Instant) {
        let may_wait = self.ended < MAX_ENDED;
        self.update(id, now, |record, _, _| record.end(reason, may_wait, now));
    }

    /// How the media go, by the reports of a cast that runs.
    #[must_use]
    pub fn media(&self, id: RecordId) -> MediaRow {
        self.records.get(&id).map(Record::media).unwrap_or_default()
    }

    /// The server stops: all casts end for it, without waiting for reports.
    pub fn end_all(&mut self, reason: &'static str, now: Instant) {
        for id in self.records.keys().copied().collect::<Vec<_>>() {
            self.update(id, now, |record, _, _| record.end(reason, false, now));
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(_, id)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.update(id, now, |_, _, _| ());
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// Forgets details of the oldest casts until so many bytes more may be kept.
    fn make_space(&mut self, bytes: usize) {
        if self.kept_bytes + bytes <= MAX_KEPT_BYTES {
            return;
        }
        for record in self.records.values_mut() {
            for role in Role::ALL {
                let party = record.party_mut(role);
                let before = party.report_bytes();
                party.forget_servers();
                self.kept_bytes -= before - party.report_bytes();
            }
            // Half of the space is made at once, so that a flood does not come here each time.
            if self.kept_bytes + bytes <= MAX_KEPT_BYTES / 2 {
                return;
            }
        }
    }

    /// An input of one cast; keeps the timers and the counts up to date.
    fn update<R>(
        &mut self,
        id: RecordId,
        now: Instant,
        input: impl FnOnce(&mut Record<T>, &Evidence<'_>, &mut VecDeque<Output<T>>) -> R,
    ) -> Option<R> {
        let record = self.records.get_mut(&id)?;
        let evidence = Evidence { watch: &self.sources.watch, facts: &*self.sources.facts };
        let bytes = |record: &mut Record<T>| Role::ALL.map(|role| record.party_mut(role).report_bytes()).iter().sum::<usize>();
        let (before, was_over) = (bytes(record), record.is_over());
        let result = input(record, &evidence, &mut self.outputs);
        let is_done = record.settle(&evidence, now, &mut self.outputs);
        self.kept_bytes = self.kept_bytes - before + if is_done { 0 } else { bytes(record) };
        self.ended = self.ended - usize::from(was_over) + usize::from(record.is_over() && !is_done);
        let due = record.next_timeout().filter(|_| !is_done);
        if let Some(old) = std::mem::replace(&mut record.due, due) {
            self.timers.remove(&(old, id));
        }
        self.timers.extend(due.map(|due| (due, id)));
        if is_done {
            self.records.remove(&id);
        }
        Some(result)
    }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
