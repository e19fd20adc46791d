//! Who may be a TV, a caster or a caller: users of this server, or whom the operator's own server allows.
//!
//! - Owner: `app` builds one [`Admission`]; the gateways of casts and calls share it with the API.
//! - Inputs: what a client shows ([`Proof`]), its address, and which seat it wants.
//! - Outputs: the user who is proved ([`ProvenUser`]), the question for the operator's server, or an [`AdmissionRefusal`].
//! - Invariants: a name alone proves nothing. A token of this server is never shown to the operator's server. Nothing here waits except
//!   [`Admission::ask`], which nobody calls under a lock.
//!
//! A caster passes through the files in this order: `proof` reads what it shows, `sign_in` checks a password or a `token`, `access` decides
//! whether that is enough and asks [`crate::hooks::authorize`].

mod access;
mod proof;
pub mod proven_user;
mod refusal;
mod sign_in;
mod token;

#[cfg(test)]
mod admission_tests;

pub use access::{Admission, Applicant};
pub use proof::Proof;
pub use proven_user::ProvenUser;
pub use refusal::AdmissionRefusal;
pub use sign_in::{SignIn, SignedIn};
