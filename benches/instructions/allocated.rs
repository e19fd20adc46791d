//! Clients of the engine that have an allocation. Keys and seeds are fixed, so that counts repeat.

use std::net::SocketAddr;

use castway::turn::codec::attribute;
use castway::turn::codec::header::{Class, Method, TransactionId};
use castway::turn::codec::message::StunMessage;
use castway::turn::codec::writer::MessageWriter;
use castway::turn::{FiveTuple, Scope, Transport};

use crate::engine::{self, Shell};

pub(crate) const USER: &str = "alice";

pub(crate) fn shell(scope: Scope) -> Shell {
    Shell::with(scope, |_| {})
}

pub(crate) fn client(number: u32, transport: Transport) -> FiveTuple {
    FiveTuple { transport, ..engine::client(number) }
}

/// A request without credentials.
pub(crate) fn unsigned(method: Method, attributes: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    attributes(&mut MessageWriter::new(&mut bytes, Class::Request, method, &TransactionId([9; 12])));
    bytes
}

/// An allocation, as its client knows it.
pub(crate) struct Allocated {
    pub(crate) from: FiveTuple,
    pub(crate) relayed: SocketAddr,
    pub(crate) nonce: Vec<u8>,
}

impl Allocated {
    pub(crate) fn new(shell: &mut Shell, from: FiveTuple) -> Self {
        let nonce = shell.allocate(from, USER);
        let answer = StunMessage::parse(&shell.answer).expect("an answer");
        let relayed = answer.find(attribute::XOR_RELAYED_ADDRESS).expect("a relayed address");
        let relayed = attribute::xor_address(relayed, &answer.transaction()).expect("an address");
        Self { from, relayed, nonce }
    }

    /// Gives the client a permission for its peer.
    pub(crate) fn permit(&self, shell: &mut Shell, peer: SocketAddr) {
        let bytes = engine::signed(USER, Method::CreatePermission, &self.nonce, 2, |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        shell.ask(self.from, &bytes);
    }

    /// Binds the first channel to the client's peer.
    pub(crate) fn bind(&self, shell: &mut Shell, peer: SocketAddr) {
        shell.bind(self.from, USER, &self.nonce, peer);
    }
}
