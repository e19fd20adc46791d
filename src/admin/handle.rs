//! [`Admin`]: the state of `/admin`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;
use tokio::sync::watch;

use super::cookie;
use super::sessions::{NewSession, Sessions, SignedIn};
use super::sign_in::SignIns;
use super::views::Views;
use crate::check::Checks;
use crate::config::{AdminConfig, BasePath, SettingRow};
use crate::limits::guesses::GuessReports;
use crate::operator::Operator;
use crate::users::{Directory, PasswordChecks};

/// `/admin`; clones share it.
#[derive(Clone)]
pub struct Admin(pub(super) Arc<Inner>);

/// What `/admin` is made of.
pub struct AdminParts {
    pub config: AdminConfig,
    pub base: BasePath,
    /// The origin that people type, if it is set.
    pub public_origin: Option<String>,
    pub secure_url: SecureUrl,
    pub directory: Directory,
    pub password_checks: PasswordChecks,
    pub reports: GuessReports,
    pub checks: Checks,
    pub settings: Vec<SettingRow>,
}

/// The address of `/admin` over HTTPS, if it is known, for a client that used this host.
pub type SecureUrl = Box<dyn Fn(Option<&str>) -> Option<String> + Send + Sync>;

pub(super) struct Inner {
    pub(super) parts: AdminParts,
    pub(super) sign_ins: SignIns,
    /// Made once all parts of the server are there.
    operator: OnceLock<(Operator, Views)>,
    sessions: Mutex<Sessions>,
    /// True once the server stops.
    stopping: watch::Sender<bool>,
}

impl Admin {
    #[must_use]
    pub fn new(parts: AdminParts) -> Self {
        let sign_ins = SignIns::new(parts.password_checks.clone(), &parts.reports);
        let (operator, sessions, stopping) = (OnceLock::new(), Mutex::default(), watch::Sender::new(false));
        Self(Arc::new(Inner { parts, sign_ins, operator, sessions, stopping }))
    }

    /// Gives it what the operator sees and does. Before that, requests are told to come later.
    pub fn open(&self, operator: Operator) {
        let views = Views::new(operator.clone());
        self.0.operator.get_or_init(|| (operator, views));
    }

    /// Ends all event streams.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }
}

impl Inner {
    pub(super) fn operator(&self) -> Option<&Operator> {
        self.operator.get().map(|(operator, _)| operator)
    }

    pub(super) fn views(&self) -> Option<&Views> {
        self.operator.get().map(|(_, views)| views)
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The session of a request.
    pub(super) fn signed_in(&self, headers: &HeaderMap) -> Option<SignedIn> {
        let (tokens, now) = (cookie::tokens(headers), Instant::now());
        let mut sessions = self.sessions();
        tokens.iter().find_map(|token| sessions.find(token.expose(), now, |name| self.stamp(name)))
    }

    /// Begins a session, and ends those that the request had.
    pub(super) fn begin_session(&self, operator: &str, stamp: u64, headers: &HeaderMap) -> NewSession {
        self.end_sessions(headers);
        self.sessions().open(operator, stamp, [rand::random(), rand::random()], Instant::now())
    }

    pub(super) fn end_sessions(&self, headers: &HeaderMap) {
        let tokens = cookie::tokens(headers);
        let mut sessions = self.sessions();
        tokens.iter().for_each(|token| sessions.end(token.expose()));
    }

    pub(super) fn is_live(&self, session: u64) -> bool {
        self.sessions().is_live(session, Instant::now(), |name| self.stamp(name))
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self, operator: &str) -> Option<u64> {
        self.parts.directory.operator_stamp(operator)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}
