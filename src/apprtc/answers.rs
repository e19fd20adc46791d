//! The answers of the room server, and what the description of the API says about them. The original's clients fix their form.

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::diagnosis::words::VerdictReply;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultAnswer {
    /// `SUCCESS`, or why not.
    #[schema(example = "SUCCESS")]
    pub(super) result: &'static str,
}

/// What a client that leaves is answered with.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "it describes answers")]
pub(super) enum LeaveAnswers {
    #[response(status = 200, description = "The client has left, or was not there. The body is empty.")]
    Left,
    #[response(status = 404, description = "The room or the client has no valid name.")]
    NoValidName,
    #[response(status = 429, description = "There were too many requests; the body is empty.")]
    TooManyRequests,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportAnswer {
    /// Always `true`.
    pub(super) ok: bool,
    /// Why the connection failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) verdict: Option<VerdictReply>,
}

/// What `POST /join/ROOM` is answered with; [`super::params`] makes the parameters.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes an answer")]
pub(super) struct JoinAnswer {
    #[schema(example = "SUCCESS")]
    result: String,
    params: CallParams,
    /// Why the client is not let in.
    #[schema(nullable = false)]
    error: Option<JoinError>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes an answer")]
struct JoinError {
    #[schema(example = "refused")]
    code: String,
    message: String,
    /// The sentence of the operator's server.
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// The parameters of a call. Several are strings that hold JSON, as the original's clients expect. If the join failed, only `messages` is
/// there.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes an answer")]
pub(super) struct CallParams {
    header_message: Option<String>,
    #[schema(nullable = false)]
    error_messages: Option<Vec<String>>,
    #[schema(nullable = false)]
    warning_messages: Option<Vec<String>>,
    /// `true` or `false`.
    #[schema(nullable = false, example = "false")]
    is_loopback: Option<String>,
    /// JSON: the configuration of `RTCPeerConnection`.
    #[schema(nullable = false)]
    pc_config: Option<String>,
    /// JSON.
    #[schema(nullable = false)]
    pc_constraints: Option<String>,
    /// JSON.
    #[schema(nullable = false)]
    offer_options: Option<String>,
    /// JSON: the constraints for `getUserMedia`.
    #[schema(nullable = false)]
    media_constraints: Option<String>,
    /// Where the client requests ICE servers.
    #[schema(nullable = false)]
    ice_server_url: Option<String>,
    #[schema(nullable = false)]
    ice_server_transports: Option<String>,
    /// The name of `ice_server_url` in the clients of 2014 to 2016.
    #[schema(nullable = false)]
    turn_url: Option<String>,
    #[schema(nullable = false)]
    turn_transports: Option<String>,
    #[schema(nullable = false)]
    include_loopback_js: Option<String>,
    /// The WebSocket of Collider.
    #[schema(nullable = false, example = "wss://cast.example.org/ws")]
    wss_url: Option<String>,
    /// The origin of Collider's POST and DELETE.
    #[schema(nullable = false, example = "https://cast.example.org")]
    wss_post_url: Option<String>,
    #[schema(nullable = false)]
    bypass_join_confirmation: Option<String>,
    /// JSON.
    #[schema(nullable = false)]
    version_info: Option<String>,
    /// After a join, as the next four.
    #[schema(nullable = false)]
    room_id: Option<String>,
    #[schema(nullable = false)]
    room_link: Option<String>,
    /// Eight digits.
    #[schema(nullable = false, example = "12345678")]
    client_id: Option<String>,
    /// `true` for the client that makes the offer, otherwise `false`.
    #[schema(nullable = false, example = "true")]
    is_initiator: Option<String>,
    /// What the other client has sent before.
    #[schema(nullable = false)]
    messages: Option<Vec<String>>,
}

/// What the web client reports of itself.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes a request")]
pub(super) struct AnalyticsEvent {
    /// Always `event`.
    #[schema(example = "event")]
    r#type: String,
    request_time_ms: f64,
    event: AnalyticsDetails,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes a request")]
struct AnalyticsDetails {
    event_type: AnalyticsKind,
    event_time_ms: f64,
}

/// The kind of an event, by number or by name.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a request")]
enum AnalyticsKind {
    Number(f64),
    Name(String),
}
