//! The ports for TCP: bound before anything is written, served when everything is there.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::config::{Config, Listen};
use crate::ingress::{self, Listener as Socket};

/// Listeners for TCP, the relay's own aside.
pub(super) struct Sockets {
    pub(super) http: Socket,
    pub(super) more_http: Vec<Socket>,
    pub(super) https: Option<Socket>,
    pub(super) turns: Option<Socket>,
    /// Proxies that come to the relay's own: they may name the client first.
    pub(super) proxied: Option<Socket>,
    pub(super) collider: Option<Socket>,
    /// Why one that nobody has asked for is not there.
    pub(super) missing: Vec<String>,
}

impl Sockets {
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for listen in &config.http.listen {
            all.push(ingress::bind(listen, "CASTWAY_HTTP_ADDR").await?);
        }
        let mut all = all.into_iter();
        let http = all.next().context("CASTWAY_HTTP_ADDR names no address")?;
        let mut bound =
            Self { http, more_http: all.collect(), https: None, turns: None, proxied: None, collider: None, missing: Vec::new() };
        let collider = config.calls.collider.map(Listen::exactly);
        let more = [
            (&config.tls.https, "CASTWAY_HTTPS_ADDR", &mut bound.https),
            (&config.tls.turns, "CASTWAY_TURNS_ADDR", &mut bound.turns),
            (&collider, "CASTWAY_COLLIDER_ADDR", &mut bound.collider),
        ];
        for (listen, setting, place) in more {
            let Some(listen) = listen else { continue };
            match ingress::bind(listen, setting).await {
                Ok(socket) => *place = Some(socket),
                Err(error) if listen.required => return Err(error),
                // Every port takes TLS, so nothing but the address is missing.
                Err(error) => bound.missing.push(error.to_string()),
            }
        }
        Ok(bound)
    }

    /// Where HTTPS is: every port takes TLS.
    pub(super) fn https_addr(&self) -> SocketAddr {
        self.https.as_ref().unwrap_or(&self.http).addr
    }

    pub(super) fn into_listeners(self) -> Vec<Socket> {
        [Some(self.http), self.https, self.turns, self.proxied].into_iter().flatten().chain(self.more_http).collect()
    }
}
