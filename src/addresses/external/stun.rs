//! Asks a STUN server how it sees us (RFC 8489 §6): a Binding request over UDP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::turn::codec::attribute::{XOR_MAPPED_ADDRESS, xor_address};
use crate::turn::codec::header::{Class, Method, TransactionId};
use crate::turn::codec::message::StunMessage;
use crate::turn::codec::writer::MessageWriter;

/// Waits before the request is sent once more (RFC 8489 §6.2.1 begins so); after the last one it is given up.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_millis(1000), Duration::from_millis(1000)];

/// The address under which `server` sees a socket bound to `from`.
///
/// # Errors
/// It can't be reached, or nothing understandable came back in time.
pub(super) async fn mapped(server: SocketAddr, from: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).await?;
    // From then on the kernel drops what others send.
    socket.connect(server).await?;
    let transaction = TransactionId(rand::random());
    let mut request = Vec::new();
    MessageWriter::new(&mut request, Class::Request, Method::Binding, &transaction);
    for wait in WAITS {
        socket.send(&request).await?;
        if let Ok(answer) = tokio::time::timeout(wait, answer(&socket, &transaction)).await {
            return answer;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn answer(socket: &UdpSocket, transaction: &TransactionId) -> io::Result<IpAddr> {
    let mut buffer = [0; 1500];
    loop {
        let len = socket.recv(&mut buffer).await?;
        let Ok(message) = StunMessage::parse(&buffer[..len]) else { continue };
        if message.method() != Method::Binding || message.transaction() != *transaction {
            continue;
        }
        match message.class() {
            Class::Success => {
                let mapped = message.find(XOR_MAPPED_ADDRESS).and_then(|value| xor_address(value, transaction));
                let mapped = mapped.ok_or_else(|| io::Error::other("the answer has no XOR-MAPPED-ADDRESS"))?;
                return Ok(mapped.ip().to_canonical());
            }
            Class::Error => return Err(io::Error::other("the server refuses to answer")),
            Class::Request | Class::Indication => {}
        }
    }
}
