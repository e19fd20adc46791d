//! The description of the REST API: OpenAPI 3.1, made from the handlers.

use utoipa::OpenApi;

use super::described::{RequestedLifetime, RequestedName, RequestedNameOrEmpty, RequestedSeconds, RequestedService};
use super::{docs, health, ice_config, info, metrics, sign_in, turn_credentials, usage};

/// The operations of [`super::router::router`], without those of other layers.
#[derive(Debug, OpenApi)]
#[openapi(
    paths(
        turn_credentials::get,
        turn_credentials::post,
        ice_config::ice_config,
        ice_config::turn,
        sign_in::sign_in,
        usage::usage,
        info::info,
        health::alive,
        health::ready,
        metrics::metrics,
        docs::index,
        docs::openapi,
        docs::asyncapi,
    ),
    // utoipa finds the schemas of bodies by itself, and not those of parameters.
    components(schemas(RequestedName, RequestedNameOrEmpty, RequestedSeconds, RequestedLifetime, RequestedService))
)]
pub struct Description;
