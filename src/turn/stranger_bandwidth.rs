//! Divides the bandwidth of strangers (credentials of the scope *clients*) between their sites (an IPv4 address, an IPv6 /48).
//!
//! Owner: each engine has the limits; the buckets are in [`super::strangers::Strangers`] and
//! [`super::stranger_table::StrangerSite`]. Time is nanoseconds since an epoch; nothing here reads a clock. A packet costs a few
//! relaxed atomics and no lock: 18 ns on a busy machine (`benches/turn.rs`).
//!
//! # The rules
//! - All strangers together have one bucket. Until it is emptied to [`Limits::clients_capacity`] percent, nobody is refused.
//! - Beyond that there is a **share**: a site that has sent more lately is refused. The share begins with all of the rate and is
//!   halved again and again as the rest of the bucket is used, so it settles where the sites together send just what the rate
//!   allows. A site that sends less than the share loses nothing, the site that sends the most yields first, and idle sites leave
//!   what they don't use to the others. The share is never less than the rate divided by the number of sites that have an
//!   allocation, so that many sites that begin at the same moment cost the others nothing.
//! - The bucket of the whole server counts as well: strangers yield where it is emptied to the same percentage, and get nothing
//!   where half of what then remains is used, so that users have the rest.
//!
//! What a site "has sent lately" decays by half in 0.4 s, and is bounded by the share that the site had. So a site that was refused
//! recovers within two seconds, however much it had sent.
//!
//! A site within its least share takes from the bucket even where the bucket is empty, because others may have emptied it a moment
//! before. The debt is bounded: all sites together send at most half a second's worth before they exceed their least shares.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::rate_limit::RateLimit;
use super::settings::Limits;

/// The share is halved so often between the beginning of a zone and its end.
const HALVINGS: u64 = 16;
/// A tick is 2²⁰ ns, about a millisecond.
const NANOS_TO_TICKS: u32 = 20;
/// In each tick, one of so many bytes is forgotten. This makes the mean age of those that are remembered half a second.
const WINDOW_TICKS: u64 = 512;
const WINDOW_NANOS: u64 = WINDOW_TICKS << NANOS_TO_TICKS;
/// What is left of 2³² bytes after one tick, two, four, and so on.
const LEFT_AFTER: [u64; 13] = left_after();
/// Two shards disagree about the time by less than this.
const MAX_SKEW_TICKS: u32 = 10_000;

/// The limits of strangers' bandwidth.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrangerBandwidth {
    all: RateLimit,
    /// The bytes that the rate allows in the window.
    window_bytes: u64,
    /// Where strangers yield to each other.
    all_zone: Zone,
    /// The bucket of the server, and where strangers yield to users.
    server: Option<(RateLimit, Zone)>,
}

/// The buckets in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrangerBuckets<'a> {
    pub(super) all: &'a AtomicU64,
    /// The bytes that the site sent lately.
    pub(super) site: &'a AtomicU64,
    pub(super) server: &'a AtomicU64,
    /// The number of sites that have an allocation.
    pub(super) sites: &'a AtomicU32,
}

impl StrangerBandwidth {
    /// `None` where neither strangers nor the server have a limit.
    pub(super) fn new(limits: &Limits, largest_packet: u64) -> Option<Self> {
        let percent = u64::from(limits.clients_capacity.min(100));
        let of_server = limits.server_bandwidth.map(|rate| rate.saturating_mul(percent) / 100);
        let rate = [limits.clients_bandwidth, of_server].into_iter().flatten().min()?;
        let all = RateLimit::new(Some(rate), largest_packet)?;
        let server = RateLimit::new(limits.server_bandwidth, largest_packet).map(|server| {
            let start = server.burst() / 100 * percent;
            (server, Zone::new(start, start + (server.burst() - start) / 2))
        });
        let window_bytes = (u128::from(rate) * u128::from(WINDOW_NANOS) / 1_000_000_000).try_into().unwrap_or(u64::MAX);
        Some(Self { all, window_bytes, all_zone: Zone::new(all.burst() / 100 * percent, all.burst()), server })
    }

    /// Takes a payload from the bucket of all strangers, and counts it for its site; or refuses it and takes nothing.
    pub(super) fn take(&self, buckets: StrangerBuckets<'_>, bytes: u64, now: u64) -> bool {
        let recent = RecentBytes::load(buckets.site, now);
        let taken = match self.standing(buckets, recent, bytes, now) {
            Standing::WithinLeast => {
                self.all.charge_shared(buckets.all, bytes, now);
                true
            }
            Standing::WithinShare => self.all.take_shared(buckets.all, bytes, now),
            Standing::Yields => false,
        };
        if taken {
            recent.plus(bytes).store(buckets.site);
        }
        taken
    }

    /// Charges bytes of a stream, which can't be dropped, and returns for how many nanoseconds its site should wait.
    pub(super) fn charge(&self, buckets: StrangerBuckets<'_>, bytes: u64, now: u64) -> u64 {
        let recent = RecentBytes::load(buckets.site, now);
        let standing = self.standing(buckets, recent, bytes, now);
        recent.plus(bytes).store(buckets.site);
        match standing {
            Standing::WithinLeast => {
                self.all.charge_shared(buckets.all, bytes, now);
                0
            }
            Standing::WithinShare => self.all.charge_shared(buckets.all, bytes, now),
            // Any number of streams may yield at the same time: the bucket must not owe what they all send.
            Standing::Yields => {
                let _ = self.all.take_shared(buckets.all, bytes, now);
                WINDOW_NANOS
            }
        }
    }

    fn standing(&self, buckets: StrangerBuckets<'_>, recent: RecentBytes, bytes: u64, now: u64) -> Standing {
        let sent = recent.bytes();
        let share = |zone: &Zone, taken| zone.share(self.window_bytes, taken);
        let of_server = self.server.as_ref().and_then(|(server, zone)| share(zone, server.taken(buckets.server, now)));
        if of_server.is_some_and(|share| sent >= share) {
            return Standing::Yields;
        }
        let Some(of_strangers) = share(&self.all_zone, self.all.taken(buckets.all, now)) else { return Standing::WithinShare };
        let least = self.window_bytes / u64::from(buckets.sites.load(Ordering::Relaxed).max(1));
        if sent + bytes <= least {
            Standing::WithinLeast
        } else if sent < of_strangers {
            Standing::WithinShare
        } else {
            Standing::Yields
        }
    }
}

/// What a site has sent lately, compared with its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is less than the least share. The packet passes although the bucket may be empty: the least shares of all sites together
    /// are the rate.
    WithinLeast,
    WithinShare,
    Yields,
}

/// A part of a bucket in which the share falls. Both fields are nanoseconds' worth of the bucket.
#[derive(Debug, Clone, Copy)]
struct Zone {
    start: u64,
    /// The share is halved once in so many.
    halving: u64,
}

impl Zone {
    const fn new(start: u64, end: u64) -> Self {
        let halving = (end - start) / HALVINGS;
        Self { start, halving: if halving == 0 { 1 } else { halving } }
    }

    /// The share where this much of the bucket is taken: `whole` at the start of the zone, and linear between two halvings.
    /// `None` before the zone.
    const fn share(&self, whole: u64, taken: u64) -> Option<u64> {
        let Some(into) = taken.checked_sub(self.start) else { return None };
        let halvings = into / self.halving;
        if halvings >= HALVINGS {
            return Some(0);
        }
        let share = whole >> halvings;
        let part_of_256 = ((into % self.halving) << 8) / self.halving;
        Some(share - (share / 2 / 256) * part_of_256)
    }
}

/// The bytes that a site has sent lately: sixteenths of bytes (40 bits), and the tick at which they were counted (24 bits).
///
/// Two shards that store at the same time may lose one of two packets. The bucket of all strangers loses none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RecentBytes {
    sixteenths: u64,
    tick: u32,
}

impl RecentBytes {
    const TICK_MASK: u32 = (1 << 24) - 1;
    const MOST: u64 = (1 << 40) - 1;

    fn load(state: &AtomicU64, now: u64) -> Self {
        let state = state.load(Ordering::Relaxed);
        let (mut sixteenths, tick, now) =
            (state >> 24, state as u32 & Self::TICK_MASK, (now >> NANOS_TO_TICKS) as u32 & Self::TICK_MASK);
        let elapsed = now.wrapping_sub(tick) & Self::TICK_MASK;
        if elapsed > Self::TICK_MASK - MAX_SKEW_TICKS {
            return Self { sixteenths, tick };
        }
        let mut bits = elapsed;
        while bits != 0 {
            let left = LEFT_AFTER.get(bits.trailing_zeros() as usize).copied().unwrap_or(0);
            sixteenths = ((u128::from(sixteenths) * u128::from(left)) >> 32) as u64;
            bits &= bits - 1;
        }
        Self { sixteenths, tick: now }
    }

    const fn bytes(self) -> u64 {
        self.sixteenths / 16
    }

    fn plus(self, bytes: u64) -> Self {
        Self { sixteenths: self.sixteenths.saturating_add(bytes.saturating_mul(16)).min(Self::MOST), ..self }
    }

    fn store(self, state: &AtomicU64) {
        state.store(self.sixteenths << 24 | u64::from(self.tick), Ordering::Relaxed);
    }
}

const fn left_after() -> [u64; 13] {
    let mut left = [(1 << 32) / WINDOW_TICKS * (WINDOW_TICKS - 1); 13];
    let mut power = 1;
    while power < left.len() {
        left[power] = (left[power - 1] * left[power - 1]) >> 32;
        power += 1;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::rate_limit::Bandwidth;

    const SECOND: u64 = 1_000_000_000;
    const PACKET: u64 = 1200;
    /// Bytes a second of all strangers.
    const RATE: u64 = 25_000_000;

    /// A site that sends packets at a steady rate.
    struct Sender {
        bytes_per_second: u64,
        /// Whether it sends at this time since the start.
        is_active: Box<dyn Fn(u64) -> bool>,
        site: AtomicU64,
        next: u64,
        /// The bytes that were sent and that passed, by second.
        offered: Vec<u64>,
        passed: Vec<u64>,
    }

    impl Sender {
        fn new(bytes_per_second: u64) -> Self {
            Self::at(bytes_per_second, |_| true)
        }

        fn at(bytes_per_second: u64, is_active: impl Fn(u64) -> bool + 'static) -> Self {
            let (is_active, offered, passed) = (Box::new(is_active), vec![0; 100], vec![0; 100]);
            Self { bytes_per_second, is_active, site: AtomicU64::new(0), next: 0, offered, passed }
        }

        /// The bytes that passed in these seconds, in percent of those that were sent.
        fn percent(&self, seconds: std::ops::Range<usize>) -> u64 {
            let sum = |bytes: &[u64]| bytes[seconds.clone()].iter().sum::<u64>();
            sum(&self.passed) * 100 / sum(&self.offered).max(1)
        }

        fn passed(&self, seconds: std::ops::Range<usize>) -> u64 {
            self.passed[seconds].iter().sum()
        }
    }

    fn senders(count: usize, bytes_per_second: u64) -> Vec<Sender> {
        (0..count).map(|_| Sender::new(bytes_per_second)).collect()
    }

    /// Strangers send, and users with them, whose packets only the server's bucket limits. Returns the percentage of the users'
    /// bytes that passed.
    fn run(limits: &Limits, senders: &mut [Sender], users_per_second: u64, seconds: u64) -> u64 {
        let bandwidth = StrangerBandwidth::new(limits, 65_535).expect("a limit");
        let server_limit = RateLimit::new(limits.server_bandwidth, 65_535);
        let (all, server, sites) = (Bandwidth::default(), AtomicU64::new(0), AtomicU32::new(senders.len() as u32));
        let (mut users_next, mut users_passed, mut users_sent) = (0, 0, 0);
        // The epoch is in the past, and senders do not send in step.
        let start = 5000 * SECOND;
        for now in (start..start + seconds * SECOND).step_by(50_000) {
            let since = now - start;
            while users_per_second > 0 && users_next <= since {
                users_next += SECOND * PACKET / users_per_second;
                users_sent += 1;
                users_passed += u64::from(server_limit.is_none_or(|limit| limit.take_shared(&server, PACKET, now)));
            }
            for sender in &mut *senders {
                if !(sender.is_active)(since) {
                    sender.next = since;
                }
                while sender.next < since {
                    sender.next += SECOND * PACKET / sender.bytes_per_second;
                    sender.offered[(since / SECOND) as usize] += PACKET;
                    let buckets = StrangerBuckets { all: &all.to_peer, site: &sender.site, server: &server, sites: &sites };
                    if bandwidth.take(buckets, PACKET, now)
                        && server_limit.is_none_or(|limit| limit.take_shared(&server, PACKET, now))
                    {
                        sender.passed[(since / SECOND) as usize] += PACKET;
                    }
                }
            }
        }
        (users_passed * 100).checked_div(users_sent).unwrap_or(100)
    }

    fn limits(clients: Option<u64>, server: Option<u64>) -> Limits {
        Limits { clients_bandwidth: clients, server_bandwidth: server, ..Limits::default() }
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        assert!(StrangerBandwidth::new(&limits(None, None), 1).is_none());
        assert!(StrangerBandwidth::new(&limits(None, Some(1)), 1).is_some());
    }

    #[test]
    fn r71_below_the_rate_nobody_is_refused() {
        for count in [1, 7] {
            let mut all = senders(count, RATE / 100 * 99 / count as u64);
            run(&limits(Some(RATE), None), &mut all, 0, 5);
            assert!(all.iter().all(|sender| sender.percent(0..5) == 100), "{count}");
        }
    }

    #[test]
    fn r71_the_address_that_sends_the_most_yields_first() {
        for attackers in [1, 20] {
            let mut all = senders(30, 375_000);
            all.extend(senders(attackers, 100_000_000 / attackers as u64));
            run(&limits(Some(RATE), None), &mut all, 0, 8);
            let (casts, attackers) = all.split_at(30);
            let lost: Vec<_> = casts.iter().map(|cast| cast.percent(0..8)).filter(|percent| *percent < 100).collect();
            assert!(lost.is_empty(), "{lost:?}");
            let forwarded: u64 = attackers.iter().map(|attacker| attacker.passed(2..8)).sum();
            assert!((12..=15).contains(&(forwarded / 6_000_000)), "attackers get the rest, and no more: {forwarded}");
        }
    }

    #[test]
    fn r71_addresses_that_send_alike_get_alike() {
        for count in [2, 40, 300] {
            let mut all = senders(count, 100_000_000 / count as u64);
            run(&limits(Some(RATE), None), &mut all, 0, 8);
            let share = RATE * 6 / count as u64;
            for sender in &all {
                let passed = sender.passed(2..8);
                assert!((share * 4 / 5..=share * 6 / 5).contains(&passed), "{passed} of {share} with {count}");
            }
            let total: u64 = all.iter().map(|sender| sender.passed(2..8)).sum();
            assert!(total >= RATE * 6 / 100 * 97, "the rate is used: {total}");
        }
    }

    #[test]
    fn r71_an_address_recovers_within_two_seconds() {
        // One site has had the whole rate for a minute when nineteen others come.
        let mut all = vec![Sender::new(200_000_000)];
        all.extend((0..19).map(|_| Sender::at(10_000_000, |now| now >= 20 * SECOND)));
        run(&limits(Some(RATE), None), &mut all, 0, 26);
        let share = RATE / 20;
        assert!(all[0].passed(22..23) >= share / 2, "{}", all[0].passed(22..23));
        assert!(all[0].passed(23..26) >= share * 3 / 5 * 4, "{}", all[0].passed(23..26));
        // A cast goes on behind the address of a flood that has ended.
        let mut all = senders(20, 5_000_000);
        all[0] = Sender::new(200_000_000);
        run(&limits(Some(RATE), None), &mut all, 0, 10);
        let site = std::mem::take(&mut all[0].site);
        let recent = RecentBytes::load(&site, 5012 * SECOND);
        assert!(recent.bytes() < RATE / 20, "{recent:?}");
    }

    #[test]
    fn r71_bursts_of_many_addresses_do_not_starve_a_cast() {
        // A hundred addresses take turns, so that those that begin have sent little lately.
        let in_turn = |number: u64| move |now: u64| now * 3 / SECOND % 3 == number % 3;
        let mut all: Vec<Sender> = (0..100).map(|number| Sender::at(6_250_000, in_turn(number))).collect();
        all.push(Sender::new(125_000));
        run(&limits(Some(RATE), None), &mut all, 0, 8);
        let percents: Vec<_> = (0..8).map(|second| all.last().expect("a cast").percent(second..second + 1)).collect();
        assert_eq!(percents, [100; 8]);
    }

    #[test]
    fn r71_strangers_yield_to_users() {
        let server = 40_000_000;
        // Together they offer 30 and 80 MB/s, and then the users alone need nearly everything.
        for (users, strangers) in [(30_000_000, 10), (39_500_000, 0)] {
            let mut all = senders(10, 8_000_000);
            all.push(Sender::new(20_000));
            let passed = run(&limits(Some(RATE), Some(server)), &mut all, users, 8);
            assert_eq!(passed, 100, "the users lose nothing");
            let forwarded: u64 = all.iter().map(|sender| sender.passed(2..8)).sum::<u64>() / 6_000_000;
            assert!((strangers.max(1) - 1..=strangers).contains(&forwarded), "{forwarded} MB/s of {strangers}");
            assert!(strangers == 0 || all[10].percent(0..8) == 100, "and the site that sends little keeps all of it");
        }
        let mut all = senders(10, 8_000_000);
        run(&limits(None, Some(server)), &mut all, 0, 8);
        let forwarded: u64 = all.iter().map(|sender| sender.passed(2..8)).sum::<u64>() / 6_000_000;
        assert!((31..=32).contains(&forwarded), "80% of the server's bandwidth at the most: {forwarded}");
    }

    #[test]
    fn a_stream_that_has_sent_more_than_its_share_waits_no_longer_than_a_window() {
        let bandwidth = StrangerBandwidth::new(&limits(Some(RATE), None), 65_535).expect("a limit");
        let (all, site, other, server) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let buckets = StrangerBuckets { all: &all, site: &site, server: &server, sites: &AtomicU32::new(100) };
        let now = 5000 * SECOND;
        let waits: Vec<u64> = (0..24).map(|_| bandwidth.charge(buckets, RATE / 25, now)).collect();
        assert_eq!(waits[..19], [0; 19], "nothing is scarce");
        assert_eq!(waits[21..], [WINDOW_NANOS; 3]);
        assert_eq!(bandwidth.charge(StrangerBuckets { site: &other, ..buckets }, 1200, now), 0, "another site does not wait");
    }

    #[test]
    fn recent_bytes_decay_alike_in_one_step_and_in_many_and_stay_where_shards_disagree() {
        let state = AtomicU64::new(0);
        for start in [7 * SECOND, ((1 << 24) - 1) << NANOS_TO_TICKS] {
            let tick = (start >> NANOS_TO_TICKS) as u32 & RecentBytes::TICK_MASK;
            let before = RecentBytes { sixteenths: 16_000_000, tick };
            before.store(&state);
            assert_eq!(RecentBytes::load(&state, start), before);
            assert_eq!(RecentBytes::load(&state, start - SECOND), before);
            for (ticks, left) in [(1, 998_047), (355, 499_500), (512, 367_520), (4096, 333), (8192, 0), (200_000, 0)] {
                let later = start + (ticks << NANOS_TO_TICKS);
                let at_once = RecentBytes::load(&state, later).bytes();
                assert!(at_once.abs_diff(left) <= 200, "{at_once} {left}");
                let steps = AtomicU64::new(state.load(Ordering::Relaxed));
                (1..=ticks).for_each(|tick| RecentBytes::load(&steps, start + (tick << NANOS_TO_TICKS)).store(&steps));
                assert!(RecentBytes::load(&steps, later).bytes().abs_diff(at_once) <= 50);
            }
        }
        assert_eq!(RecentBytes { sixteenths: RecentBytes::MOST - 1, tick: 0 }.plus(70_000).sixteenths, RecentBytes::MOST);
    }

    #[test]
    fn a_share_falls_without_steps_from_the_whole_rate_to_nothing() {
        let zone = Zone::new(800_000_000, SECOND);
        assert_eq!((zone.share(1 << 24, 799_999_999), zone.share(1 << 24, SECOND)), (None, Some(0)));
        let shares: Vec<u64> = (800..1000).filter_map(|millis| zone.share(1 << 24, millis * 1_000_000)).collect();
        assert_eq!((shares[0], shares[25]), (1 << 24, 1 << 22));
        assert!(shares.windows(2).all(|pair| pair[1] < pair[0] && pair[1] > pair[0] * 9 / 10), "{shares:?}");
        assert_eq!(Zone::new(SECOND, SECOND).share(1 << 24, SECOND), Some(1 << 24));
    }
}
