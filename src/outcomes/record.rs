//! One cast or call, from its begin to its line in the log. The time is an argument.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::line;
use super::output::{CastResult, Ended, Kind, Output, RecordId, Reported, SentReport};
use super::party::{Member, PageReport, Party, ReportRefusal, Role, Waiting};
use crate::diagnosis::decide;
use crate::diagnosis::observation::{Facts, FactsSource};
use crate::diagnosis::report::{MAX_REPORT_BYTES, Outcome, Protocol, Report, Route};
use crate::diagnosis::verdict::Verdict;
use crate::diagnosis::watch::Watch;
use crate::diagnosis::words::{Reader, Subject, VerdictReply};
use crate::operator::rows::MediaRow;

/// How long a report of a failure waits for that of the other end, and an ended cast for the last report of an end.
pub const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long the clients are watched after a cast has begun or an offer was sent.
const WATCH_TIME: Duration = Duration::from_secs(120);

/// What verdicts are made from, besides reports.
pub(super) struct Evidence<'a> {
    pub(super) watch: &'a Watch,
    pub(super) facts: &'a dyn FactsSource,
}

#[derive(Debug)]
pub(super) struct Record<T> {
    id: RecordId,
    kind: Kind,
    name: String,
    began: Instant,
    parties: [Party<T>; 2],
    /// In any attempt.
    has_connected: bool,
    /// Of this attempt.
    verdict: Option<Decided>,
    /// The code of the last verdict.
    last_code: Option<&'static str>,
    /// While the clients are watched.
    watch_until: Option<Instant>,
    over: Option<Over>,
    /// The record's entry among the timers.
    pub(super) due: Option<Instant>,
}

#[derive(Debug)]
struct Decided {
    /// Another report may still tell more.
    is_open: bool,
    verdict: Verdict,
    tv_knows: bool,
}

/// The cast has ended; its last reports may still come.
#[derive(Debug, Clone, Copy)]
struct Over {
    at: Instant,
    until: Instant,
    reason: &'static str,
}

impl<T> Record<T> {
    pub(super) fn new(id: RecordId, kind: Kind, name: String, members: [Option<Member>; 2], now: Instant) -> Self {
        Self {
            id,
            kind,
            name,
            began: now,
            parties: members.map(Party::new),
            has_connected: false,
            verdict: None,
            last_code: None,
            watch_until: None,
            over: None,
            due: None,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn party_mut(&mut self, role: Role) -> &mut Party<T> {
        &mut self.parties[role as usize]
    }

    fn party(&self, role: Role) -> &Party<T> {
        &self.parties[role as usize]
    }

    pub(super) fn open_watches(&mut self, watch: &Watch, now: Instant) {
        self.parties.iter_mut().filter(|party| !party.is_watched()).for_each(|party| party.open_watch(watch));
        self.watch_until = Some(now + WATCH_TIME);
    }

    fn close_watches(&mut self) {
        self.parties.iter_mut().for_each(Party::close_watch);
        self.watch_until = None;
    }

    /// A client has come back by another connection, with other credentials.
    pub(super) fn replace(&mut self, role: Role, member: Member, watch: &Watch) {
        let watched = self.watch_until.is_some();
        let party = self.party_mut(role);
        party.member = Some(member);
        if watched {
            party.open_watch(watch);
        }
    }

    /// An offer has been sent.
    pub(super) fn negotiate(&mut self, evidence: &Evidence<'_>, now: Instant, outputs: &mut impl Extend<Output<T>>) {
        if self.verdict.is_some() || self.parties.iter().any(|party| party.has_failed || party.is_connected) {
            self.begin_attempt(evidence, now, outputs);
        }
        self.open_watches(evidence.watch, now);
    }

    fn begin_attempt(&mut self, evidence: &Evidence<'_>, now: Instant, outputs: &mut impl Extend<Output<T>>) {
        self.answer_waiting(|_| true, evidence, now, outputs);
        self.parties.iter_mut().for_each(Party::begin_attempt);
        self.verdict = None;
    }

    /// A page reports. `to` gets the answer, at once or by [`Self::settle`].
    pub(super) fn report(
        &mut self,
        role: Role,
        sent: PageReport,
        to: T,
        (evidence, now): (&Evidence<'_>, Instant),
        outputs: &mut impl Extend<Output<T>>,
    ) -> Result<(), (T, ReportRefusal)> {
        if let Err(refusal) = self.party_mut(role).check(&sent, now) {
            return Err((to, refusal));
        }
        // A client has one report that waits.
        self.answer_waiting(|waiting| waiting == role, evidence, now, outputs);
        let PageReport { report, send } = sent;
        let Some(report) = report else {
            return match self.party(role).report.is_some() {
                true => {
                    outputs.extend([self.sent(role), self.answer(to, role, true)]);
                    Ok(())
                }
                false => Err((to, ReportRefusal::NothingToSend)),
            };
        };
        let outcome = report.outcome;
        if outcome == Outcome::Gathered && self.party(role).has_failed {
            self.begin_attempt(evidence, now, outputs);
            self.open_watches(evidence.watch, now);
        }
        self.has_connected |= outcome == Outcome::Connected || (outcome == Outcome::Ended && report.route.is_some());
        self.party_mut(role).take(report);
        if self.parties.iter().all(|party| party.is_connected) {
            self.close_watches();
        }
        if outcome == Outcome::Failed {
            self.party_mut(role).waiting = Some(Waiting { to, due: now + MAX_WAIT, send });
        } else {
            if send {
                outputs.extend([self.sent(role)]);
            }
            outputs.extend([self.answer(to, role, false)]);
        }
        Ok(())
    }

    /// The cast is over. It waits for the last report of a page, which has the totals.
    pub(super) fn end(&mut self, reason: &'static str, may_wait: bool, now: Instant) {
        let waits = may_wait && self.expects_totals();
        self.over.get_or_insert(Over { at: now, until: if waits { now + MAX_WAIT } else { now }, reason });
    }

    fn expects_totals(&self) -> bool {
        self.parties.iter().any(|party| party.reports) && !self.parties.iter().any(|party| party.is_over)
    }

    /// Answers the reports that wait no longer, and ends what is due. `true`: nothing more happens in this cast.
    pub(super) fn settle(&mut self, evidence: &Evidence<'_>, now: Instant, outputs: &mut impl Extend<Output<T>>) -> bool {
        if self.watch_until.is_some_and(|until| until <= now) {
            self.close_watches();
        }
        let over = self.over.is_some();
        let ready = Role::ALL.map(|role| over || self.is_ready(role, now));
        self.answer_waiting(|role| ready[role as usize], evidence, now, outputs);
        let Some(over) = self.over.filter(|over| over.until <= now || !self.expects_totals()) else { return false };
        outputs.extend([Output::Report(Reported::Ended(self.ended(over))), Output::Forgotten(self.id)]);
        true
    }

    /// When [`Self::settle`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let waiting = self.parties.iter().filter_map(|party| Some(party.waiting.as_ref()?.due));
        waiting.chain(self.watch_until).chain(self.over.map(|over| over.until)).min()
    }

    /// Whether the report of an end that waits is answered now: the other end would not change the verdict.
    fn is_ready(&self, role: Role, now: Instant) -> bool {
        let other = self.party(role.other());
        let is_due = self.party(role).waiting.as_ref().is_some_and(|waiting| waiting.due <= now);
        let is_decided = self.verdict.as_ref().is_some_and(|decided| !decided.is_open);
        is_due || is_decided || other.has_failed || other.is_connected || other.is_over || other.member.is_none()
    }

    fn answer_waiting(
        &mut self,
        ready: impl Fn(Role) -> bool,
        evidence: &Evidence<'_>,
        now: Instant,
        outputs: &mut impl Extend<Output<T>>,
    ) {
        for role in Role::ALL {
            if !ready(role) || self.party(role).waiting.is_none() {
                continue;
            }
            outputs.extend(self.decide(evidence, now).map(|code| Output::Report(Reported::Failed(code))));
            let Waiting { to, send, .. } = self.party_mut(role).waiting.take().expect("it was there");
            if send {
                outputs.extend([self.sent(role)]);
            }
            outputs.extend([self.answer(to, role, true)]);
            outputs.extend(self.tell_tv(role));
        }
    }

    /// Makes the verdict of this attempt, unless there is one. Returns its code the first time.
    fn decide(&mut self, evidence: &Evidence<'_>, now: Instant) -> Option<&'static str> {
        if self.verdict.as_ref().is_some_and(|decided| !decided.is_open) {
            return None;
        }
        let [caster, tv] = Role::ALL.map(|role| self.party(role).end());
        let verdict = decide::cast(&caster, &tv, &self.facts(evidence));
        let both_have_reported = self.parties.iter().all(|party| party.has_failed);
        let (code, before) = (verdict.code(), self.verdict.take());
        self.last_code = Some(code);
        if before.is_none() {
            // What the relay sees from now on belongs to the next attempt.
            self.parties.iter_mut().for_each(|party| party.keep_witness(evidence.watch));
            self.watch_until = Some(now + WATCH_TIME);
        }
        let is_open = verdict == Verdict::Unknown && !both_have_reported;
        self.verdict = Some(Decided { is_open, verdict, tv_knows: false });
        before.is_none().then_some(code)
    }

    fn facts(&self, evidence: &Evidence<'_>) -> Facts {
        let reader = Role::ALL.into_iter().find_map(|role| self.party(role).member.as_ref());
        reader.map(|member| evidence.facts.facts(member.host.as_deref(), member.address, member.reached)).unwrap_or_default()
    }

    fn answer(&self, to: T, role: Role, failed: bool) -> Output<T> {
        Output::Answer { to, verdict: self.reply(role).filter(|_| failed) }
    }

    /// The verdict as this end reads it.
    fn reply(&self, role: Role) -> Option<VerdictReply> {
        let reader = match (self.kind, role) {
            (Kind::Cast, Role::Caster) => Reader::Caster,
            (Kind::Cast, Role::Tv) => Reader::Tv,
            (Kind::Call, Role::Caster) => Reader::Caller,
            (Kind::Call, Role::Tv) => Reader::Callee,
        };
        self.verdict.as_ref().map(|decided| VerdictReply::to(reader, &decided.verdict))
    }

    /// The caster has been told why the attempt failed.
    fn tell_tv(&mut self, told: Role) -> Option<Output<T>> {
        let decided = self.verdict.as_mut().filter(|decided| told == Role::Caster && !decided.tv_knows)?;
        decided.tv_knows = true;
        let (side, code) = (decided.verdict.side(), decided.verdict.code());
        Some(Output::TellTv { record: self.id, side, code })
    }

    fn sent(&self, role: Role) -> Output<T> {
        let (own, other) = (self.party(role), self.party(role.other()));
        let subject = match self.kind {
            Kind::Cast => Subject::Cast,
            Kind::Call => Subject::Call,
        };
        let decided = self.verdict.as_ref().map(|decided| VerdictReply::to(Reader::Operator(subject), &decided.verdict));
        let json = |report: Option<&Report>, other: Option<&Report>| {
            let by = if role == Role::Caster { "caster" } else { "tv" };
            let json: Value = json!({"by": by, "verdict": decided, "report": report, "other": other});
            Some(json.to_string()).filter(|json| json.len() <= MAX_REPORT_BYTES)
        };
        let json = json(own.report.as_ref(), other.report.as_ref())
            .or_else(|| json(own.report.as_ref(), None))
            .or_else(|| json(None, None))
            .unwrap_or_default();
        let address = own.member.as_ref().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |member| member.address);
        let verdict = decided.as_ref().map(|reply| reply.code);
        Output::Report(Reported::Sent(SentReport { name: self.name.clone(), address, verdict, json }))
    }

    /// The media by the reports of this attempt; those of a page that reports while it is connected are at most seconds old.
    pub(super) fn media(&self) -> MediaRow {
        let mut reports = self.parties.iter().filter_map(|party| party.report.as_ref());
        let Some(report) = reports.find(|report| report.outcome == Outcome::Connected) else { return MediaRow::default() };
        let (route, protocol) = self.path();
        let path = route.map(|_| line::spoken_route(route, protocol));
        MediaRow { path, kbps: report.kbps, loss: report.loss, rtt_ms: report.rtt_ms }
    }

    /// By the reports of both ends.
    fn path(&self) -> (Option<Route>, Option<Protocol>) {
        let both = self.parties.each_ref().map(|party| party.totals);
        // One end may not see that the other one uses a relay.
        let route =
            [Route::Relay, Route::Direct].into_iter().find(|route| both.iter().any(|totals| totals.route == Some(*route)));
        // The end that can't reach its relay over UDP tells more than the other one.
        let protocols = both.into_iter().filter(|totals| totals.route == route).filter_map(|totals| totals.protocol);
        (route, protocols.max_by_key(|protocol| *protocol as usize))
    }

    fn ended(&self, over: Over) -> Ended {
        let [caster, tv] = &self.parties;
        let result = match (self.has_connected, self.last_code.is_some()) {
            (true, _) => CastResult::Connected,
            (false, true) => CastResult::Failed,
            (false, false) => CastResult::Unknown,
        };
        let (route, protocol) = self.path();
        Ended {
            record: self.id,
            name: self.name.clone(),
            caster: caster.member.as_ref().map(|member| member.address),
            tv: tv.member.as_ref().map(|member| member.address),
            duration: over.at.saturating_duration_since(self.began),
            route: route.filter(|_| self.has_connected),
            protocol: protocol.filter(|_| self.has_connected),
            bytes: caster.totals.bytes.or(tv.totals.bytes),
            result,
            verdict: self.last_code.filter(|_| result == CastResult::Failed),
            reason: over.reason,
        }
    }
}
