//! The long-term credential mechanism (RFC 8489 §9.2.4) and the answers to strangers.

use std::time::Instant;

use super::super::allocation::{Allocation, Signer};
use super::super::codec::attribute;
use super::super::codec::error_code::ErrorCode;
use super::super::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use super::super::codec::message::{Class, StunMessage};
use super::super::codec::writer::MessageWriter;
use super::super::credentials::UserKeys;
use super::super::engine::Engine;
use super::super::five_tuple::FiveTuple;
use super::super::nonce::{self, SecurityFeatures};
use super::super::settings::PasswordAlgorithms;
use super::super::verdict::{Answer, DropReason, Verdict};
use super::{BAD_REQUEST, Refusal};

const UNAUTHENTICATED: Refusal = Refusal::Error(ErrorCode::Unauthenticated);
const STALE_NONCE: Refusal = Refusal::Error(ErrorCode::StaleNonce);
/// It was not looked at.
const THROTTLED: Refusal = Refusal::Silent(DropReason::Throttled);
/// It was looked at, and was wrong.
const WITHHELD: Refusal = Refusal::Silent(DropReason::Withheld);

/// RFC 8489 §14.3: less than 509 bytes.
const MAX_USERNAME: usize = 508;

/// PASSWORD-ALGORITHMS as we offer them: SHA-256 first, for it is preferred.
const OFFER_BOTH: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const OFFER_SHA256: &[u8] = &[0, 2, 0, 0];

/// Who has proved to know a key.
pub(super) struct Requester {
    pub(super) signer: Signer,
    /// Stands for the username.
    pub(super) username: u64,
    pub(super) proof: KeySource,
}

pub(super) enum KeySource {
    /// The key of this allocation, which has the request's five-tuple.
    Allocation,
    /// A key of this account.
    UserKeys { user: String, expires: Option<Instant> },
}

/// What a wrong password would be.
struct Guess {
    /// Whose password it would be; `None`: one that nobody can guess.
    target: Option<u64>,
    /// The client has been wrong so often that it is not told any more.
    is_beyond: bool,
}

impl Requester {
    pub(super) fn is(&self, allocation: &Allocation) -> bool {
        match &self.proof {
            KeySource::Allocation => self.username == allocation.username,
            KeySource::UserKeys { user, .. } => **user == *allocation.user.name,
        }
    }
}

impl Engine {
    /// Nonces come before credentials: whoever has a valid one receives where it is good for, so that nobody can be throttled by another.
    pub(super) fn authenticate(&self, from: &FiveTuple, message: &StunMessage<'_>, now: Instant) -> Result<Requester, Refusal> {
        let integrity = IntegrityAlgorithm::of(message).ok_or(UNAUTHENTICATED)?;
        let (Some(realm), Some(nonce)) = (message.find(attribute::REALM), message.find(attribute::NONCE)) else {
            return Err(BAD_REQUEST);
        };
        let (name, userhash) = (message.find(attribute::USERNAME), message.find(attribute::USERHASH));
        if name.is_none() && userhash.is_none() || name.is_some_and(|name| name.len() > MAX_USERNAME) {
            return Err(BAD_REQUEST);
        }
        let Some(features) = self.shared.nonces.check(nonce, from.client, self.shared.seconds(now)) else {
            return Err(STALE_NONCE);
        };
        let algorithm = self.password_algorithm(message, features)?;
        let username = self.shared.tag(name.or(userhash).unwrap_or_default());
        if self.shared.is_throttled(from, now) {
            return Err(THROTTLED);
        }
        let realm_is_ours = realm == self.settings.realm.as_bytes();
        let fingerprint = message.fingerprint();
        if realm_is_ours
            && let Some(id) = self.allocations.find(from)
            && let Some(allocation) = self.allocations.allocation(id)
            && allocation.username == username
            && allocation.signer.key.algorithm() == algorithm
            && integrity.verify(message, &allocation.signer.key)
        {
            let signer = Signer { key: allocation.signer.key, integrity, fingerprint };
            return Ok(Requester { signer, username, proof: KeySource::Allocation });
        }
        let account = if realm_is_ours { self.account(name, userhash, algorithm, now) } else { None };
        let guess = self.guess(from, name, account.as_ref(), username, now)?;
        // An unknown user costs the same HMAC as a known one.
        let nobody = [LongTermKey::Md5([0; 16])];
        let (keys, known) = account.as_ref().map_or((&nobody[..], false), |account| (&account.keys, true));
        match keys.iter().find(|key| integrity.verify(message, key) && known).copied() {
            Some(key) => {
                let UserKeys { user, expires, .. } = account.ok_or(UNAUTHENTICATED)?;
                if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) {
                    self.credentials.authenticated(name);
                }
                let signer = Signer { key, integrity, fingerprint };
                Ok(Requester { signer, username, proof: KeySource::UserKeys { user, expires } })
            }
            None => {
                // Whoever makes names up is counted alone.
                let target = guess.target.filter(|_| known || !guess.is_beyond);
                self.shared.failed(from, target, now);
                Err(if guess.is_beyond { WITHHELD } else { UNAUTHENTICATED })
            }
        }
    }

    /// Whether a request is looked at: what may be a guess is where neither its client nor its user has had too many wrong ones. Unknown
    /// users are treated as known ones are.
    fn guess(
        &self,
        from: &FiveTuple,
        name: Option<&[u8]>,
        account: Option<&UserKeys>,
        username: u64,
        now: Instant,
    ) -> Result<Guess, Refusal> {
        let (guesses, client) = (self.shared.guesses(from), from.client.ip());
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let guessable = name.is_none_or(|name| self.credentials.is_guessable(name));
        // A user is one, by name or by hash.
        let target = guessable.then(|| account.map_or(username, |account| self.shared.tag(account.user.as_bytes())));
        if target.is_some_and(|target| guesses.blocked_at(client, target, now).is_some()) {
            return Err(THROTTLED);
        }
        Ok(Guess { target, is_beyond: guesses.is_beyond(client, target, now) })
    }

    fn account(
        &self,
        name: Option<&[u8]>,
        userhash: Option<&[u8]>,
        algorithm: PasswordAlgorithm,
        now: Instant,
    ) -> Option<UserKeys> {
        let realm = &self.settings.realm;
        if let Some(name) = name {
            return self.credentials.user_keys(std::str::from_utf8(name).ok()?, realm, algorithm, now);
        }
        let name = self.credentials.username(userhash?.try_into().ok()?, realm)?;
        self.credentials.user_keys(&name, realm, algorithm, now)
    }

    /// RFC 8489 §9.2.4: what was offered must come back unchanged, or somebody on the way has removed the better choice.
    fn password_algorithm(&self, message: &StunMessage<'_>, features: SecurityFeatures) -> Result<PasswordAlgorithm, Refusal> {
        let chosen = message.find(attribute::PASSWORD_ALGORITHM);
        let offered = message.find(attribute::PASSWORD_ALGORITHMS);
        let algorithm = match (features.password_algorithms, chosen, offered) {
            (false, _, _) | (true, None, None) => PasswordAlgorithm::Md5,
            (true, Some(chosen), Some(offered)) if offered == self.offer() => {
                PasswordAlgorithm::read(chosen).ok_or(BAD_REQUEST)?
            }
            (true, _, _) => return Err(BAD_REQUEST),
        };
        match (self.settings.password_algorithms, algorithm) {
            (PasswordAlgorithms::Sha256, PasswordAlgorithm::Md5) if chosen.is_some() => Err(BAD_REQUEST),
            (PasswordAlgorithms::Sha256, PasswordAlgorithm::Md5) => Err(UNAUTHENTICATED),
            (PasswordAlgorithms::Md5 | PasswordAlgorithms::Both | PasswordAlgorithms::Sha256, _) => Ok(algorithm),
        }
    }

    fn offer(&self) -> &'static [u8] {
        match self.settings.password_algorithms {
            PasswordAlgorithms::Md5 => &[],
            PasswordAlgorithms::Both => OFFER_BOTH,
            PasswordAlgorithms::Sha256 => OFFER_SHA256,
        }
    }

    /// Answers one who has proved nothing: shortly, rarely, unsigned, and without remembering.
    pub(super) fn refuse_stranger(
        &mut self,
        to: FiveTuple,
        message: &StunMessage<'_>,
        refusal: Refusal,
        now: Instant,
    ) -> Verdict {
        let code = match refusal {
            Refusal::Error(code) => code,
            Refusal::Silent(reason) => return Verdict::Drop(reason),
            Refusal::Unknown(_) | Refusal::Elsewhere(_) => ErrorCode::BadRequest,
            Refusal::ShardSettings(shard) => return Verdict::ToShard { shard },
        };
        let stream = to.transport.is_stream();
        if !stream && !self.shared.may_challenge(to.client, now) {
            return Verdict::Drop(DropReason::RateLimited);
        }
        let mut bytes = std::mem::take(&mut self.reply);
        let method = message.method();
        let mut writer = MessageWriter::new(&mut bytes, Class::Error, method, &message.transaction());
        writer.error(code);
        if matches!(refusal, UNAUTHENTICATED | STALE_NONCE) {
            self.challenge(&mut writer, &to, message, now);
        }
        if message.fingerprint() {
            writer.fingerprint();
        }
        self.reply = bytes;
        let named_a_user = message.has(attribute::USERNAME) || message.has(attribute::USERHASH);
        let failed_authentication = code == ErrorCode::Unauthenticated && named_a_user;
        Verdict::Reply { to, answer: Answer::Error { method, code, failed_authentication } }
    }

    /// REALM, NONCE and perhaps PASSWORD-ALGORITHMS. What is offered depends on the size of the request: see [`PasswordAlgorithms::Both`].
    fn challenge(&self, writer: &mut MessageWriter<'_>, to: &FiveTuple, message: &StunMessage<'_>, now: Instant) {
        let realm = self.settings.realm.as_bytes();
        let mut features = SecurityFeatures::default();
        if self.settings.password_algorithms != PasswordAlgorithms::Md5 {
            let offered =
                20 + 8 + 4 + realm.len().next_multiple_of(4) + 4 + nonce::MAX_LEN.next_multiple_of(4) + 4 + self.offer().len();
            let small = offered * 10 <= message.bytes().len() * 22;
            let always = self.settings.password_algorithms == PasswordAlgorithms::Sha256;
            features.password_algorithms = always || small || to.transport.is_stream();
            features.username_anonymity = features.password_algorithms && self.settings.username_anonymity;
        }
        let mut nonce = [0; nonce::MAX_LEN];
        let len = self.shared.nonces.issue(to.client, features, self.shared.seconds(now), &mut nonce);
        writer.attribute(attribute::REALM, realm).attribute(attribute::NONCE, &nonce[..len]);
        if features.password_algorithms {
            writer.attribute(attribute::PASSWORD_ALGORITHMS, self.offer());
        }
    }
}
