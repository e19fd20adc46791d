//! Error responses to requests that are not authenticated (RFC 8489 §9.2.4). They are short, rare and unsigned, and leave no
//! state behind.

use std::time::Instant;

use super::request::Refusal;
use crate::turn::codec::attribute;
use crate::turn::codec::error_code::ErrorCode;
use crate::turn::codec::header::{Class, HEADER_LEN};
use crate::turn::codec::message::StunMessage;
use crate::turn::codec::writer::MessageWriter;
use crate::turn::engine::Engine;
use crate::turn::five_tuple::FiveTuple;
use crate::turn::nonce::{MAX_NONCE_LEN, SecurityFeatures};
use crate::turn::refusal::RefusalReason;
use crate::turn::settings::PasswordAlgorithms;
use crate::turn::verdict::{Answer, DropReason, Verdict};

/// A challenge may have this many tenths of the bytes of the request it answers.
const MAX_AMPLIFICATION_TENTHS: usize = 22;
/// The bytes of an attribute in front of its value.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// ERROR-CODE without a reason phrase.
const ERROR_CODE_LEN: usize = 8;

impl Engine {
    pub(super) fn refuse_unauthenticated(
        &mut self,
        to: FiveTuple,
        message: &StunMessage<'_>,
        refusal: Refusal,
        now: Instant,
    ) -> Verdict {
        let reason = match refusal {
            Refusal::Error(reason) => reason,
            Refusal::Silent(reason) => return Verdict::Drop(reason),
            Refusal::UnknownAttributes(_) | Refusal::AlternateServer(_) => RefusalReason::BadRequest,
            Refusal::OtherShard(shard) => return Verdict::ToShard { shard },
        };
        if !to.transport.is_stream() && !self.shared.may_challenge(to.client, now) {
            return Verdict::Drop(DropReason::RateLimited);
        }
        // Whatever is reported comes after the check of the nonce, so the sender has proved its address.
        self.report_refusal(to, message, reason);
        let code = reason.code();
        let mut bytes = std::mem::take(&mut self.reply);
        let method = message.method();
        let mut writer = MessageWriter::new(&mut bytes, Class::Error, method, &message.transaction());
        writer.error(code);
        if matches!(code, ErrorCode::Unauthenticated | ErrorCode::StaleNonce) {
            self.write_challenge(&mut writer, &to, message, now);
        }
        if message.fingerprint() {
            writer.fingerprint();
        }
        self.reply = bytes;
        let named_a_user = message.has(attribute::USERNAME) || message.has(attribute::USERHASH);
        let failed_authentication = code == ErrorCode::Unauthenticated && named_a_user;
        Verdict::Reply { to, answer: Answer::Error { method, code, failed_authentication } }
    }

    /// Writes REALM, NONCE and perhaps PASSWORD-ALGORITHMS (RFC 8489 §9.2.4). Whether the algorithms are offered depends on the
    /// size of the request: see [`PasswordAlgorithms::Both`].
    fn write_challenge(&self, writer: &mut MessageWriter<'_>, to: &FiveTuple, message: &StunMessage<'_>, now: Instant) {
        let realm = self.settings.realm.as_bytes();
        let mut features = SecurityFeatures::default();
        if self.settings.password_algorithms != PasswordAlgorithms::Md5 {
            let values = [realm.len(), MAX_NONCE_LEN, self.offered_algorithms().len()];
            let attributes: usize = values.iter().map(|len| ATTRIBUTE_HEADER_LEN + len.next_multiple_of(4)).sum();
            let with_offer = HEADER_LEN + ERROR_CODE_LEN + attributes;
            let small = with_offer * 10 <= message.bytes().len() * MAX_AMPLIFICATION_TENTHS;
            let always = self.settings.password_algorithms == PasswordAlgorithms::Sha256;
            features.password_algorithms = always || small || to.transport.is_stream();
            features.username_anonymity = features.password_algorithms && self.settings.username_anonymity;
        }
        let mut nonce = [0; MAX_NONCE_LEN];
        let len = self.shared.nonces.issue(to.client, features, self.shared.seconds(now), &mut nonce);
        writer.attribute(attribute::REALM, realm).attribute(attribute::NONCE, &nonce[..len]);
        if features.password_algorithms {
            writer.attribute(attribute::PASSWORD_ALGORITHMS, self.offered_algorithms());
        }
    }
}
