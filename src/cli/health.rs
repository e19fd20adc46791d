//! `castway health`: asks the server that runs with these settings on this machine, for containers and service managers.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::error::CliError;
use super::output::print;
use crate::config::Config;

/// How long the connection may take, and then the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of the answer that are read at most.
const MAX_ANSWER_BYTES: u64 = 8 * 1024;

pub(super) fn run(config: &Config) -> Result<(), CliError> {
    // We can't know which address the server could bind, so try each.
    let mut answers = config.http.listen.iter().flat_map(|listen| &listen.addrs).flat_map(|addr| reachable(*addr)).map(ready);
    let mut best = answers.next().context("no address is configured")?;
    while best.is_err()
        && let Some(next) = answers.next()
    {
        best = best.or(next);
    }
    print(best?)
}

/// The answer of `/readyz`, if it says that the server is ready.
fn ready(server: SocketAddr) -> anyhow::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&server, ANSWER_TIMEOUT).with_context(|| format!("no server answers on {server}"))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).with_context(|| format!("the server on {server} does not answer"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.trim_end().to_owned()),
        Some("503") => bail!("the server on {server} is not ready: {}", body.trim_end()),
        _ => bail!("the server on {server} is not Castway"),
    }
}

/// The addresses by which this machine reaches a listener: loopback for a wildcard, where `[::]` takes IPv4 too.
fn reachable(listening: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ips = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v4, v6],
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => vec![ip],
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, listening.port())).collect()
}
