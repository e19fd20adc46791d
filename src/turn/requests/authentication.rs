//! The long-term credential mechanism (RFC 8489 §9.2.4).
//!
//! The six checks of §9.2.4 are made in its order, except that the nonce is checked third and not last. A client with a valid
//! nonce receives at the address that the nonce is bound to, so a forged source address cannot get another client throttled.

use std::borrow::Cow;
use std::time::Instant;

use super::request::{BAD_REQUEST, KeySource, Refusal, Requester, STALE_NONCE, UNAUTHENTICATED};
use crate::turn::allocation::{Allocation, Signer};
use crate::turn::codec::attribute;
use crate::turn::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use crate::turn::codec::message::StunMessage;
use crate::turn::credentials::{CredentialEvidence, Scope, UserKeys};
use crate::turn::engine::Engine;
use crate::turn::five_tuple::FiveTuple;
use crate::turn::nonce::SecurityFeatures;
use crate::turn::refusal::{CredentialRefusal, RefusalReason};
use crate::turn::settings::PasswordAlgorithms;
use crate::turn::verdict::DropReason;

/// The credentials were not checked.
const THROTTLED: Refusal = Refusal::Silent(DropReason::Throttled);
/// The credentials were checked and are wrong, and the client is not told so.
const WITHHELD: Refusal = Refusal::Silent(DropReason::Withheld);

/// RFC 8489 §14.3: fewer than 509 bytes.
const MAX_USERNAME_BYTES: usize = 508;

/// PASSWORD-ALGORITHMS as this server offers them: SHA-256 first, because it is preferred.
const OFFER_BOTH: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const OFFER_SHA256: &[u8] = &[0, 2, 0, 0];

/// How many long-term keys a user with a password has: one for the password as it was typed and one for its SASLprep form.
const KEYS_OF_USER: usize = 2;

/// The attributes of a request that identify the requester.
struct Claim<'a> {
    integrity: IntegrityAlgorithm,
    realm: &'a [u8],
    name: Option<&'a [u8]>,
    userhash: Option<&'a [u8]>,
    algorithm: PasswordAlgorithm,
    /// The tag of USERNAME or USERHASH.
    username: u64,
}

/// How a wrong password would be counted.
struct Guess {
    /// The user whose password it would be; `None` where that password cannot be guessed.
    target: Option<u64>,
    /// The client has sent so many wrong passwords that it gets no answer to another one.
    is_beyond: bool,
}

impl Engine {
    pub(super) fn authenticate(&self, from: &FiveTuple, message: &StunMessage<'_>, now: Instant) -> Result<Requester, Refusal> {
        let claim = self.claim(from, message, now)?;
        if self.shared.is_throttled(from, now) {
            return Err(THROTTLED);
        }
        let realm_is_ours = claim.realm == self.settings.realm.as_bytes();
        if realm_is_ours && let Some(requester) = self.allocation_key(from, message, &claim, now) {
            return Ok(requester);
        }
        let user_keys = if realm_is_ours { self.user_keys(&claim, now) } else { None };
        let guess = self.guess(from, &claim, user_keys.as_ref(), now)?;
        // Fourth and fifth checks: 401 for an unknown user and for wrong integrity. An unknown user costs the same HMACs as a
        // known one, so that the time of the answer does not tell them apart.
        let decoy = [(Scope::Anyone, LongTermKey::Md5([0; 16])); KEYS_OF_USER];
        let (keys, known) = user_keys.as_ref().map_or((&decoy[..], false), |user_keys| (&user_keys.keys, true));
        match keys.iter().find(|(_, key)| claim.integrity.verify(message, key) && known).copied() {
            Some((scope, key)) => {
                let UserKeys { user, expires, leased, group, .. } = user_keys.ok_or(UNAUTHENTICATED)?;
                if let Some(name) = claim.name.and_then(|name| std::str::from_utf8(name).ok()) {
                    self.credentials.authenticated(name);
                }
                let signer = Signer { key, integrity: claim.integrity, fingerprint: message.fingerprint() };
                Ok(Requester {
                    signer,
                    username: claim.username,
                    key_source: KeySource::Lookup { user, scope, expires, leased, group },
                })
            }
            None => {
                // Failures with invented usernames are counted against their client alone.
                let target = guess.target.filter(|_| known || !guess.is_beyond);
                let (why, genuine) = self.explain(&claim, message, realm_is_ours, now);
                // Genuine credentials, which have expired for example, are no wrong password.
                self.shared.record_failure(from, target, !genuine, now);
                let refusal = Refusal::Error(RefusalReason::Credentials(why));
                Err(if guess.is_beyond { WITHHELD } else { refusal })
            }
        }
    }

    /// Why a request was refused that no key of its user has signed, and whether its credentials are genuine. At least two
    /// keys are tried, as many as a disabled user has, so that the time of the answer does not show who is disabled.
    fn explain(
        &self,
        claim: &Claim<'_>,
        message: &StunMessage<'_>,
        realm_is_ours: bool,
        now: Instant,
    ) -> (CredentialRefusal, bool) {
        let CredentialEvidence { keys, otherwise } = match (realm_is_ours, self.name_of(claim)) {
            (false, _) => CredentialEvidence { keys: Vec::new(), otherwise: CredentialRefusal::OtherRealm },
            (true, None) => CredentialEvidence { keys: Vec::new(), otherwise: CredentialRefusal::UnknownUser },
            (true, Some(name)) => self.credentials.evidence(&name, &self.settings.realm, claim.algorithm, now),
        };
        let decoys = [(LongTermKey::Md5([0; 16]), otherwise); KEYS_OF_USER];
        let tried = if keys.is_empty() { &decoys[..] } else { &keys };
        let signed = tried.iter().find(|(key, _)| claim.integrity.verify(message, key));
        match signed.filter(|_| !keys.is_empty()) {
            Some((_, why)) => (*why, true),
            None => (otherwise, false),
        }
    }

    /// Reads the credentials of a request, and checks its nonce.
    fn claim<'a>(&self, from: &FiveTuple, message: &StunMessage<'a>, now: Instant) -> Result<Claim<'a>, Refusal> {
        // RFC 8489 §9.2.4, first check: without integrity, 401.
        let integrity = IntegrityAlgorithm::of(message).ok_or(UNAUTHENTICATED)?;
        // Second check: without USERNAME or USERHASH, REALM or NONCE, 400.
        let (Some(realm), Some(nonce)) = (message.find(attribute::REALM), message.find(attribute::NONCE)) else {
            return Err(BAD_REQUEST);
        };
        let (name, userhash) = (message.find(attribute::USERNAME), message.find(attribute::USERHASH));
        if name.is_none() && userhash.is_none() || name.is_some_and(|name| name.len() > MAX_USERNAME_BYTES) {
            return Err(BAD_REQUEST);
        }
        // Sixth check, made here for the reason in the module doc: a nonce that is not valid gets 438.
        let Some(features) = self.shared.nonces.check(nonce, from.client, self.shared.seconds(now)) else {
            return Err(STALE_NONCE);
        };
        // Third check: the password algorithm.
        let algorithm = self.password_algorithm(message, features)?;
        let username = self.shared.tag(name.or(userhash).unwrap_or_default());
        Ok(Claim { integrity, realm, name, userhash, algorithm, username })
    }

    /// The requester, where the request is signed with the key of the allocation on its five-tuple.
    fn allocation_key(&self, from: &FiveTuple, message: &StunMessage<'_>, claim: &Claim<'_>, now: Instant) -> Option<Requester> {
        let allocation = self.allocations.allocation(self.allocations.find(from)?)?;
        if !self.accepts_key(allocation, claim, now) {
            return None;
        }
        let key = allocation.signer.key;
        let signed =
            allocation.username == claim.username && key.algorithm() == claim.algorithm && claim.integrity.verify(message, &key);
        let signer = Signer { key, integrity: claim.integrity, fingerprint: message.fingerprint() };
        signed.then_some(Requester { signer, username: claim.username, key_source: KeySource::Allocation })
    }

    /// Whether a request may be signed with the key of the allocation, although the credentials may have expired or have been
    /// revoked since. Strangers may do so for a limited time, and only while their seat exists, if they have one.
    fn accepts_key(&self, allocation: &Allocation, claim: &Claim<'_>, now: Instant) -> bool {
        let name = claim.name.and_then(|name| std::str::from_utf8(name).ok());
        let is_there = || !allocation.leased || name.is_some_and(|name| self.credentials.is_leased(name));
        allocation.user.identity.scope == Scope::Anyone || now < allocation.key_expires && is_there()
    }

    /// Decides whether the credentials are checked at all: not where they may be a guess and the client or the user has had too
    /// many wrong ones. Unknown users are treated like known ones.
    fn guess(&self, from: &FiveTuple, claim: &Claim<'_>, user_keys: Option<&UserKeys>, now: Instant) -> Result<Guess, Refusal> {
        let (guesses, client) = (self.shared.guesses(from), from.client.ip());
        let name = claim.name.and_then(|name| std::str::from_utf8(name).ok());
        let guessable = name.is_none_or(|name| self.credentials.is_guessable(name));
        // A user is the same target by name and by hash.
        let tag = || user_keys.map_or(claim.username, |user_keys| self.shared.tag(user_keys.user.as_bytes()));
        let target = guessable.then(tag);
        if target.is_some_and(|target| guesses.blocked_for_target(client, target, now).is_some()) {
            return Err(THROTTLED);
        }
        Ok(Guess { target, is_beyond: guesses.is_beyond(client, target, now) })
    }

    fn user_keys(&self, claim: &Claim<'_>, now: Instant) -> Option<UserKeys> {
        self.credentials.user_keys(&self.name_of(claim)?, &self.settings.realm, claim.algorithm, now)
    }

    /// The username that a request names; `None` where it is no text, or the hash is nobody's.
    fn name_of<'a>(&self, claim: &Claim<'a>) -> Option<Cow<'a, str>> {
        match claim.name {
            Some(name) => std::str::from_utf8(name).ok().map(Cow::Borrowed),
            None => self.name_of_hash(claim.userhash).map(Cow::Owned),
        }
    }

    /// The username behind the value of a USERHASH.
    pub(super) fn name_of_hash(&self, userhash: Option<&[u8]>) -> Option<String> {
        self.credentials.username_of(userhash?.try_into().ok()?, &self.settings.realm)
    }

    /// RFC 8489 §9.2.4, third check: the client must return the offer unchanged. If it does not, an attacker may have removed the
    /// better algorithm on the way (§9.2.1).
    fn password_algorithm(&self, message: &StunMessage<'_>, features: SecurityFeatures) -> Result<PasswordAlgorithm, Refusal> {
        let chosen = message.find(attribute::PASSWORD_ALGORITHM);
        let offered = message.find(attribute::PASSWORD_ALGORITHMS);
        let algorithm = match (features.password_algorithms, chosen, offered) {
            (false, _, _) | (true, None, None) => PasswordAlgorithm::Md5,
            (true, Some(chosen), Some(offered)) if offered == self.offered_algorithms() => {
                PasswordAlgorithm::read(chosen).ok_or(BAD_REQUEST)?
            }
            (true, _, _) => return Err(BAD_REQUEST),
        };
        match (self.settings.password_algorithms, algorithm) {
            (PasswordAlgorithms::Sha256, PasswordAlgorithm::Md5) if chosen.is_some() => Err(BAD_REQUEST),
            (PasswordAlgorithms::Sha256, PasswordAlgorithm::Md5) => Err(Refusal::Error(RefusalReason::PasswordAlgorithm)),
            (PasswordAlgorithms::Md5 | PasswordAlgorithms::Both | PasswordAlgorithms::Sha256, _) => Ok(algorithm),
        }
    }

    pub(super) fn offered_algorithms(&self) -> &'static [u8] {
        match self.settings.password_algorithms {
            PasswordAlgorithms::Md5 => &[],
            PasswordAlgorithms::Both => OFFER_BOTH,
            PasswordAlgorithms::Sha256 => OFFER_SHA256,
        }
    }
}
