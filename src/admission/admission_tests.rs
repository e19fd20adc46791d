//! Who is proved by what, with a database of its own.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::secret::Secret;
use crate::config::{CastAccess, Config, Settings};
use crate::hooks::authorize::{Authorizer, SeatKind};
use crate::limits::guesses::GuessReports;
use crate::operator::rows::MAX_AGENT_CHARS;
use crate::turn::Scope;
use crate::users::{Directory, PasswordKeys, Store, UserName, UserPasswords};

const HOUR: Duration = Duration::from_secs(3600);
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    now: SystemTime,
}

impl World {
    /// With the user alice, and mallory, who is disabled.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let world = Self { store: Store::open(folder.path(), now).await.unwrap(), _folder: folder, now };
        for name in ["alice", "mallory"] {
            let name: UserName = name.parse().unwrap();
            world
                .store
                .add(&name, &PasswordKeys::new(&name, "castway", "correct horse").unwrap(), Scope::Clients, now)
                .await
                .unwrap();
        }
        world.store.set_enabled(&"mallory".parse().unwrap(), false, now).await.unwrap();
        world
    }

    /// As a server that reads the database now, with the key of the one before.
    async fn sign_in(&self) -> SignIn {
        let directory = Directory::open(&self.store, &Config::read(&Settings::default()).unwrap().credentials).await.unwrap();
        let passwords = UserPasswords::new(&GuessReports::default());
        SignIn::new(directory, passwords, Secret::new([7; 32]), HOUR)
    }

    async fn admission(&self, access: CastAccess) -> Admission {
        Admission::new(access, self.sign_in().await, Authorizer::default())
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn applicant(kind: SeatKind, proof: Option<&Proof>) -> Applicant<'_> {
    Applicant { kind, proof, address: HOME, agent: None }
}

fn caster(proof: &Proof) -> Applicant<'_> {
    applicant(SeatKind::Caster, Some(proof))
}

fn password(name: &str, password: &str) -> Proof {
    Proof { name: Some(name.to_owned()), password: Some(secret(password)), token: None }
}

#[tokio::test]
async fn a_token_ends_with_its_time_the_password_and_the_user() {
    let world = World::new().await;
    let alice: UserName = "alice".parse().unwrap();
    let first = world.sign_in().await;
    let SignedIn { token, expires } = first.sign_in("alice", &secret("correct horse"), HOME, world.now).unwrap();
    let proof = Proof { token: Some(token), ..Proof::default() };
    let user = first.of_token(&proof, world.now).unwrap();
    assert_eq!(user.name, "alice");
    assert_eq!(expires, crate::users::credentials::unix_seconds(world.now + HOUR));
    assert_eq!(first.of_token(&proof, world.now + HOUR), None, "its time is over");
    assert_eq!(world.sign_in().await.of_token(&proof, world.now), Some(user.clone()), "a restart ends no token");

    let after = async |what: &str, is_current: bool| {
        let sign_in = world.sign_in().await;
        assert_eq!(sign_in.of_token(&proof, world.now).is_some(), is_current, "{what}");
        assert_eq!(sign_in.is_current(&user), is_current, "{what}");
    };
    world.store.set_enabled(&alice, false, world.now).await.unwrap();
    after("disabled", false).await;
    world.store.set_enabled(&alice, true, world.now).await.unwrap();
    after("enabled", true).await;
    world.store.passwd(&alice, &PasswordKeys::new(&alice, "castway", "battery staple").unwrap(), world.now).await.unwrap();
    after("another password", false).await;
    world.store.remove(&alice, world.now).await.unwrap();
    after("removed", false).await;
}

#[tokio::test]
async fn only_a_password_or_a_token_proves_a_caster() {
    let world = World::new().await;
    let admission = world.admission(CastAccess::Users).await;
    let identify = |proof: &Proof| admission.identify(caster(proof), world.now).map(|user| user.map(|user| user.name));
    let alice = Ok(Some("alice".to_owned()));
    assert_eq!(identify(&password("alice", "correct horse")), alice);
    let SignedIn { token, .. } =
        admission.sign_in().unwrap().sign_in("alice", &secret("correct horse"), HOME, world.now).unwrap();
    assert_eq!(identify(&Proof { token: Some(token.clone()), ..Proof::default() }), alice);
    assert_eq!(identify(&Proof { token: Some(secret("another's")), ..password("alice", "correct horse") }), alice);

    let required = Err(AdmissionRefusal::SignInRequired);
    assert_eq!(admission.identify(applicant(SeatKind::Caster, None), world.now), Err(AdmissionRefusal::SignInRequired));
    assert_eq!(identify(&Proof { name: Some("alice".to_owned()), ..Proof::default() }), required, "a name proves nothing");
    assert_eq!(identify(&Proof { password: Some(secret("correct horse")), ..Proof::default() }), required);
    assert_eq!(identify(&Proof { token: Some(secret("another's")), ..Proof::default() }), required);
    for (name, word) in [("alice", "wrong"), ("mallory", "correct horse"), ("nobody", "correct horse")] {
        assert_eq!(identify(&password(name, word)), Err(AdmissionRefusal::WrongPassword), "{name}");
    }

    for (kind, proof) in [(SeatKind::Tv, None), (SeatKind::Call, None), (SeatKind::Tv, Some(&password("alice", "wrong")))] {
        assert_eq!(admission.identify(applicant(kind, proof), world.now), Ok(None), "others need nothing");
    }
    let open = world.admission(CastAccess::Anyone).await;
    assert_eq!(
        open.identify(caster(&password("alice", "wrong")), world.now),
        Ok(None),
        "where anyone may cast, nothing is looked at"
    );
    assert!(open.sign_in().is_none());
    assert!(!open.would_ask_to_sign_in(None, world.now));
}

#[tokio::test]
async fn wrong_passwords_are_throttled_before_they_are_checked() {
    let world = World::new().await;
    let admission = world.admission(CastAccess::Users).await;
    let identify = |proof: &Proof| admission.identify(caster(proof), world.now);
    let wrong = (0..100).take_while(|n| identify(&password("alice", &n.to_string())) == Err(AdmissionRefusal::WrongPassword));
    assert!((20..=21).contains(&wrong.count()));
    let right = password("alice", "correct horse");
    assert!(matches!(identify(&right), Err(AdmissionRefusal::TooManyAttempts { .. })));
    let elsewhere = Applicant { address: "192.0.2.2".parse().unwrap(), ..caster(&right) };
    assert!(admission.identify(elsewhere, world.now).is_ok(), "another client");
}

#[tokio::test]
async fn a_question_has_the_beginning_of_a_user_agent() {
    let admission = World::new().await.admission(CastAccess::Anyone).await;
    let agent = "x".repeat(30_000);
    for (agent, shown) in [(Some(agent.as_str()), Some(&agent[..MAX_AGENT_CHARS])), (Some(""), None), (None, None)] {
        let question = admission.question(Applicant { agent, ..applicant(SeatKind::Tv, None) }, None, None, None);
        assert_eq!(question.agent.as_deref(), shown);
    }
}

#[tokio::test]
async fn the_operators_server_sees_no_token_of_ours() {
    let world = World::new().await;
    let admission = world.admission(CastAccess::Users).await;
    let SignedIn { token, .. } =
        admission.sign_in().unwrap().sign_in("alice", &secret("correct horse"), HOME, world.now).unwrap();
    for (token, shown) in [(token, None), (secret("castway1.forged"), None), (secret("theirs"), Some(secret("theirs")))] {
        let proof = Proof { token: Some(token), ..password("alice", "correct horse") };
        let user = admission.identify(caster(&proof), world.now).unwrap();
        let question = admission.question(caster(&proof), user.as_ref(), Some("K7Q2MX".to_owned()), None);
        assert_eq!((question.token, question.user.as_deref()), (shown, Some("alice")));
    }
}
