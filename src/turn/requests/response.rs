//! Responses to authenticated requests: each carries SOFTWARE and integrity (RFC 8489 §6.3.1.1, §9.2.4).

use super::request::{Refusal, Request};
use crate::turn::allocation::Signer;
use crate::turn::codec::attribute;
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::Class;
use crate::turn::codec::message::StunMessage;
use crate::turn::codec::writer::MessageWriter;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::FiveTuple;
use crate::turn::refusal::{RefusalReason, RefusedRequest};
use crate::turn::verdict::{Answer, Output, Verdict};

impl Engine {
    /// A success response without attributes of its own.
    pub(super) fn success(&mut self, request: &Request<'_>) -> Verdict {
        self.success_with(request, |_| {})
    }

    pub(super) fn success_with(&mut self, request: &Request<'_>, attributes: impl FnOnce(&mut MessageWriter<'_>)) -> Verdict {
        let mut bytes = std::mem::take(&mut self.reply);
        let method = request.message.method();
        attributes(&mut MessageWriter::new(&mut bytes, Class::Success, method, &request.message.transaction()));
        self.sign(&mut bytes, &request.requester.signer);
        self.reply = bytes;
        Verdict::Reply { to: request.from, answer: Answer::Success { method } }
    }

    /// Turns a refusal into its verdict, with an error response where it has one.
    pub(super) fn refuse(&mut self, to: FiveTuple, message: &StunMessage<'_>, signer: &Signer, refusal: Refusal) -> Verdict {
        let code = match refusal {
            Refusal::Silent(reason) => return Verdict::Drop(reason),
            Refusal::OtherShard(shard) => return Verdict::ToShard { shard },
            Refusal::Error(reason) => {
                self.report_refusal(to, message, reason);
                reason.code()
            }
            Refusal::UnknownAttributes(_) => ErrorCode::UnknownAttribute,
            Refusal::AlternateServer(_) => ErrorCode::TryAlternate,
        };
        let mut bytes = std::mem::take(&mut self.reply);
        let method = message.method();
        let mut writer = MessageWriter::new(&mut bytes, Class::Error, method, &message.transaction());
        writer.error(code);
        match refusal {
            Refusal::UnknownAttributes(unknown) => {
                writer.unknown_attributes(unknown.as_slice());
            }
            Refusal::AlternateServer(server) => {
                writer.address(attribute::ALTERNATE_SERVER, server);
            }
            Refusal::Silent(_) | Refusal::OtherShard(_) | Refusal::Error(_) => {}
        }
        self.sign(&mut bytes, signer);
        self.reply = bytes;
        Verdict::Reply { to, answer: Answer::Error { method, code, failed_authentication: false } }
    }

    /// Tells the shell of a refusal, if the operator wants to know it. The sender has proved its address.
    pub(super) fn report_refusal(&mut self, client: FiveTuple, message: &StunMessage<'_>, reason: RefusalReason) {
        if reason.is_reported() {
            let username = self.username(message);
            self.outputs.push_back(Output::Refused(Box::new(RefusedRequest { client, username, reason })));
        }
    }

    /// The username that a request names; empty for a hash that is nobody's.
    fn username(&self, message: &StunMessage<'_>) -> Box<str> {
        match message.find(attribute::USERNAME) {
            Some(name) => String::from_utf8_lossy(name).into(),
            None => self.name_of_hash(message.find(attribute::USERHASH)).unwrap_or_default().into(),
        }
    }

    /// Appends the end of a response: SOFTWARE, integrity, and FINGERPRINT where the client uses it.
    pub(in crate::turn) fn sign(&self, bytes: &mut Vec<u8>, signer: &Signer) {
        let mut writer = MessageWriter::resume(bytes);
        if let Some(software) = &self.settings.software {
            writer.attribute(attribute::SOFTWARE, software.as_bytes());
        }
        writer.integrity(signer.integrity, &signer.key);
        if signer.fingerprint {
            writer.fingerprint();
        }
    }
}
