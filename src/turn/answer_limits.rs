//! Limits how many unsigned answers one source gets over UDP: challenges, and Binding replies. The source of a datagram may be
//! forged, and then the answers go to a victim.
//!
//! A source is a client as [`crate::limits::ip_prefix`] defines it. It gets few answers, until a request from it has been
//! authenticated: the request had a nonce that was sent to that address, so somebody receives there. From then on, and for
//! [`AUTHENTICATED_LATELY`], a source may be a school whose clients all start at the same time, and it gets more answers.
//!
//! Both tables have a **fixed size**, so that no number of strangers takes more memory. Four entries share each hash. A new source
//! replaces the entry that matters least: the one with the fewest answers, or the one that authenticated the longest ago. Whoever
//! wants to have a school forgotten must authenticate from as many addresses as the table has entries, and again whenever a client
//! of that school has sent a signed request. Time is nanoseconds since an epoch; nothing here reads a clock.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::settings::Limits;
use super::source_limits::{WAYS, place};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// A second has this many slots. The present slot and as many before it are counted together, so that no second has more answers
/// than the limit, wherever it begins.
const SLOTS_PER_SECOND: usize = 5;
const SLOTS: usize = SLOTS_PER_SECOND + 1;
const NANOS_PER_SLOT: u64 = NANOS_PER_SECOND / SLOTS_PER_SECOND as u64;
/// In seconds: every live allocation is refreshed at least once in this time (RFC 8656 §7.2), so a network with allocations stays
/// known.
const AUTHENTICATED_LATELY: u32 = 3600;
/// A source's time of authentication is written at most so often, in seconds, because all shards read it.
const WRITE_INTERVAL: u32 = 16;

/// An answer that nobody has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnsignedAnswer {
    /// 401, 438 or 400.
    Challenge,
    /// The answer to a Binding request.
    Binding,
}

/// The answers of the last second, and the sources that have authenticated lately.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    sets: Box<[Mutex<[AnsweredSource; WAYS]>]>,
    authenticated: AuthenticatedSources,
    seed: u64,
    /// Of a source that has not authenticated lately.
    challenges: u32,
    bindings: u32,
    /// Of one that has: challenges and Binding replies together, and Binding replies.
    authenticated_answers: u32,
    authenticated_bindings: u32,
}

/// The answers to one source, by slot.
#[derive(Debug, Clone, Copy, Default)]
struct AnsweredSource {
    tag: u32,
    /// The latest slot with an answer.
    slot: u32,
    challenges: [u16; SLOTS],
    bindings: [u16; SLOTS],
}

impl AnswerLimits {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let sets = limits.sources.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            authenticated: AuthenticatedSources::new(sets),
            seed,
            challenges: limits.challenges.into(),
            bindings: limits.bindings.into(),
            authenticated_answers: limits.authenticated_answers.max(limits.challenges).into(),
            authenticated_bindings: limits.authenticated_bindings.max(limits.bindings).into(),
        }
    }

    /// Whether `source` may get another answer; counts it.
    pub(super) fn may_answer(&self, source: IpAddr, answer: UnsignedAnswer, now: u64) -> bool {
        let (set, tag) = self.place(source);
        let is_authenticated = self.authenticated.contains(set, tag, seconds(now));
        let slot = u32::try_from(now / NANOS_PER_SLOT).unwrap_or(u32::MAX);
        // Nothing panics under this lock.
        let mut entries = self.sets[set].lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.iter_mut() {
            entry.advance(slot);
        }
        let known = entries.iter().position(|entry| entry.tag == tag);
        let weakest = || (0..WAYS).min_by_key(|index| entries[*index].answers()).unwrap_or(0);
        let index = known.unwrap_or_else(weakest);
        let mut entry = if known.is_some() { entries[index] } else { AnsweredSource { tag, slot, ..AnsweredSource::default() } };
        let (challenges, bindings) = (sum(&entry.challenges), sum(&entry.bindings));
        let allowed = match (answer, is_authenticated) {
            (UnsignedAnswer::Challenge, false) => challenges < self.challenges,
            (UnsignedAnswer::Binding, false) => bindings < self.bindings,
            (UnsignedAnswer::Challenge, true) => challenges + bindings < self.authenticated_answers,
            (UnsignedAnswer::Binding, true) => {
                bindings < self.authenticated_bindings && challenges + bindings < self.authenticated_answers
            }
        };
        if allowed {
            let counts = match answer {
                UnsignedAnswer::Challenge => &mut entry.challenges,
                UnsignedAnswer::Binding => &mut entry.bindings,
            };
            let count = &mut counts[slot as usize % SLOTS];
            *count = count.saturating_add(1);
            entries[index] = entry;
        }
        allowed
    }

    /// A request from `source` was authenticated, with a nonce that was sent there.
    pub(super) fn note_authenticated(&self, source: IpAddr, now: u64) {
        let (set, tag) = self.place(source);
        self.authenticated.note(set, tag, seconds(now));
    }

    fn place(&self, source: IpAddr) -> (usize, u32) {
        place(self.seed, source, self.sets.len())
    }
}

impl AnsweredSource {
    /// Forgets the slots that are too old at `slot`. An earlier `slot`, which a thread may bring that waited, forgets nothing.
    fn advance(&mut self, slot: u32) {
        let passed = slot.saturating_sub(self.slot);
        for step in 1..=passed.min(SLOTS as u32) {
            let index = self.slot.saturating_add(step) as usize % SLOTS;
            (self.challenges[index], self.bindings[index]) = (0, 0);
        }
        self.slot = self.slot.max(slot);
    }

    fn answers(&self) -> u32 {
        sum(&self.challenges) + sum(&self.bindings)
    }
}

fn sum(counts: &[u16; SLOTS]) -> u32 {
    counts.iter().copied().map(u32::from).sum()
}

fn seconds(nanos: u64) -> u32 {
    u32::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u32::MAX)
}

/// When each source last sent an authenticated request: tag (32 bits) and seconds (32 bits). A lost race forgets one source, whose
/// next request enters it again.
#[derive(Debug)]
struct AuthenticatedSources(Box<[[AtomicU64; WAYS]]>);

impl AuthenticatedSources {
    fn new(sets: usize) -> Self {
        Self((0..sets).map(|_| Default::default()).collect())
    }

    fn contains(&self, set: usize, tag: u32, now: u32) -> bool {
        let mut entries = self.0[set].iter().map(|entry| split(entry.load(Ordering::Relaxed)));
        entries.any(|(known, since)| known == tag && now.saturating_sub(since) < AUTHENTICATED_LATELY)
    }

    fn note(&self, set: usize, tag: u32, now: u32) {
        let mut oldest = (&self.0[set][0], u32::MAX);
        for entry in &self.0[set] {
            let (known, since) = split(entry.load(Ordering::Relaxed));
            if known == tag {
                if now.saturating_sub(since) >= WRITE_INTERVAL {
                    entry.store(pack(tag, now), Ordering::Relaxed);
                }
                return;
            }
            if since < oldest.1 {
                oldest = (entry, since);
            }
        }
        oldest.0.store(pack(tag, now), Ordering::Relaxed);
    }
}

const fn split(entry: u64) -> (u32, u32) {
    ((entry >> 32) as u32, entry as u32)
}

const fn pack(tag: u32, since: u32) -> u64 {
    (tag as u64) << 32 | since as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use UnsignedAnswer::{Binding, Challenge};

    const START: u64 = 1_000 * NANOS_PER_SECOND;
    const MILLISECOND: u64 = 1_000_000;

    fn source(number: u32) -> IpAddr {
        IpAddr::V4((0xCB00_7100 + number).into())
    }

    fn limits() -> AnswerLimits {
        AnswerLimits::new(&Limits { sources: 64, ..Limits::default() }, 1)
    }

    /// When `source` gets an answer, in milliseconds, where it asks each millisecond for `seconds`.
    fn answered(limits: &AnswerLimits, source: IpAddr, asked: &[UnsignedAnswer], start: u64, seconds: u64) -> Vec<u64> {
        let times = (0..seconds * 1000).flat_map(|millisecond| asked.iter().map(move |answer| (millisecond, *answer)));
        times.filter(|(at, answer)| limits.may_answer(source, *answer, start + at * MILLISECOND)).map(|(at, _)| at).collect()
    }

    fn most_in_a_second(answered: &[u64]) -> usize {
        answered.iter().map(|begin| answered.iter().filter(|at| (*begin..begin + 1000).contains(at)).count()).max().unwrap_or(0)
    }

    #[test]
    fn r39_no_second_has_more_than_10_challenges_wherever_it_begins() {
        for offset in [0, 1, 199, 200, 555, 999] {
            let answered = answered(&limits(), source(1), &[Challenge], START + offset * MILLISECOND, 10);
            assert_eq!(most_in_a_second(&answered), 10, "{offset}");
            // 10 in 1.2 s.
            assert!((80..=100).contains(&answered.len()), "{}", answered.len());
        }
    }

    #[test]
    fn r78_a_source_that_authenticated_lately_gets_at_most_200_answers_of_all_kinds_in_any_second() {
        for (asked, most) in [(&[Challenge][..], 200), (&[Challenge, Binding], 200), (&[Binding], 150)] {
            let limits = limits();
            limits.note_authenticated(source(1), START);
            let answered = answered(&limits, source(1), asked, START + 77 * MILLISECOND, 10);
            assert_eq!(most_in_a_second(&answered), most, "{asked:?}");
            assert!(answered.len() * 10 >= most * 80, "{asked:?}: {}", answered.len());
        }
        // A flood of Binding requests leaves challenges.
        let limits = limits();
        limits.note_authenticated(source(1), START);
        let bindings = (0..500).filter(|_| limits.may_answer(source(1), Binding, START)).count();
        let challenges = (0..500).filter(|_| limits.may_answer(source(1), Challenge, START)).count();
        assert_eq!((bindings, challenges), (150, 50));
    }

    #[test]
    fn r78_lately_is_an_hour_and_is_for_one_source() {
        let limits = limits();
        limits.note_authenticated(source(1), START);
        let challenges = |number, now| (0..500).filter(|_| limits.may_answer(source(number), Challenge, now)).count();
        assert_eq!((challenges(1, START), challenges(2, START)), (200, 10));
        let hour = START + 3600 * NANOS_PER_SECOND;
        assert_eq!((challenges(1, hour - NANOS_PER_SECOND), challenges(1, hour + NANOS_PER_SECOND)), (200, 10));
        limits.note_authenticated(source(1), hour);
        assert_eq!(challenges(1, hour + 3 * NANOS_PER_SECOND), 200);
    }

    #[test]
    fn r39_a_flood_of_others_does_not_wash_out_one_that_repeats() {
        let limits = limits();
        let answered = (0..100_000_u32).filter(|other| {
            let _ = limits.may_answer(source(1000 + other), Challenge, START);
            other % 8 == 0 && limits.may_answer(source(1), Challenge, START)
        });
        assert!(answered.count() <= 30);
    }

    #[test]
    fn r78_sources_that_authenticated_longer_ago_are_forgotten_first() {
        let limits = limits();
        let challenges = |now| (0..500).filter(|_| limits.may_answer(source(1), Challenge, now)).count();
        for second in 0..1000_u32 {
            let now = START + u64::from(second) * NANOS_PER_SECOND;
            // A school whose clients keep their allocations, and others that come once; the table has room for 64.
            if second.is_multiple_of(16) {
                limits.note_authenticated(source(1), now);
            }
            limits.note_authenticated(source(1000 + second), now);
        }
        assert_eq!(challenges(START + 1000 * NANOS_PER_SECOND), 200);
        for others in 0..1000 {
            limits.note_authenticated(source(5000 + others), START + 1001 * NANOS_PER_SECOND);
        }
        assert_eq!(challenges(START + 1002 * NANOS_PER_SECOND), 10, "the table has a fixed size");
    }

    #[test]
    fn a_clock_that_steps_back_between_threads_forgets_nothing() {
        let limits = limits();
        assert!((0..10).all(|_| limits.may_answer(source(1), Challenge, START)));
        assert!(!limits.may_answer(source(1), Challenge, START - 300 * MILLISECOND));
        assert!(!limits.may_answer(source(1), Challenge, START));
    }
}
