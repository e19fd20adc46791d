//! The handshake: the query of a client's first request.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::arguments::Json;
use super::event_names::is_reserved;
use super::json_text::{MAX_TEXT_BYTES, description_of};
use crate::config::secret::Secret;
use crate::limits::ip_prefix;
use crate::multiconnection::model::{MAX_PARTICIPANTS, OpaqueJson as _, UserHandshake, UserId};

/// Bytes of a handshake's query.
const MAX_QUERY_BYTES: usize = 32 * 1024;
/// The message event of a client whose handshake names none.
const DEFAULT_MESSAGE_EVENT: &str = "RTCMultiConnection-Message";
/// The custom event of a client whose handshake names none.
const DEFAULT_CUSTOM_EVENT: &str = "custom-message";
/// Viewers that one user relays to, if the handshake does not say.
const DEFAULT_MAX_VIEWERS_PER_MEMBER: usize = 2;
/// Parameters of Engine.IO, which differ from one connection of a client to the next.
const ENGINE_IO_PARAMETERS: [&str; 6] = ["EIO", "transport", "sid", "t", "b64", "j"];

/// Whether a handshake's query is that of an RTCMultiConnection client.
pub fn is_rtcmulticonnection(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "userid" || name == "msgEvent")
}

/// What a client connects as.
pub enum Handshake {
    User(UserHandshake<Json>),
    Admin { name: String, password: Secret<String> },
}

/// Reads a handshake. `origin` and `agent` are the headers of its request.
///
/// # Errors
/// Why the handshake is refused: a part is too long, or an event name is reserved.
pub fn read_handshake(query: &str, from: IpAddr, origin: &str, agent: &str) -> Result<Handshake, &'static str> {
    if query.len() > MAX_QUERY_BYTES {
        return Err("the query is too long");
    }
    let mut parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    parameters.retain(|(name, _)| !ENGINE_IO_PARAMETERS.contains(&name.as_ref()));
    parameters.sort();
    let find = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
    };
    let name = |wanted: &str, default: &str| match find(wanted).unwrap_or(default) {
        long if long.len() > MAX_TEXT_BYTES => Err("a name in the query is too long"),
        name => Ok(Arc::from(name)),
    };
    if find("userid") == Some("admin") {
        let text = |wanted| find(wanted).unwrap_or_default().to_owned();
        return Ok(Handshake::Admin { name: text("adminUserName"), password: Secret::new(text("adminPassword")) });
    }
    let id: Option<UserId> = find("userid").map(|id| name("userid", id)).transpose()?;
    let mut fingerprint = Sha256::new();
    update(&mut fingerprint, [ip_prefix::of_client(from).to_string().as_str(), origin, agent]);
    let mut proof = fingerprint.clone();
    update(&mut proof, parameters.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]));
    let (message_event, custom_event) =
        (name("msgEvent", DEFAULT_MESSAGE_EVENT)?, name("socketCustomEvent", DEFAULT_CUSTOM_EVENT)?);
    if is_reserved(&message_event) {
        return Err("msgEvent is a reserved event name, choose another one");
    }
    Ok(Handshake::User(UserHandshake {
        proof: id.is_some().then(|| proof.finalize().into()),
        id,
        from,
        fingerprint: fingerprint.finalize().into(),
        extra: find("extra").and_then(description_of).unwrap_or_else(Json::empty),
        message_event,
        custom_event: if is_reserved(&custom_event) { DEFAULT_CUSTOM_EVENT.into() } else { custom_event },
        auto_close: find("autoCloseEntireSession") == Some("true"),
        max_participants: leading_number(find("maxParticipantsAllowed")).unwrap_or(MAX_PARTICIPANTS),
        max_viewers_per_member: (find("enableScalableBroadcast") == Some("true"))
            .then(|| leading_number(find("maxRelayLimitPerUser")).unwrap_or(DEFAULT_MAX_VIEWERS_PER_MEMBER)),
    }))
}

/// Each word with its length, so that no two lists of words are the same bytes.
fn update<'a>(hash: &mut Sha256, words: impl IntoIterator<Item = &'a str>) {
    for word in words {
        hash.update(word.len().to_be_bytes());
        hash.update(word);
    }
}

/// As `parseInt` reads it; `None`: zero, or no number.
fn leading_number(text: Option<&str>) -> Option<usize> {
    let text = text?.trim_start();
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    text[..digits].parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str =
        "userid=a&sessionid=s&msgEvent=m&autoCloseEntireSession=true&maxParticipantsAllowed=8&extra=%7B%22x%22%3A1%7D";

    fn user(query: &str, from: &str, origin: &str) -> UserHandshake<Json> {
        match read_handshake(query, from.parse().unwrap(), origin, "agent").unwrap() {
            Handshake::User(handshake) => handshake,
            Handshake::Admin { .. } => panic!("{query} is a user's"),
        }
    }

    #[test]
    fn a_handshake_is_ours_by_its_query() {
        assert!(is_rtcmulticonnection(QUERY) && is_rtcmulticonnection("EIO=4&msgEvent=") && is_rtcmulticonnection("userid=x"));
        assert!(!is_rtcmulticonnection("") && !is_rtcmulticonnection("EIO=4&transport=polling&token=userid"));
    }

    #[test]
    fn parameters_have_defaults() {
        let named = user(QUERY, "192.0.2.1", "");
        assert_eq!((named.id.as_deref(), &*named.message_event, named.auto_close), (Some("a"), "m", true));
        assert_eq!((named.max_participants, named.max_viewers_per_member), (8, None));
        assert_eq!(serde_json::to_string(&named.extra).unwrap(), r#"{"x":1}"#);
        let bare = user("userid=&extra=nonsense&maxParticipantsAllowed=-3&socketCustomEvent=user-connected", "192.0.2.1", "");
        assert!(bare.id.is_none() && bare.proof.is_none());
        assert_eq!((&*bare.message_event, &*bare.custom_event), (DEFAULT_MESSAGE_EVENT, DEFAULT_CUSTOM_EVENT));
        assert_eq!((bare.max_participants, serde_json::to_string(&bare.extra).unwrap().as_str()), (1000, "{}"));
        let scalable = user("userid=a&enableScalableBroadcast=true&maxRelayLimitPerUser=3x", "192.0.2.1", "");
        assert_eq!(scalable.max_viewers_per_member, Some(3));
    }

    #[test]
    fn a_proof_is_the_same_handshake_from_the_same_place() {
        let proof = |query: &str, from, origin| user(query, from, origin).proof.unwrap();
        let first = proof(QUERY, "192.0.2.1", "https://a.org");
        let again = format!("EIO=4&transport=websocket&sid=1&t=x&{QUERY}");
        assert_eq!(first, proof(&again, "::ffff:192.0.2.1", "https://a.org"));
        assert_ne!(first, proof(QUERY, "192.0.2.2", "https://a.org"));
        assert_ne!(first, proof(QUERY, "192.0.2.1", "https://b.org"));
        assert_ne!(first, proof(&QUERY.replace("sessionid=s", "sessionid=t"), "192.0.2.1", "https://a.org"));
        assert_eq!(proof(QUERY, "2001:db8::1", ""), proof(QUERY, "2001:db8::2", ""), "one network");
        assert_ne!(proof("userid=a&sessionid=bc", "192.0.2.1", ""), proof("userid=ab&sessionid=c", "192.0.2.1", ""));
    }

    #[test]
    fn a_fingerprint_is_network_browser_and_origin_for_every_user() {
        let from = |from, origin| user("userid=a&sessionid=s", from, origin).fingerprint;
        let first = from("192.0.2.1", "https://a.org");
        assert_eq!(first, user(QUERY, "::ffff:192.0.2.1", "https://a.org").fingerprint);
        assert_eq!(first, user("msgEvent=m", "192.0.2.1", "https://a.org").fingerprint, "also without an id");
        assert_ne!(first, from("192.0.2.2", "https://a.org"));
        assert_ne!(first, from("192.0.2.1", "https://b.org"));
        let other_browser = read_handshake("userid=a", "192.0.2.1".parse().unwrap(), "https://a.org", "another agent");
        let Ok(Handshake::User(other)) = other_browser else { panic!("a user's") };
        assert_ne!(first, other.fingerprint);
        assert_eq!(from("2001:db8::1", ""), from("2001:db8::2", ""), "one network");
        assert_ne!(from("2001:db8::1", ""), from("2001:db8:0:1::1", ""));
    }

    #[test]
    fn a_query_that_is_too_long_is_refused() {
        let refused = |query: String| read_handshake(&query, "192.0.2.1".parse().unwrap(), "", "").is_err();
        assert!(refused(format!("userid={}", "x".repeat(257))));
        assert!(refused(format!("userid=x&msgEvent={}", "x".repeat(257))));
        assert!(refused(format!("userid=x&more={}", "x".repeat(40_000))));
    }

    #[test]
    fn the_message_event_has_no_reserved_name() {
        for reserved in ["connect_error", "reconnect", "__proto__", "user-disconnected"] {
            let query = format!("userid=a&msgEvent={reserved}");
            assert!(read_handshake(&query, "192.0.2.1".parse().unwrap(), "", "").is_err(), "{reserved}");
            let custom = user(&format!("userid=a&socketCustomEvent={reserved}"), "192.0.2.1", "");
            assert_eq!(&*custom.custom_event, DEFAULT_CUSTOM_EVENT);
        }
    }

    #[test]
    fn an_admin_is_no_user() {
        let admin =
            read_handshake("userid=admin&adminUserName=root&adminPassword=p%26w", "192.0.2.1".parse().unwrap(), "", "").unwrap();
        let Handshake::Admin { name, password } = admin else { panic!("an admin's") };
        assert_eq!((name.as_str(), password.expose().as_str()), ("root", "p&w"));
    }
}
