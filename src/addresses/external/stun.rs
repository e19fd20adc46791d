//! A Binding request over UDP, which asks a STUN server for our address as it sees it (RFC 8489 §6).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::turn::codec::attribute::{XOR_MAPPED_ADDRESS, xor_address};
use crate::turn::codec::header::{Class, Method, TransactionId};
use crate::turn::codec::message::StunMessage;
use crate::turn::codec::writer::MessageWriter;

/// How long to wait for a response to each transmission of the request; RFC 8489 §6.2.1 begins with these intervals.
const RESPONSE_TIMEOUTS: [Duration; 3] = [Duration::from_millis(500), Duration::from_millis(1000), Duration::from_millis(1000)];

/// The address under which `server` sees a socket bound to `from`.
///
/// # Errors
/// The server can't be reached, or no valid response came in time.
pub(super) async fn mapped_address(server: SocketAddr, from: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).await?;
    // A connected socket gets no packets of other senders.
    socket.connect(server).await?;
    let transaction = TransactionId(rand::random());
    let mut request = Vec::new();
    MessageWriter::new(&mut request, Class::Request, Method::Binding, &transaction);
    for timeout in RESPONSE_TIMEOUTS {
        socket.send(&request).await?;
        if let Ok(mapped) = tokio::time::timeout(timeout, receive_response(&socket, &transaction)).await {
            return mapped;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn receive_response(socket: &UdpSocket, transaction: &TransactionId) -> io::Result<IpAddr> {
    let mut buffer = [0; 1500];
    loop {
        let len = socket.recv(&mut buffer).await?;
        let Ok(message) = StunMessage::parse(&buffer[..len]) else { continue };
        if message.method() != Method::Binding || message.transaction() != *transaction {
            continue;
        }
        match message.class() {
            // RFC 8489 §6.3.3: a success response has the address in XOR-MAPPED-ADDRESS.
            Class::Success => {
                let mapped = message.find(XOR_MAPPED_ADDRESS).and_then(|value| xor_address(value, transaction));
                let mapped = mapped.ok_or_else(|| io::Error::other("the response has no XOR-MAPPED-ADDRESS"))?;
                return Ok(mapped.ip().to_canonical());
            }
            Class::Error => return Err(io::Error::other("the server answered with an error")),
            Class::Request | Class::Indication => {}
        }
    }
}
