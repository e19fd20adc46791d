//! Binding (RFC 8489 §12) and NAT behaviour discovery (RFC 5780).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::limits::ip_prefix::canonical;
use crate::turn::codec::attribute::{self, ChangeRequest};
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::{Class, Method};
use crate::turn::codec::message::StunMessage;
use crate::turn::codec::writer::MessageWriter;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::FiveTuple;
use crate::turn::settings::NatDiscovery;
use crate::turn::verdict::{Answer, DropReason, Verdict};

impl Engine {
    /// RFC 8489 §6.3.1 and §12, RFC 5780 §6.1. A Binding request needs no authentication (§12), so the answers are limited by
    /// source, are short (NAT behaviour discovery adds its addresses), and leave no state behind.
    pub(super) fn binding(&mut self, from: FiveTuple, message: &StunMessage<'_>, now: Instant) -> Verdict {
        let stream = from.transport.is_stream();
        if !stream && !self.shared.may_answer_binding(from.client.ip(), now) {
            return Verdict::Drop(DropReason::RateLimited);
        }
        let discovery = self.settings.nat_discovery.iter().copied().find(|discovery| !stream && discovery.covers(from.server));
        // RFC 8489 §6.3.1: unknown attributes get 420. RFC 5780 §6: so does a CHANGE-REQUEST that the server cannot carry out.
        let mut unknown = message.unknown_attributes(|kind| self.knows(kind));
        let change = match (message.find(attribute::CHANGE_REQUEST).map(ChangeRequest::read), discovery) {
            (None, _) => ChangeRequest::default(),
            (Some(Some(change)), Some(discovery)) if !change.ip || discovery.has_second_ip() => change,
            (Some(_), _) => {
                unknown.push(attribute::CHANGE_REQUEST);
                ChangeRequest::default()
            }
        };
        let mut to = from;
        let method = Method::Binding;
        let mut bytes = std::mem::take(&mut self.reply);
        let answer = if unknown.is_empty() {
            // RFC 5780 §6.1: the reply leaves from the address that CHANGE-REQUEST asks for, and RESPONSE-ORIGIN names that
            // address.
            let mut writer = MessageWriter::new(&mut bytes, Class::Success, method, &message.transaction());
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, canonical(from.client));
            if let Some(discovery) = discovery {
                to.server = discovery.changed(from.server, change);
                writer.address(attribute::RESPONSE_ORIGIN, discovery.outside(to.server));
                if discovery.has_second_ip() {
                    let other = discovery.changed(from.server, ChangeRequest { ip: true, port: true });
                    writer.address(attribute::OTHER_ADDRESS, discovery.outside(other));
                }
            }
            Answer::Success { method }
        } else {
            let code = ErrorCode::UnknownAttribute;
            let mut writer = MessageWriter::new(&mut bytes, Class::Error, method, &message.transaction());
            writer.error(code).unknown_attributes(unknown.as_slice());
            Answer::Error { method, code, failed_authentication: false }
        };
        let mut writer = MessageWriter::resume(&mut bytes);
        if let Some(software) = &self.settings.software {
            writer.attribute(attribute::SOFTWARE, software.as_bytes());
        }
        if message.fingerprint() {
            writer.fingerprint();
        }
        self.reply = bytes;
        Verdict::Reply { to, answer }
    }
}

impl NatDiscovery {
    fn has_second_ip(&self) -> bool {
        self.primary.ip() != self.alternate.ip()
    }

    /// Whether a request came to one of the four sockets.
    fn covers(&self, server: SocketAddr) -> bool {
        [self.primary.ip(), self.alternate.ip()].contains(&server.ip())
            && [self.primary.port(), self.alternate.port()].contains(&server.port())
    }

    fn changed(&self, server: SocketAddr, change: ChangeRequest) -> SocketAddr {
        let other = |now, primary, alternate| if now == primary { alternate } else { primary };
        let ip = if change.ip { self.other_ip(server.ip()) } else { server.ip() };
        let port = if change.port { other(server.port(), self.primary.port(), self.alternate.port()) } else { server.port() };
        SocketAddr::new(ip, port)
    }

    fn other_ip(&self, ip: IpAddr) -> IpAddr {
        if ip == self.primary.ip() { self.alternate.ip() } else { self.primary.ip() }
    }

    fn outside(&self, server: SocketAddr) -> SocketAddr {
        let [primary, alternate] = self.advertised;
        SocketAddr::new(if server.ip() == self.primary.ip() { primary } else { alternate }, server.port())
    }
}
