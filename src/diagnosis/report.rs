//! What a page says about its connection. Nothing in it is trusted for more than display.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::whole;

/// Bytes of a report in JSON.
pub const MAX_REPORT_BYTES: usize = 16 * 1024;
/// ICE servers in one report.
pub const MAX_SERVERS: usize = 16;
/// Characters of a URL and of an error text in a report; pages cut what is longer.
pub const MAX_URL_CHARS: usize = 200;
pub const MAX_TEXT_CHARS: usize = 100;
/// Characters of the state of ICE.
pub const MAX_ICE_CHARS: usize = 20;
/// Paths and links in the results of one check.
pub const MAX_PATHS: usize = 16;
pub const MAX_LINKS: usize = 8;

/// A report, as `CAST_REPORT` and `POST /report/…` carry it. Times are in milliseconds unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub outcome: Outcome,
    /// Of the pair in use.
    #[serde(default)]
    pub route: Option<Route>,
    /// Between the page and the relay; of a direct pair, the pair's own.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub rtt_ms: Option<f64>,
    /// From 0 to 1.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub loss: Option<f64>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub kbps: Option<f64>,
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub bytes: Option<u64>,
    #[serde(default)]
    #[schema(max_items = 16)]
    pub servers: Vec<ServerReport>,
    #[serde(default)]
    pub local: CandidateCounts,
    #[serde(default)]
    pub remote: CandidateCounts,
    /// Connectivity checks (RFC 8445) of all pairs.
    #[serde(default)]
    pub checks: Option<CheckCounts>,
    /// The browser's `iceConnectionState`.
    #[serde(default)]
    #[schema(max_length = 20, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$")]
    pub ice: String,
    /// Since the page began to connect.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 31_536_000)]
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All candidates are there; the page still tries.
    Gathered,
    Connected,
    Failed,
    /// The cast is over; the totals are in the report.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    Direct,
    Relay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Udp,
    Tcp,
    Tls,
}

/// What came of one URL of an ICE server.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct ServerReport {
    #[schema(
        max_length = 200,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$",
        example = "turn:cast.example.org:3478?transport=udp"
    )]
    pub url: String,
    #[serde(default, deserialize_with = "whole::number")]
    #[schema(maximum = 10_000)]
    pub candidates: u32,
    /// The browser's `icecandidateerror` code: 701 for no answer, otherwise a STUN code.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 300, maximum = 799)]
    pub code: Option<u16>,
    #[serde(default)]
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$")]
    pub text: Option<String>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct CandidateCounts {
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 10_000)]
    pub host: u32,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 10_000)]
    pub srflx: u32,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 10_000)]
    pub prflx: u32,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 10_000)]
    pub relay: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct CheckCounts {
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub sent: u64,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub received: u64,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub answered: u64,
}

/// The results of `/check` on one device.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    #[schema(max_items = 16)]
    pub paths: Vec<PathResult>,
    /// `None`: not tested, for example since policy denies the client's address.
    #[serde(default)]
    pub range: Option<RangeResult>,
    /// The second step, with another device.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub links: Vec<LinkResult>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathResult {
    pub kind: PathKind,
    #[schema(
        max_length = 200,
        pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$",
        example = "turn:cast.example.org:3478?transport=udp"
    )]
    pub url: String,
    /// Milliseconds until the candidate was there; `None`: there was none.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub ms: Option<f64>,
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 300, maximum = 799)]
    pub code: Option<u16>,
    #[serde(default)]
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u202A-\\u202E\\u2066-\\u2069]*$")]
    pub text: Option<String>,
    /// The browser can't test it (an old TV without TURN over TLS, say).
    #[serde(default)]
    pub unsupported: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    Stun,
    Udp,
    Tcp,
    Tls,
}

/// Packets from the device's own address to its relayed address, so that they cross the outer firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RangeResult {
    #[serde(deserialize_with = "whole::number")]
    pub sent: u32,
    #[serde(deserialize_with = "whole::number")]
    pub arrived: u32,
    /// The relay refuses this device's address as a peer (403): nothing is known about the firewall.
    #[serde(default)]
    pub denied: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkResult {
    pub route: Route,
    #[serde(default)]
    pub protocol: Option<Protocol>,
    pub connected: bool,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub rtt_ms: Option<f64>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub loss: Option<f64>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub mbits: Option<f64>,
}
