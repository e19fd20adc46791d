//! Whether `/admin` is served to a client.

use axum::http::request::Parts;
use serde::Serialize;

use crate::config::AdminConfig;
use crate::http::client_info::{ClientInfo, Scheme};
use crate::http::own_address;

/// Why `/admin` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    NoOperator,
    /// The request did not come over HTTPS.
    NotSecure,
    /// Other applications share the origin, and no setting allows that.
    UnderPath,
}

/// Whether the client's network may use `/admin` at all.
pub(super) fn is_allowed(parts: &Parts, config: &AdminConfig) -> bool {
    config.allow.as_ref().is_none_or(|networks| own_address::is_in(parts, networks))
}

/// Why an allowed client can't use it; `None`: it can.
pub(super) fn why_off(client: &ClientInfo, config: &AdminConfig, has_operator: bool) -> Option<Why> {
    if config.shares_origin {
        return Some(Why::UnderPath);
    }
    // This machine, too: a cookie for https://localhost would not protect http://localhost.
    if client.scheme != Scheme::Https {
        return Some(Why::NotSecure);
    }
    (!has_operator).then_some(Why::NoOperator)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;
    use axum::http::Request;

    use super::*;

    fn parts(peer: &str, address: &str, headers: &[(&str, &str)]) -> Parts {
        let client =
            ClientInfo { address: address.parse().unwrap(), scheme: Scheme::Https, host: Some("cast.example.org".to_owned()) };
        let peer = SocketAddr::new(peer.parse().unwrap(), 5);
        let request = Request::builder().extension(client).extension(ConnectInfo(peer));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_networks_of_the_setting_are_let_in() {
        let allow = |networks: &[&str]| AdminConfig {
            allow: Some(networks.iter().map(|network| network.parse().unwrap()).collect()),
            shares_origin: false,
        };
        assert!(is_allowed(&parts("203.0.113.9", "203.0.113.9", &[]), &AdminConfig::default()), "any by default");
        let office = allow(&["10.1.0.0/16"]);
        assert!(is_allowed(&parts("10.1.2.3", "10.1.2.3", &[]), &office));
        assert!(is_allowed(&parts("::ffff:10.1.2.3", "10.1.2.3", &[]), &office));
        assert!(!is_allowed(&parts("10.2.0.1", "10.2.0.1", &[]), &office));
        let forwarded = [("x-forwarded-for", "10.1.2.3")];
        assert!(is_allowed(&parts("192.0.2.1", "10.1.2.3", &forwarded), &office), "a trusted proxy names the client");
        assert!(!is_allowed(&parts("10.1.2.3", "10.1.2.3", &forwarded), &office), "a proxy that nobody trusts hides its client");
        assert!(!is_allowed(&parts("10.1.2.3", "10.1.2.3", &[]), &allow(&[])), "nobody");
    }

    #[test]
    fn each_reason_why_it_is_off_is_named() {
        let client = |scheme| ClientInfo { address: "127.0.0.1".parse().unwrap(), scheme, host: None };
        let config = |shares_origin| AdminConfig { allow: None, shares_origin };
        assert_eq!(why_off(&client(Scheme::Https), &config(false), true), None);
        assert_eq!(why_off(&client(Scheme::Https), &config(false), false), Some(Why::NoOperator));
        assert_eq!(why_off(&client(Scheme::Http), &config(false), true), Some(Why::NotSecure));
        assert_eq!(why_off(&client(Scheme::Http), &config(false), false), Some(Why::NotSecure));
        assert_eq!(why_off(&client(Scheme::Https), &config(true), true), Some(Why::UnderPath));
        assert_eq!(serde_json::to_value(Why::NoOperator).unwrap(), "no_operator");
    }
}
