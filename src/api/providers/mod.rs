//! The APIs of other providers of TURN servers, so that an application that was written for one of them needs another URL and key alone.
//!
//! `CASTWAY_PROVIDER_APIS` turns them on. Each takes an API key of this server where the provider has its own, and answers with
//! credentials of scope anyone in the provider's shape.
//!
//! A request passes through the files in this order: the provider's file reads its key and fields (`fields`), `caller` counts the
//! request, checks the key and issues the credentials, and the provider's file writes the answer, or the `refusal` in its own words.
//!
//! Invariants: the key is checked before anything else of a request is read; the rate limit is that of `/turn`; nothing is stored for an
//! answer; no answer holds a key of this server.

mod caller;
mod cloudflare;
mod fields;
mod metered;
mod refusal;
mod twilio;
mod xirsys;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use utoipa::OpenApi;

use super::state::ApiState;
use crate::config::ProviderApis;

#[derive(OpenApi)]
#[openapi(paths(cloudflare::generate_ice_servers, cloudflare::generate, cloudflare::revoke))]
struct Cloudflare;

#[derive(OpenApi)]
#[openapi(paths(twilio::create_token), components(schemas(twilio::TwilioProblem)))]
struct Twilio;

#[derive(OpenApi)]
#[openapi(
    paths(metered::list, metered::create, metered::delete, metered::disable),
    components(schemas(metered::MeteredListProblem))
)]
struct Metered;

#[derive(OpenApi)]
#[openapi(paths(xirsys::turn), components(schemas(xirsys::XirsysProblem)))]
struct Xirsys;

/// The routes of the providers that the settings name.
pub(super) fn routes(apis: ProviderApis) -> Router<Arc<ApiState>> {
    let mut routes = Router::new();
    if apis.cloudflare {
        let of_key = |call: &str| format!("/v1/turn/keys/{{id}}/credentials/{call}");
        routes = routes
            .route(&of_key("generate-ice-servers"), post(cloudflare::generate_ice_servers))
            .route(&of_key("generate"), post(cloudflare::generate))
            .route(&of_key("{username}/revoke"), post(cloudflare::revoke));
    }
    if apis.twilio {
        routes = routes.route("/2010-04-01/Accounts/{sid}/Tokens.json", post(twilio::create_token));
    }
    if apis.metered {
        routes = routes
            .route("/api/v1/turn/credentials", get(metered::list))
            .route("/api/v1/turn/credential", post(metered::create).delete(metered::delete))
            .route("/api/v1/turn/credential/disable", post(metered::disable));
    }
    if apis.xirsys {
        routes = routes.route("/_turn/{*channel}", put(xirsys::turn));
    }
    routes
}

/// The description of these routes, for that of the whole API, which has the security schemes `bearer` and `password` (HTTP Basic).
#[must_use]
pub fn openapi(apis: ProviderApis) -> utoipa::openapi::OpenApi {
    let mut description = utoipa::openapi::OpenApi::default();
    for (is_on, of_provider) in [
        (apis.cloudflare, Cloudflare::openapi as fn() -> utoipa::openapi::OpenApi),
        (apis.twilio, Twilio::openapi),
        (apis.metered, Metered::openapi),
        (apis.xirsys, Xirsys::openapi),
    ] {
        if is_on {
            description.merge(of_provider());
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_the_routes_of_the_providers_that_are_on() {
        let paths = |apis| -> Vec<String> {
            let description = serde_json::to_value(openapi(apis)).unwrap();
            description["paths"].as_object().into_iter().flat_map(|paths| paths.keys().cloned()).collect()
        };
        assert!(paths(ProviderApis::default()).is_empty());
        let twilio = ProviderApis { twilio: true, ..ProviderApis::default() };
        assert_eq!(paths(twilio), ["/2010-04-01/Accounts/{sid}/Tokens.json"]);
        let all = paths(ProviderApis { cloudflare: true, twilio: true, metered: true, xirsys: true });
        assert_eq!(all.len(), 8, "{all:?}");
    }
}
