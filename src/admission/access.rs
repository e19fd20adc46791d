//! Decides who may have a seat, and asks the operator's server where it decides too.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::proof::Proof;
use super::proven_user::ProvenUser;
use super::refusal::AdmissionRefusal;
use super::sign_in::SignIn;
use super::token;
use crate::config::CastAccess;
use crate::hooks::authorize::{Answer, Authorizer, Question, SeatKind};
use crate::operator::rows::agent_row;

/// Characters of the sentence with which the operator's server refuses.
const MAX_REASON_CHARS: usize = 300;

/// Decides for all gateways; clones share it.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access: CastAccess,
    /// `None` only where no one signs in, in tests of the gateways.
    sign_in: Option<SignIn>,
    authorizer: Authorizer,
}

/// Who wants a seat.
#[derive(Debug, Clone, Copy)]
pub struct Applicant<'a> {
    pub kind: SeatKind,
    pub proof: Option<&'a Proof>,
    pub address: IpAddr,
    pub agent: Option<&'a str>,
}

impl Admission {
    #[must_use]
    pub fn new(access: CastAccess, sign_in: SignIn, authorizer: Authorizer) -> Self {
        Self(Arc::new(Inner { access, sign_in: Some(sign_in), authorizer }))
    }

    /// Everybody may have every seat that `authorizer` allows.
    #[must_use]
    pub fn of_anyone(authorizer: Authorizer) -> Self {
        Self(Arc::new(Inner { access: CastAccess::Anyone, sign_in: None, authorizer }))
    }

    /// Whether casters sign in.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        self.0.access == CastAccess::Users
    }

    /// The sign-in, where casters need one.
    #[must_use]
    pub fn sign_in(&self) -> Option<&SignIn> {
        self.0.sign_in.as_ref().filter(|_| self.needs_sign_in())
    }

    /// Whether what clients show is looked at.
    #[must_use]
    pub fn reads_proofs(&self) -> bool {
        self.needs_sign_in() || [SeatKind::Tv, SeatKind::Caster, SeatKind::Call].into_iter().any(|kind| self.asks_for(kind))
    }

    /// Whether the operator's server decides about seats of this kind.
    #[must_use]
    pub fn asks_for(&self, kind: SeatKind) -> bool {
        self.0.authorizer.is_on(kind)
    }

    /// Who the applicant is, if it has proved that. Only casters have to, and only where access is for users.
    ///
    /// # Errors
    /// `SignInRequired`, `WrongPassword`, `TooManyAttempts`.
    pub fn identify(&self, applicant: Applicant<'_>, now: SystemTime) -> Result<Option<ProvenUser>, AdmissionRefusal> {
        let Some(sign_in) = self.sign_in() else { return Ok(None) };
        if applicant.kind != SeatKind::Caster {
            return Ok(applicant.proof.and_then(|proof| sign_in.of_token(proof, now)));
        }
        let proof = applicant.proof.ok_or(AdmissionRefusal::SignInRequired)?;
        sign_in.identify(proof, applicant.address, now)?.ok_or(AdmissionRefusal::SignInRequired).map(Some)
    }

    /// Whether a caster with this proof would be asked to sign in. A password is not looked at.
    #[must_use]
    pub fn would_ask_to_sign_in(&self, proof: Option<&Proof>, now: SystemTime) -> bool {
        self.sign_in().is_some_and(|sign_in| proof.and_then(|proof| sign_in.of_token(proof, now)).is_none())
    }

    /// Whether the user is still enabled and has the same password.
    #[must_use]
    pub fn is_current(&self, user: &ProvenUser) -> bool {
        self.0.sign_in.as_ref().is_some_and(|sign_in| sign_in.is_current(user))
    }

    /// What the operator's server is asked. `place`: the code or the room.
    #[must_use]
    pub fn question(
        &self,
        applicant: Applicant<'_>,
        user: Option<&ProvenUser>,
        place: Option<String>,
        name: Option<String>,
    ) -> Question {
        // A token of ours lets its bearer sign in here.
        let token = applicant.proof.and_then(|proof| proof.token.clone()).filter(|token| !token::is_ours(token.expose()));
        Question {
            kind: applicant.kind,
            place,
            name,
            user: user.map(|user| user.name.clone()),
            token,
            address: applicant.address,
            agent: applicant.agent.and_then(agent_row),
        }
    }

    /// Asks the operator's server.
    ///
    /// # Errors
    /// `Refused`, `Unavailable`.
    pub async fn ask(&self, question: Question) -> Result<(), AdmissionRefusal> {
        match self.0.authorizer.ask(question).await {
            Answer::Allowed => Ok(()),
            Answer::Refused(reason) => Err(AdmissionRefusal::Refused(reason.and_then(|reason| shown(&reason)))),
            Answer::Unavailable => Err(AdmissionRefusal::Unavailable),
        }
    }
}

/// A sentence that pages show.
fn shown(reason: &str) -> Option<String> {
    let reason: String = reason.chars().filter(|character| !character.is_control()).take(MAX_REASON_CHARS).collect();
    Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty())
}
