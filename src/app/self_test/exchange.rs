//! What the self-test does at one listener, with the codec of the crates `stun` and `turn`: it gets a nonce, allocates, permits its own
//! relayed address, sends a packet there and receives it, and ends the allocation.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use stun::agent::TransactionId;
use stun::attributes::{
    ATTR_DATA, ATTR_ERROR_CODE, ATTR_NONCE, ATTR_PASSWORD_ALGORITHM, ATTR_PASSWORD_ALGORITHMS, ATTR_REALM, ATTR_USERNAME,
    ATTR_XOR_RELAYED_ADDRESS, AttrType,
};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_INDICATION, CLASS_REQUEST, Getter as _, METHOD_ALLOCATE, METHOD_CREATE_PERMISSION, METHOD_DATA, METHOD_REFRESH,
    METHOD_SEND, Message, MessageType, Method, Setter,
};
use stun::textattrs::TextAttribute;
use stun::xoraddr::XorMappedAddress;
use turn::proto::PROTO_UDP;
use turn::proto::data::Data;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqfamily::{REQUESTED_FAMILY_IPV4, REQUESTED_FAMILY_IPV6};
use turn::proto::reqtrans::RequestedTransport;

use super::link::Link;
use crate::turn::Transport;
use crate::users::Credentials;
use crate::users::credentials::{h_a1_md5, h_a1_sha256};

/// PASSWORD-ALGORITHM SHA-256 (RFC 8489 §18.5.1).
const SHA_256: [u8; 4] = [0, 2, 0, 0];
/// RFC 8656 §19: 403, where the policy denies this machine's own addresses as peers.
const FORBIDDEN: u16 = 403;

/// A link with a listener that has answered.
pub(super) struct Answered {
    link: Link,
    /// The answer to the first request, with the nonce.
    challenge: Message,
}

/// What happened instead of an echo.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    /// The step, and the code of the error response.
    Refused(&'static str, u16),
    /// The answer has not what it must have.
    Answer(&'static str),
}

/// Any attribute.
struct Attribute(AttrType, Vec<u8>);

impl Setter for Attribute {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

type Attributes = Vec<Box<dyn Setter>>;

/// Connects, and sends an Allocate without credentials.
pub(super) async fn begin(transport: Transport, server: SocketAddr, name: Option<&str>) -> Result<Answered, Failure> {
    let mut link = Link::open(transport, server, name).await?;
    let request = message(METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })])?;
    let challenge = link.ask(&request, |answer| answer.transaction_id == request.transaction_id).await?;
    Ok(Answered { link, challenge })
}

impl Answered {
    /// The rest of the exchange. `ipv6`: the family of the relayed address.
    pub(super) async fn finish(&mut self, credentials: &Credentials, ipv6: bool) -> Result<(), Failure> {
        let family = if ipv6 { REQUESTED_FAMILY_IPV6 } else { REQUESTED_FAMILY_IPV4 };
        let transport = Box::new(RequestedTransport { protocol: PROTO_UDP });
        let allocate = self.signed(METHOD_ALLOCATE, credentials, vec![transport, Box::new(family)])?;
        let answer = self.ask("Allocate", &allocate).await?;
        let mut relayed = XorMappedAddress::default();
        let found = relayed.get_from_as(&answer, ATTR_XOR_RELAYED_ADDRESS);
        let echoed = match found {
            Ok(()) => self.echo(credentials, SocketAddr::new(relayed.ip, relayed.port)).await,
            Err(_) => Err(Failure::Answer("the answer to the Allocate has no relayed address")),
        };
        // The allocation ends in any case.
        let end = self.signed(METHOD_REFRESH, credentials, vec![Box::new(Lifetime(Duration::ZERO))])?;
        self.ask("Refresh", &end).await?;
        echoed
    }

    async fn echo(&mut self, credentials: &Credentials, relayed: SocketAddr) -> Result<(), Failure> {
        let peer = || Box::new(PeerAddress { ip: relayed.ip(), port: relayed.port() });
        let permit = self.signed(METHOD_CREATE_PERMISSION, credentials, vec![peer()])?;
        match self.ask("CreatePermission", &permit).await {
            Err(Failure::Refused(_, FORBIDDEN)) => return Ok(()),
            permitted => permitted?,
        };
        let payload = rand::random::<[u8; 16]>().to_vec();
        let mut sent = Message::new();
        let indication = Box::new(MessageType::new(METHOD_SEND, CLASS_INDICATION));
        sent.build(&[Box::new(TransactionId::new()) as Box<dyn Setter>, indication, peer(), Box::new(Data(payload.clone()))])?;
        let is_echo = |message: &Message| {
            let is_data = message.typ == MessageType::new(METHOD_DATA, CLASS_INDICATION);
            is_data && message.get(ATTR_DATA).is_ok_and(|data| data == payload)
        };
        self.link.ask(&sent, is_echo).await?;
        Ok(())
    }

    /// Makes a request. Returns the success response.
    async fn ask(&mut self, step: &'static str, request: &Message) -> Result<Message, Failure> {
        let answer = self.link.ask(request, |answer| answer.transaction_id == request.transaction_id).await?;
        refusal(step, &answer).map_or(Ok(answer), Err)
    }

    /// A request with credentials.
    fn signed(&self, method: Method, credentials: &Credentials, more: Attributes) -> Result<Message, Failure> {
        let text = |kind| TextAttribute::get_from_as(&self.challenge, kind).map(|text| text.text);
        let (Ok(realm), Ok(nonce)) = (text(ATTR_REALM), text(ATTR_NONCE)) else {
            return Err(refusal("Allocate", &self.challenge).unwrap_or(Failure::Answer("the first answer has no nonce")));
        };
        let (username, password) = (&*credentials.username, &**credentials.password.expose());
        let mut attributes: Attributes = vec![
            Box::new(TextAttribute::new(ATTR_USERNAME, username.to_owned())),
            Box::new(TextAttribute::new(ATTR_REALM, realm.clone())),
            Box::new(TextAttribute::new(ATTR_NONCE, nonce)),
        ];
        let key = match self.challenge.get(ATTR_PASSWORD_ALGORITHMS) {
            Ok(offered) => {
                attributes.push(Box::new(Attribute(ATTR_PASSWORD_ALGORITHMS, offered)));
                attributes.push(Box::new(Attribute(ATTR_PASSWORD_ALGORITHM, SHA_256.to_vec())));
                h_a1_sha256(username, &realm, password).to_vec()
            }
            Err(_) => h_a1_md5(username, &realm, password).to_vec(),
        };
        attributes.extend(more);
        attributes.push(Box::new(MessageIntegrity(key)));
        message(method, attributes)
    }
}

fn message(method: Method, more: Attributes) -> Result<Message, Failure> {
    let mut attributes: Attributes = vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
    attributes.extend(more);
    let mut message = Message::new();
    message.build(&attributes)?;
    Ok(message)
}

fn refusal(step: &'static str, answer: &Message) -> Option<Failure> {
    let mut code = ErrorCodeAttribute::default();
    answer.contains(ATTR_ERROR_CODE).then(|| match code.get_from(answer) {
        Ok(()) => Failure::Refused(step, code.code.0),
        Err(_) => Failure::Answer("the error response has no code"),
    })
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<stun::Error> for Failure {
    fn from(_: stun::Error) -> Self {
        Self::Answer("the request can't be written")
    }
}
