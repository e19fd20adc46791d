//! The question who may take a seat, and its answer, as JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::secret::Secret;

/// Characters of a reason that clients are shown.
const MAX_REASON_CHARS: usize = 300;

/// What somebody wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatKind {
    Tv,
    Caster,
    Call,
}

impl SeatKind {
    /// Its word in questions and in `CASTWAY_AUTHORIZE`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tv => "tv",
            Self::Caster => "caster",
            Self::Call => "call",
        }
    }
}

/// Who wants a seat, and which one.
#[derive(Debug, Clone)]
pub struct Question {
    pub kind: SeatKind,
    /// The whole code, or the room.
    pub place: Option<String>,
    /// The name that the client gives itself, which proves nothing.
    pub name: Option<String>,
    /// The user who signed in to this server.
    pub user: Option<String>,
    /// Whatever the front end sent.
    pub token: Option<Secret<String>>,
    pub address: IpAddr,
    /// The beginning of the User-Agent of its connection.
    pub agent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    /// With the sentence of the operator's server, if it has sent one.
    Refused(Option<String>),
    /// The operator's server has not answered in time, or not as it should, and `CASTWAY_AUTHORIZE_DOWN` doesn't allow what can't be
    /// asked; or too many questions wait.
    Unavailable,
}

/// SHA-256 of what makes two questions the same.
pub(super) type Key = [u8; 32];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    name: Option<&'a str>,
    user: Option<&'a str>,
    token: Option<&'a str>,
    address: IpAddr,
    user_agent: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answered {
    allow: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl Question {
    /// It has the token in it.
    pub(super) fn json(&self) -> Vec<u8> {
        let place = self.place.as_deref();
        let (code, room) = match self.kind {
            SeatKind::Tv | SeatKind::Caster => (place, None),
            SeatKind::Call => (None, place),
        };
        let asked = Asked {
            kind: self.kind.label(),
            code,
            room,
            name: self.name.as_deref(),
            user: self.user.as_deref(),
            token: self.token.as_ref().map(|token| token.expose().as_str()),
            address: self.address,
            user_agent: self.agent.as_deref(),
        };
        serde_json::to_vec(&asked).expect("texts are JSON")
    }

    /// Questions with this key have one answer for a while; `None`: there is no token that proves who asks.
    pub(super) fn answer_key(&self) -> Option<Key> {
        let token = Sha256::digest(self.token.as_ref()?.expose());
        let texts = [&self.place, &self.name, &self.user].map(|text| text.as_ref().map(String::as_bytes));
        Some(digest(texts.into_iter().chain([Some(self.kind.label().as_bytes()), Some(token.as_slice())])))
    }

    /// Questions with this key are asked once at a time.
    pub(super) fn request_key(json: &[u8]) -> Key {
        Sha256::digest(json).into()
    }
}

/// Of texts with their lengths, so that no two lists have the same.
fn digest<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>) -> Key {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hash.update(text.unwrap_or_default());
    }
    hash.finalize().into()
}

/// Reads the body of an answer; `None`: it is none.
pub(super) fn read_answer(body: &[u8]) -> Option<Answer> {
    // serde would take an array for a struct.
    let body = Some(body.trim_ascii()).filter(|body| body.starts_with(b"{"))?;
    let Answered { allow, reason } = serde_json::from_slice(body).ok()?;
    let reason = reason.map(|reason| {
        let shown = reason.chars().filter(|character| !character.is_control()).take(MAX_REASON_CHARS);
        shown.collect::<String>().trim().to_owned()
    });
    Some(if allow { Answer::Allowed } else { Answer::Refused(reason.filter(|reason| !reason.is_empty())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: SeatKind) -> Question {
        Question {
            kind,
            place: Some("E3F7KZ".into()),
            name: Some("Anna".into()),
            user: None,
            token: Some(Secret::new("a token".into())),
            address: [192, 0, 2, 7].into(),
            agent: Some("Mozilla/5.0".into()),
        }
    }

    #[test]
    fn a_question_says_who_wants_which_seat() {
        let json = |kind| serde_json::from_slice::<serde_json::Value>(&question(kind).json()).unwrap();
        let caster = serde_json::json!({
            "kind": "caster", "code": "E3F7KZ", "name": "Anna", "user": null, "token": "a token", "address": "192.0.2.7",
            "userAgent": "Mozilla/5.0"
        });
        assert_eq!(json(SeatKind::Caster), caster);
        let call = json(SeatKind::Call);
        assert_eq!((&call["room"], call.get("code")), (&"E3F7KZ".into(), None));
        assert!(!format!("{:?}", question(SeatKind::Tv)).contains("a token"));
    }

    #[test]
    fn a_remembered_answer_is_for_the_same_seat_name_user_and_token() {
        let key = |change: fn(&mut Question)| {
            let mut question = question(SeatKind::Caster);
            change(&mut question);
            question.answer_key()
        };
        let same = key(|_| ());
        assert!(same.is_some());
        assert_eq!(key(|question| question.address = [192, 0, 2, 8].into()), same);
        assert_eq!(key(|question| question.token = None), None, "nothing proves who asks");
        let changes: [fn(&mut Question); 6] = [
            |question| question.kind = SeatKind::Tv,
            |question| question.place = None,
            |question| question.place = Some(String::new()),
            |question| question.name = Some("anna".into()),
            |question| question.user = Some("anna".into()),
            |question| question.token = Some(Secret::new("another token".into())),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_ne!(key(change), same, "{number}");
        }
        let moved = |place: &str, name: &str| {
            let mut question = question(SeatKind::Caster);
            (question.place, question.name) = (Some(place.into()), Some(name.into()));
            question.answer_key()
        };
        assert_ne!(moved("ab", "c"), moved("a", "bc"));
    }

    #[test]
    fn only_an_answer_that_says_so_allows() {
        assert_eq!(read_answer(br#"{"allow": true, "more": 1}"#), Some(Answer::Allowed));
        assert_eq!(read_answer(br#"{"allow": false}"#), Some(Answer::Refused(None)));
        let reason = |text: &str| read_answer(&serde_json::to_vec(&serde_json::json!({"allow": false, "reason": text})).unwrap());
        assert_eq!(reason("The room\n is closed."), Some(Answer::Refused(Some("The room is closed.".into()))));
        assert_eq!(reason(" \u{1b} "), Some(Answer::Refused(None)));
        let Some(Answer::Refused(Some(long))) = reason(&"界".repeat(5000)) else { panic!("a reason") };
        assert_eq!(long.chars().count(), MAX_REASON_CHARS);
        for none in [
            "",
            "true",
            "{}",
            "[true]",
            r#"{"allow": "true"}"#,
            r#"{"allow": 1}"#,
            r#"{"allow": true"#,
            r#"{"allow":true,"reason":7}"#,
        ] {
            assert_eq!(read_answer(none.as_bytes()), None, "{none}");
        }
    }
}
