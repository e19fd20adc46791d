//! Serving, from the first connection to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use tokio::task::{JoinHandle, JoinSet};

use super::bans::Bans;
use super::hooks::CertificateAlarm;
use super::memory;
use super::server::App;
use super::signals::ReloadSignal;
use crate::apprtc::gateway::AppRtcGateway;
use crate::cast::gateway::CastGateway;
use crate::clock::WallClock;
use crate::hooks::event::{Event, Events};
use crate::ingress;
use crate::limits::guesses::{GuessLine, GuessReports};
use crate::outcomes::reporter::Reporter;
use crate::relay::Relay;
use crate::tls::Certificates;
use crate::users::usage::ReachedQuota;
use crate::users::{Directory, RealmMismatches, scope_name};

/// How often [`Monitor`] checks.
const MONITOR_INTERVAL: Duration = Duration::from_secs(1);
/// Seconds by which the wall clock may be set, at once or in several steps, before clients get new credentials. Until then their credentials
/// only end that much earlier or later.
const MAX_STEPS_SECONDS: u64 = 60;

/// How long the end waits for webhooks to be told what has happened.
const WEBHOOKS_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks at intervals what reports no changes by itself: the relay, the clock, the signing secret, and users.
struct Monitor {
    relay: Relay,
    relay_alive: Arc<AtomicBool>,
    directory: Directory,
    cast: CastGateway,
    apprtc: AppRtcGateway,
    reporter: Reporter,
    certificates: Option<Certificates>,
    certificate_alarm: CertificateAlarm,
    clock: WallClock,
    /// The clock when clients last got new credentials because the clock was set.
    renewed_clock: WallClock,
    /// The secret that signs, see [`Directory::signing_secret`].
    signing: Option<i64>,
    other_realms: RealmMismatches,
    /// The directory's, when casts were last compared with it.
    users_revision: u64,
}

impl App {
    /// Serves until `stop` ends, then informs the clients, gives the relay its deadline and closes everything.
    ///
    /// # Errors
    /// A part of the server that must not end has ended.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let asks = self.asks();
        self.open_admin();
        let reload = ReloadSignal::listen().context("the handler of SIGHUP can't be installed")?;
        let mut tasks = JoinSet::new();
        self.spawn_gateways(&mut tasks);
        self.spawn_followers(&mut tasks);
        let monitor_of = self.monitor();
        let Self {
            config, mut listeners, dispatcher, collider_dispatcher, io, control, hooks, admin, lock, store, relay, ..
        } = self;
        let mut monitor = monitor_of(relay);
        if let Ok(control) = control {
            tasks.spawn(control.serve(asks));
        }
        if let Some(listener) = listeners.collider.take() {
            tasks.spawn(ingress::serve(vec![listener], collider_dispatcher, std::future::pending()));
        }
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut server = tokio::spawn(ingress::serve(listeners.into_listeners(), dispatcher, async {
            stopped.await.ok();
        }));
        let ended = monitor.watch(stop, &mut server, &mut tasks, reload).await;

        let directory = monitor.directory.clone();
        admin.stop();
        monitor.stop(config.drain).await;
        // The relay has ended, so nothing more is relayed.
        directory.write_usage(&store).await;
        io.close().await;
        drop(stopping);
        if ended.is_none() {
            server.await.ok();
        }
        tasks.shutdown().await;
        hooks.webhooks.finish(WEBHOOKS_TIMEOUT).await;
        store.close().await;
        // Nothing is written to the data folder any more.
        drop(lock);
        tracing::info!("stopped");
        ended.map_or(Ok(()), Err)
    }

    /// The gateways, and the bans that end their seats.
    fn spawn_gateways(&self, tasks: &mut JoinSet<()>) {
        let Self { cast, multiconnection, apprtc, .. } = self;
        let bans = Bans {
            banned: self.directory.banned_addresses().clone(),
            cast: cast.clone(),
            multiconnection: multiconnection.clone(),
            apprtc: apprtc.clone(),
            ledger: self.ledger.clone(),
        };
        tasks.spawn(bans.enforce());
        tasks.spawn(cast.clone().run());
        tasks.spawn(multiconnection.clone().run());
        tasks.spawn(apprtc.clone().run());
    }

    /// What follows the world around the server: addresses, the database, certificates, and the server's own state.
    fn spawn_followers(&self, tasks: &mut JoinSet<()>) {
        let (directory, store, webhooks) = (&self.directory, &self.store, &self.hooks.webhooks);
        tasks.spawn(self.external.clone().keep_looking_up());
        tasks.spawn(self.public_names.clone().keep_looking_up());
        tasks.spawn(memory::give_back());
        tasks.spawn(directory.clone().follow(store.clone()));
        tasks.spawn(directory.clone().keep_usage(store.clone(), tell_of_quota(webhooks.events())));
        if let Some(certificates) = self.certificates.clone() {
            tasks.spawn(certificates.keep_renewed());
        }
        tasks.spawn(self.self_test.clone().keep_testing());
        tasks.spawn(webhooks.clone().run());
        tasks.spawn(self.relayed_rate.clone().keep_sampling(self.relay.stats_reader()));
    }

    /// The monitor of the relay, which will be its owner.
    fn monitor(&self) -> impl FnOnce(Relay) -> Monitor + use<> {
        let (directory, clock) = (self.directory.clone(), self.clock);
        let mut other_realms = RealmMismatches::new(self.config.relay.realm.clone());
        // The start-up report has named the present ones.
        other_realms.new_warning(&directory);
        directory.watch_clock(clock);
        let (relay_alive, cast, apprtc) = (self.relay_alive.clone(), self.cast.clone(), self.apprtc.clone());
        let (reporter, certificates) = (self.reporter.clone(), self.certificates.clone());
        let certificate_alarm = CertificateAlarm::new(self.hooks.webhooks.events());
        let (signing, users_revision) = (directory.signing_secret(), directory.revision());
        move |relay| Monitor {
            relay,
            relay_alive,
            directory,
            cast,
            apprtc,
            reporter,
            certificates,
            certificate_alarm,
            clock,
            renewed_clock: clock,
            signing,
            other_realms,
            users_revision,
        }
    }
}

impl Monitor {
    /// Checks the server until `stop` ends, or until a part of it ends that must not: that is the error.
    async fn watch(
        &mut self,
        stop: impl Future<Output = ()>,
        server: &mut JoinHandle<()>,
        tasks: &mut JoinSet<()>,
        mut reload: ReloadSignal,
    ) -> Option<anyhow::Error> {
        let mut interval = tokio::time::interval(MONITOR_INTERVAL);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return None,
                result = &mut *server => return Some(anyhow!("the listeners ended: {result:?}")),
                () = reload.requested() => self.certificates.iter().for_each(Certificates::reload),
                Some(result) = tasks.join_next() => return Some(anyhow!("a part of the server ended: {result:?}")),
                _ = interval.tick() => self.check(),
            }
        }
    }

    fn check(&mut self) {
        log_wrong_guesses(self.relay.reports());
        self.relay.refusals().log(Instant::now());
        self.reporter.log(Instant::now());
        if let Some(certificates) = &self.certificates {
            self.certificate_alarm.check(certificates, Instant::now(), SystemTime::now());
        }
        self.relay_alive.store(self.relay.is_alive(), Ordering::Relaxed);
        self.follow_clock(Instant::now(), SystemTime::now());
        let signing = self.directory.signing_secret();
        if signing != self.signing {
            self.signing = signing;
            self.cast.renew_credentials();
        }
        let revision = self.directory.revision();
        if revision != self.users_revision {
            self.users_revision = revision;
            self.cast.follow_users();
            self.apprtc.follow_users();
        }
        if let Some(warning) = self.other_realms.new_warning(&self.directory) {
            tracing::warn!("{warning}");
        }
    }

    fn follow_clock(&mut self, now: Instant, wall: SystemTime) {
        let Some(by) = self.clock.follow(now, wall) else { return };
        self.directory.note_clock_set(by, wall);
        self.directory.watch_clock(self.clock);
        self.cast.handle_clock(self.clock);
        if self.clock.seconds_ahead_of(self.renewed_clock, now).unsigned_abs() <= MAX_STEPS_SECONDS {
            tracing::debug!(seconds = by, "the system clock was set by a little");
            return;
        }
        tracing::warn!(seconds = by, "the system clock was set; clients get new credentials");
        self.renewed_clock = self.clock;
        self.cast.renew_credentials();
        self.certificates.iter().for_each(Certificates::reload);
    }

    /// Informs the clients of the cast flow, and gives the relay `drain` to end.
    async fn stop(self, drain: Duration) {
        log_wrong_guesses(self.relay.reports());
        let casts = self.cast.counts();
        tracing::info!(casts.tvs, casts.clients, allocations = self.relay.allocations(), "stopping");
        self.relay_alive.store(false, Ordering::Relaxed);
        self.cast.announce_shutdown();
        self.apprtc.end_calls();
        // Allocates are refused while the relay drains.
        let refusals = self.relay.refusals().clone();
        let mut interval = tokio::time::interval(MONITOR_INTERVAL);
        let stopped = self.relay.stop(drain);
        tokio::pin!(stopped);
        while tokio::select! { () = &mut stopped => false, _ = interval.tick() => true } {
            refusals.log(Instant::now());
            self.reporter.log(Instant::now());
        }
        refusals.log_last(Instant::now());
        self.reporter.log_last(Instant::now());
    }
}

fn tell_of_quota(events: Events) -> impl Fn(ReachedQuota) {
    move |ReachedQuota { scope, name, bytes, quota }| {
        events.tell(Event::QuotaReached { scope: scope_name(scope).to_owned(), user: name.into(), bytes, quota });
    }
}

/// One form for all kinds, which the filter in `deploy/fail2ban` reads.
fn log_wrong_guesses(reports: &GuessReports) {
    for line in reports.drain(Instant::now()) {
        match line {
            GuessLine::Wrong { kind, address, failures } => tracing::info!(%address, failures, "wrong {}", kind.name()),
            GuessLine::LeftOut(count) => tracing::info!(count, "more lines about wrong codes, passwords and keys were left out"),
        }
    }
}
