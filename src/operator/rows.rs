//! The rows of an operator's lists, as JSON carries them to the pages and to the commands. PURE.
//!
//! Times are in seconds since 1970, rates in kbit/s. An `id` names a row for as long as the server runs, and `castway end` takes it. Texts
//! that come from clients are as they were sent: whoever shows them escapes them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One end of a cast or call, or a member of a room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartyRow {
    /// `None`: it is away, or without a client.
    pub address: Option<IpAddr>,
    /// The name that it gave itself.
    pub name: Option<String>,
    /// The user who signed in, where the server knows it.
    pub user: Option<String>,
    /// The User-Agent of its connection, at most [`MAX_AGENT_CHARS`].
    pub agent: Option<String>,
}

/// Characters of a User-Agent that are kept.
pub const MAX_AGENT_CHARS: usize = 200;

/// The beginning of a User-Agent, as much as is kept.
#[must_use]
pub fn agent_row(agent: &str) -> Option<String> {
    Some(agent.chars().take(MAX_AGENT_CHARS).collect::<String>()).filter(|agent| !agent.is_empty())
}

/// The name of a room with its middle hidden, since who knows the name can join.
#[must_use]
pub fn masked(room: &str) -> String {
    let chars: Vec<char> = room.chars().collect();
    match &chars[..] {
        [first, second, _, _, .., last] if chars.len() >= 6 => format!("{first}{second}•••{last}"),
        _ => "•••".to_owned(),
    }
}

/// How the media go, by the last report of a page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaRow {
    /// `direct`, `relay/udp`, `relay/tcp`, `relay/tls`; `None`: no page has said so.
    pub path: Option<String>,
    pub kbps: Option<f64>,
    /// From 0 to 1.
    pub loss: Option<f64>,
    pub rtt_ms: Option<f64>,
}

/// A TV with a code, and the cast to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CastRow {
    /// `cast-N`.
    pub id: String,
    /// The code with its middle hidden, such as `E3•••Z`.
    pub code: String,
    /// When the cast began, or where there is none, when the TV came.
    pub since: u64,
    pub tv: PartyRow,
    /// `None`: nobody casts.
    pub caster: Option<PartyRow>,
    pub media: MediaRow,
    /// The front end of the TV understands that its code changes, so it may be given a new one.
    pub may_change_code: bool,
}

/// A call of AppRTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallRow {
    /// `call-N`.
    pub id: String,
    /// The room with its middle hidden.
    pub room: String,
    pub since: u64,
    pub members: Vec<PartyRow>,
    pub media: MediaRow,
}

/// A room of RTCMultiConnection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomRow {
    /// `room-N`.
    pub id: String,
    /// The room with its middle hidden.
    pub room: String,
    pub since: u64,
    /// At most 20; `member_count` has the number of all.
    pub members: Vec<PartyRow>,
    pub member_count: usize,
}

/// An allocation of the relay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationRow {
    /// `alloc-N`.
    pub id: String,
    pub user: String,
    /// `clients`, `anyone`, `own-address`.
    pub scope: String,
    pub client: SocketAddr,
    /// `udp`, `tcp`, `tls`: between the client and the relay.
    pub transport: String,
    pub relayed: Vec<SocketAddr>,
    /// The first ones; `peer_count` has the number of all.
    pub peers: Vec<IpAddr>,
    pub peer_count: usize,
    pub since: u64,
    /// Bytes of payload from the client to its peers, and from its peers to the client.
    pub sent: u64,
    pub received: u64,
    /// In seconds from now.
    pub expires_in: u64,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Rows of the whole list that fit the search.
    pub total: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), total: 0 }
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageRequest {
    /// Rows that contain this text in a user, an address or an id.
    pub search: String,
    pub offset: usize,
    /// 0: [`MAX_PAGE_ROWS`].
    pub limit: usize,
}

/// Rows of one answer.
pub const MAX_PAGE_ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_rooms_name_is_hidden() {
        assert_eq!(["ab-secret-z", "123456", "12345", ""].map(masked), ["ab•••z", "12•••6", "•••", "•••"]);
    }

    #[test]
    fn a_long_user_agent_is_cut() {
        assert_eq!(agent_row(&"会".repeat(201)), Some("会".repeat(200)));
        assert_eq!([agent_row("TV"), agent_row("")], [Some("TV".to_owned()), None]);
    }
}
