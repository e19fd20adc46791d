//! The TCP listeners: bound before anything is written to disk, and served once every part of the server exists.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::config::{Config, Listen};
use crate::ingress::{self, Listener};
use crate::sentence::Sentence;

/// The TCP listeners, except for the relay's own.
pub(super) struct TcpListeners {
    pub(super) http: Listener,
    pub(super) more_http: Vec<Listener>,
    pub(super) https: Option<Listener>,
    pub(super) turns: Option<Listener>,
    /// Connections to the relay's own ports that the relay doesn't serve by itself: TLS, and those of trusted proxies.
    pub(super) forwarded: Vec<Listener>,
    pub(super) collider: Option<Listener>,
    /// The errors of optional listeners that could not be bound.
    pub(super) missing: Vec<Sentence>,
}

impl TcpListeners {
    /// Fails if an address that a setting names, or the address of plain HTTP, can't be bound.
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let required = config.required_ports();
        let mut all = Vec::new();
        for listen in &config.http.listen {
            all.push(ingress::bind(listen, "CASTWAY_HTTP_ADDR")?);
        }
        let mut all = all.into_iter();
        let http = all.next().context("CASTWAY_HTTP_ADDR names no address")?;
        let mut bound = Self {
            http,
            more_http: all.collect(),
            https: None,
            turns: None,
            forwarded: Vec::new(),
            collider: None,
            missing: Vec::new(),
        };
        let collider = config.apprtc.collider.map(Listen::exactly);
        let more = [
            (&config.tls.https, "CASTWAY_HTTPS_ADDR", &mut bound.https),
            (&config.tls.turns, "CASTWAY_TURNS_ADDR", &mut bound.turns),
            (&collider, "CASTWAY_COLLIDER_ADDR", &mut bound.collider),
        ];
        for (listen, setting, slot) in more {
            let Some(listen) = listen else { continue };
            if !listen.required
                && let Some(addr) = listen.addrs.first()
                && let Some(other) = required.holder(*addr, setting)
            {
                bound.missing.push(Sentence::new(
                    format!("TCP {addr} is taken by {other} of this server, so {setting} has no listener: set it to a free port"),
                    format!("TCP {addr} 已被此服务器的 {other} 占用，因此 {setting} 没有监听端口：请将其设为空闲的端口"),
                ));
                continue;
            }
            match ingress::bind(listen, setting) {
                Ok(listener) => *slot = Some(listener),
                Err(error) if listen.required => return Err(error),
                // Every port accepts TLS, so clients lose this address and nothing else.
                Err(error) => {
                    let in_chinese = format!("{setting} 没有监听端口，请更改此设置。原因：{error}");
                    bound.missing.push(Sentence::new(error.to_string(), in_chinese));
                }
            }
        }
        Ok(bound)
    }

    /// The address of HTTPS: without a listener of its own that of plain HTTP, since every port accepts TLS.
    pub(super) fn https_addr(&self) -> SocketAddr {
        self.https.as_ref().unwrap_or(&self.http).addr
    }

    /// The ports of all listeners.
    pub(super) fn ports(&self) -> Vec<u16> {
        let optional = [&self.https, &self.turns, &self.collider].into_iter().flatten();
        std::iter::once(&self.http).chain(&self.more_http).chain(optional).map(|listener| listener.addr.port()).collect()
    }

    pub(super) fn into_listeners(self) -> Vec<Listener> {
        let optional = [self.https, self.turns].into_iter().flatten();
        std::iter::once(self.http).chain(optional).chain(self.forwarded).chain(self.more_http).collect()
    }
}
