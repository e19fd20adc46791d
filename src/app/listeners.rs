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
    /// The address of HTTPS where it is one of plain HTTP.
    shared_https: Option<SocketAddr>,
    /// The errors of optional listeners that could not be bound, and of addresses that have an alternative.
    pub(super) missing: Vec<Sentence>,
}

impl TcpListeners {
    /// Fails if an address that a setting names, or the address of plain HTTP, can't be bound.
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let required = config.required_ports();
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        for listen in &config.http.listen {
            all.push(bind(listen, config.http.listen_setting, &mut missing)?);
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
            shared_https: None,
            missing,
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
                if setting == "CASTWAY_HTTPS_ADDR" && other == config.http.listen_setting {
                    bound.shared_https = Some(*addr);
                    continue;
                }
                bound.missing.push(Sentence::new(
                    format!("TCP {addr} is taken by {other} of this server, so {setting} has no listener: set it to a free port"),
                    format!("TCP {addr} 已被此服务器的 {other} 占用，因此 {setting} 没有监听端口：请将其设为空闲的端口"),
                ));
                continue;
            }
            match bind(listen, setting, &mut bound.missing) {
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
        self.wanted_https_addr().unwrap_or(self.http.addr)
    }

    /// The address that the settings or their defaults have for HTTPS; `None`: TLS is off, or its port was taken.
    pub(super) fn wanted_https_addr(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(|listener| listener.addr).or(self.shared_https)
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

/// Binds `listen`; `missing` gets a sentence if another address had to do.
fn bind(listen: &Listen, setting: &str, missing: &mut Vec<Sentence>) -> anyhow::Result<Listener> {
    let bound = ingress::bind(listen, setting)?;
    let addr = bound.listener.addr;
    if let Some((refused, wanted)) = bound.refused.zip(listen.addrs.first()) {
        missing.push(Sentence::new(
            format!("{refused}. Until then {addr} is used instead"),
            format!("无法监听 {wanted}，暂时改为监听 {addr}。原因：{refused}"),
        ));
    }
    Ok(bound.listener)
}
