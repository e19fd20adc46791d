//! Texts of requests, as the descriptions of several routes have them. Each one is a schema; the handlers read plain text.

use utoipa::ToSchema;

/// A name that credentials may be issued for.
#[derive(ToSchema)]
#[schema(example = "alice", min_length = 1, max_length = 128, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
#[expect(dead_code, reason = "it describes a text")]
pub(super) struct RequestedName(String);

/// A name that credentials may be issued for, or an empty text, which counts as a missing one.
#[derive(ToSchema)]
#[schema(example = "customer-17", max_length = 128, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]*$")]
#[expect(dead_code, reason = "it describes a text")]
pub(super) struct RequestedNameOrEmpty(String);

/// Whole seconds. The server shortens what is longer than `CASTWAY_TTL`, and lengthens what is too short.
#[derive(ToSchema)]
#[schema(example = "3600", pattern = "^(-?[0-9]+)?$")]
#[expect(dead_code, reason = "it describes a text")]
pub(super) struct RequestedSeconds(String);

/// Whole seconds, at least one. The server shortens what is longer than its longest lifetime.
#[derive(ToSchema)]
#[schema(example = "3600", pattern = "^[0-9]*[1-9][0-9]*$")]
#[expect(dead_code, reason = "it describes a text")]
pub(super) struct RequestedLifetime(String);

/// `turn`, or an empty text.
#[derive(ToSchema)]
#[schema(example = "turn", pattern = "^(turn)?$")]
#[expect(dead_code, reason = "it describes a text")]
pub(super) struct RequestedService(String);
