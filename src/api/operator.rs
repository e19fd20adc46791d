//! Decides whether a request comes from an operator, who may see metrics and details of the server's state.
//!
//! Inputs: the client's address and `CASTWAY_METRICS_ALLOW`. The address must be the client's own, as [`own_address`] finds out.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::state::ApiState;
use crate::http::own_address;

/// Whether the request is an operator's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator(pub(super) bool);

impl FromRequestParts<Arc<ApiState>> for Operator {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Infallible> {
        Ok(Self(is_operator(parts, &api.operator_networks)))
    }
}

fn is_operator(parts: &Parts, networks: &[IpNet]) -> bool {
    // A page of another origin can make an operator's browser send the request.
    !parts.headers.contains_key(header::ORIGIN) && own_address::is_in(parts, networks)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;
    use axum::http::Request;

    use super::*;
    use crate::http::client_info::{ClientInfo, Scheme};

    fn asks(networks: &[&str], address: &str, host: &str, headers: &[(&str, &str)]) -> bool {
        let client = ClientInfo { address: address.parse().unwrap(), scheme: Scheme::Http, host: Some(host.to_owned()) };
        let peer = SocketAddr::new(client.address, 5);
        let mut request = Request::builder().extension(client).extension(ConnectInfo(peer));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
        is_operator(&request.body(()).unwrap().into_parts().0, &networks)
    }

    #[test]
    fn a_page_of_another_origin_is_no_operator() {
        let local = ["127.0.0.0/8"];
        assert!(asks(&local, "127.0.0.1", "localhost", &[]));
        assert!(!asks(&local, "127.0.0.1", "localhost", &[("Origin", "http://evil.example.org")]));
        assert!(asks(&["10.0.0.0/8"], "10.0.0.9", "metrics.example.org", &[]));
        assert!(!asks(&["10.0.0.0/8"], "10.0.0.9", "metrics.example.org", &[("Via", "1.1 proxy")]));
    }
}
