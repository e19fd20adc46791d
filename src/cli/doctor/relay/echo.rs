//! Makes an allocation with the crate `turn`, and sends a payload through it and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use super::connect::{Fault, Way, connect};
use crate::cli::doctor::inputs::Credentials;
use crate::cli::doctor::tls::Doubt;

/// After this time a payload counts as lost and is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(200);
/// Payloads that are sent to a peer of this program's own before two allocations are tried.
const PEER_ATTEMPTS: usize = 4;
const PAYLOAD: &[u8] = b"castway doctor";
const REFUSED_BY_POLICY: u16 = 403;

/// An allocation, with what keeps it alive.
struct Allocation<C> {
    client: Client,
    relayed: C,
}

/// The payload came back.
pub(super) async fn echo(way: &Way, credentials: &Credentials, deadline: Instant) -> Result<Option<Doubt>, Fault> {
    let (connection, doubt) =
        timeout_at(deadline, connect(way)).await.map_err(|_| Fault::Unreachable("no answer".to_owned()))??;
    let first = allocate(connection, way.address, credentials, deadline).await?;
    let outcome = match with_peer(&first.relayed, deadline).await {
        Ok(true) => Ok(()),
        // Policy denies this machine's address as a peer, or no packet came: the relay's own addresses are always allowed.
        Ok(false) | Err(Fault::Refused { code: REFUSED_BY_POLICY, .. }) => {
            with_second(&first.relayed, way, credentials, deadline).await
        }
        Err(fault) => Err(fault),
    };
    close(first).await;
    outcome.map(|()| doubt)
}

async fn allocate(
    connection: Arc<dyn Conn + Send + Sync>,
    relay: SocketAddr,
    credentials: &Credentials,
    deadline: Instant,
) -> Result<Allocation<impl Conn>, Fault> {
    let config = ClientConfig {
        stun_serv_addr: String::new(),
        turn_serv_addr: relay.to_string(),
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: connection,
        vnet: None,
    };
    let client = Client::new(config).await.map_err(|error| refused(&error.to_string()))?;
    client.listen().await.map_err(|error| refused(&error.to_string()))?;
    match timeout_at(deadline, client.allocate()).await {
        Ok(Ok(relayed)) => Ok(Allocation { client, relayed }),
        Ok(Err(error)) => {
            let _ = client.close().await;
            Err(refused(&error.to_string()))
        }
        Err(_) => Err(Fault::NoAnswer),
    }
}

async fn close<C: Conn>(allocation: Allocation<C>) {
    // The allocation's end is asked for and not awaited; the relay ends it by itself soon enough.
    let _ = timeout(RESEND_AFTER, allocation.relayed.close()).await;
    let _ = allocation.client.close().await;
}

/// Whether a payload came back from a socket of this program's own.
async fn with_peer(relayed: &impl Conn, deadline: Instant) -> Result<bool, Fault> {
    // A peer has the family of the relayed address, which may be another one than that of the connection to the relay.
    let Ok(seen_by_peer) = relayed.local_addr() else { return Ok(false) };
    let any = if seen_by_peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let Ok(probe) = UdpSocket::bind((any, 0)).await else { return Ok(false) };
    if probe.connect(seen_by_peer).await.is_err() {
        return Ok(false);
    }
    let Ok(own) = probe.local_addr() else { return Ok(false) };
    let Ok(peer) = UdpSocket::bind((own.ip(), 0)).await else { return Ok(false) };
    let Ok(address) = peer.local_addr() else { return Ok(false) };
    let mut buffer = [0; 64];
    for _ in 0..PEER_ATTEMPTS {
        send(relayed, address, deadline).await?;
        if let Ok(Ok((length, from))) = timeout(RESEND_AFTER, peer.recv_from(&mut buffer)).await
            && buffer.get(..length) == Some(PAYLOAD)
        {
            let _ = peer.send_to(PAYLOAD, from).await;
            if received(relayed, RESEND_AFTER).await {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A payload from a second allocation comes to the first one.
async fn with_second(first: &impl Conn, way: &Way, credentials: &Credentials, deadline: Instant) -> Result<(), Fault> {
    let (connection, _) = timeout_at(deadline, connect(way)).await.map_err(|_| Fault::NoAnswer)??;
    let second = allocate(connection, way.address, credentials, deadline).await?;
    let address = |conn: &dyn Conn| conn.local_addr().map_err(|error| refused(&error.to_string()));
    let (to_first, to_second) = (address(first)?, address(&second.relayed)?);
    let mut outcome = Err(Fault::NoEcho);
    while Instant::now() < deadline {
        // Each must have named the other before packets of the other reach it.
        send(first, to_second, deadline).await?;
        send(&second.relayed, to_first, deadline).await?;
        if received(first, RESEND_AFTER).await {
            outcome = Ok(());
            break;
        }
    }
    close(second).await;
    outcome
}

async fn send(relayed: &impl Conn, to: SocketAddr, deadline: Instant) -> Result<(), Fault> {
    match timeout_at(deadline, relayed.send_to(PAYLOAD, to)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(&error.to_string())),
        Err(_) => Err(Fault::NoAnswer),
    }
}

async fn received(relayed: &impl Conn, within: Duration) -> bool {
    let mut buffer = [0; 64];
    let answer = timeout(within, relayed.recv_from(&mut buffer)).await;
    matches!(answer, Ok(Ok((length, _))) if buffer.get(..length) == Some(PAYLOAD))
}

/// What the crate's error says: `… (error 401: …)`.
fn refused(error: &str) -> Fault {
    let code = error.rsplit_once("(error ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    code.map_or_else(|| Fault::Other(error.to_owned()), |code| Fault::Refused { code, words: error.to_owned() })
}
