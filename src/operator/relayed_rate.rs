//! [`RelayedRate`]: how much the relay forwards, now and in each minute of the last hour.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::relay::stats::labels::TrafficDirection;
use crate::relay::{RelayStats, StatsReader};
use crate::turn::Transport;

/// How often the relayed bytes are read.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// Minutes of the history.
const MAX_MINUTES: usize = 60;

/// How much the relay forwards, now and in the last hour; clones share it.
#[derive(Debug, Clone, Default)]
pub struct RelayedRate(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    last: Option<(Instant, u64)>,
    kbps: f64,
    /// When this minute began, and the bytes until then.
    minute: Option<(Instant, u64)>,
    minutes: VecDeque<f64>,
}

impl RelayedRate {
    /// Reads the counters of the relay at intervals; never returns.
    pub async fn keep_sampling(self, relay: StatsReader) {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        loop {
            interval.tick().await;
            self.samples().note(relayed_bytes(&relay.stats()), Instant::now());
        }
    }

    /// kbit/s now, and in each of the last minutes.
    pub(super) fn read(&self) -> (f64, Vec<f64>) {
        let samples = self.samples();
        (samples.kbps, samples.minutes.iter().copied().collect())
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples {
    /// `bytes`: all that were relayed until now.
    fn note(&mut self, bytes: u64, now: Instant) {
        if let Some(last) = self.last {
            self.kbps = kbps(last, bytes, now);
        }
        self.last = Some((now, bytes));
        let minute = *self.minute.get_or_insert((now, bytes));
        if now.saturating_duration_since(minute.0) >= MINUTE {
            self.minutes.push_back(kbps(minute, bytes, now));
            self.minute = Some((now, bytes));
        }
        if self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_front();
        }
    }
}

fn kbps((since, before): (Instant, u64), bytes: u64, now: Instant) -> f64 {
    let seconds = now.saturating_duration_since(since).as_secs_f64();
    if seconds <= 0.0 {
        return 0.0;
    }
    (bytes.saturating_sub(before) as f64 * 8.0 / 1000.0 / seconds * 10.0).round() / 10.0
}

fn relayed_bytes(stats: &RelayStats) -> u64 {
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let of = |direction| transports.iter().map(|transport| stats.bytes(direction, *transport)).sum::<u64>();
    TrafficDirection::ALL.iter().map(|direction| of(*direction)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_interval_and_of_each_minute_of_an_hour() {
        let (mut samples, start) = (Samples::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        // 1000 bytes a second are 8 kbit/s.
        (0..=60).step_by(2).for_each(|second| samples.note(second * 1000, at(second)));
        assert_eq!((samples.kbps, samples.minutes.as_slices().0), (8.0, &[8.0][..]));
        samples.note(60_000, at(62));
        assert_eq!(samples.kbps, 0.0, "nothing more was relayed");
        for minute in 2..200_u64 {
            samples.note(60_000 + minute * 1000, at(minute * 60));
        }
        assert_eq!(samples.minutes.len(), MAX_MINUTES);
        assert_eq!(kbps((start, 0), 5, start), 0.0);
    }
}
