//! Signs users in: a name and a password, or a token that a sign-in gave.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::proof::Proof;
use super::proven_user::ProvenUser;
use super::refusal::AdmissionRefusal;
use super::token::{self, Claims};
use crate::config::secret::Secret;
use crate::users::credentials::unix_seconds;
use crate::users::{Directory, PasswordRefusal, UserPasswords};

/// Checks who somebody is. Clones share the counts of wrong passwords.
#[derive(Debug, Clone)]
pub struct SignIn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    passwords: UserPasswords,
    /// Signs tokens.
    key: Secret<[u8; 32]>,
    /// How long a token is good.
    lifetime: Duration,
}

/// The answer to a sign-in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub token: Secret<String>,
    /// In Unix seconds.
    pub expires: u64,
}

impl SignIn {
    /// `key` signs tokens and should survive restarts; `lifetime` is how long a token is good.
    #[must_use]
    pub fn new(directory: Directory, passwords: UserPasswords, key: Secret<[u8; 32]>, lifetime: Duration) -> Self {
        Self(Arc::new(Inner { directory, passwords, key, lifetime }))
    }

    /// Gives the user of this name and password a token.
    ///
    /// # Errors
    /// `WrongPassword`, for unknown and disabled users too; `TooManyAttempts`.
    pub fn sign_in(
        &self,
        name: &str,
        password: &Secret<String>,
        from: IpAddr,
        now: SystemTime,
    ) -> Result<SignedIn, AdmissionRefusal> {
        let ProvenUser { name, stamp } = self.of_password(name, password, from)?;
        let expires = unix_seconds(now) + self.0.lifetime.as_secs();
        let token = token::issue(self.0.key.expose(), &Claims { name, expires, stamp });
        Ok(SignedIn { token: Secret::new(token), expires })
    }

    /// Who shows `proof`; `None`: it proves nothing.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub(super) fn identify(&self, proof: &Proof, from: IpAddr, now: SystemTime) -> Result<Option<ProvenUser>, AdmissionRefusal> {
        if let Some(user) = self.of_token(proof, now) {
            return Ok(Some(user));
        }
        match (&proof.name, &proof.password) {
            (Some(name), Some(password)) => self.of_password(name, password, from).map(Some),
            _ => Ok(None),
        }
    }

    /// The user whose token of this server `proof` has.
    pub(super) fn of_token(&self, proof: &Proof, now: SystemTime) -> Option<ProvenUser> {
        let Claims { name, expires, stamp } = token::verify(self.0.key.expose(), proof.token.as_ref()?.expose())?;
        let user = ProvenUser { name, stamp };
        (expires > unix_seconds(now) && self.is_current(&user)).then_some(user)
    }

    /// Whether the user is still enabled and has the same password.
    #[must_use]
    pub fn is_current(&self, user: &ProvenUser) -> bool {
        self.0.directory.password_stamp(&user.name, self.0.key.expose()) == Some(user.stamp)
    }

    fn of_password(&self, name: &str, password: &Secret<String>, from: IpAddr) -> Result<ProvenUser, AdmissionRefusal> {
        let Inner { directory, passwords, key, .. } = &*self.0;
        passwords.check(directory, name, password, from, Instant::now()).map_err(|refusal| match refusal {
            PasswordRefusal::Banned => AdmissionRefusal::Blocked,
            PasswordRefusal::Wrong => AdmissionRefusal::WrongPassword,
            PasswordRefusal::TooMany(wait) => AdmissionRefusal::TooManyAttempts { wait },
        })?;
        // The user may have been disabled just now.
        let stamp = directory.password_stamp(name, key.expose()).ok_or(AdmissionRefusal::WrongPassword)?;
        Ok(ProvenUser { name: name.to_owned(), stamp })
    }
}
