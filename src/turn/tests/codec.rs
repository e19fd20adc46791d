//! Requirements 1 and 2: the vectors of RFC 5769 and RFC 8489, and our codec against the crates `stun` and `turn`.

use proptest::prelude::*;
use stun::attributes::AttrType;
use stun::message::{Getter, Setter};
use turn::proto::chandata;

use super::super::codec::framing::{ChannelData, Framing, HEADROOM, StreamFrame, next_frame};
use super::*;

/// RFC 5769 §2.1.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1\
                       51263b36000600096576746a3a6836765920202000080014\
                       9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.2.
const IPV4_RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
                             000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 §2.3.
const IPV6_RESPONSE: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
                             00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
/// RFC 5769 §2.4.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000\
                         0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341\
                         0014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";
/// RFC 8489 appendix B.1 with erratum 6268.
const SHA256: &str = "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c678041\
                      7da0f24819415569e60b205c46e41407f1704001500296f624d61744a6f7332414141\
                      43662f2f3439396b39353464364f4c33346f4c394653547679363473410000000014000b6578616d706c652e6f726700\
                      001d000400020000001c0020b5c7bf005b6c52a21c51c5e892f819241362\
                      96cb927c43149309278cc6518e65";
const MATRIX: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// HMAC accepts any key, so the short-term password is used in place of a digest.
fn short_term(message: &StunMessage<'_>) -> bool {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"VOkJxbRl1RmTxUk/WvJxBt").unwrap();
    let offset = message.integrity().expect("MESSAGE-INTEGRITY");
    let mut covered = message.bytes()[..offset].to_vec();
    covered[2..4].copy_from_slice(&((offset + 24 - 20) as u16).to_be_bytes());
    mac.update(&covered);
    mac.finalize().into_bytes()[..] == message.bytes()[offset + 4..offset + 24]
}

#[test]
fn r01_rfc_5769_request_and_responses() {
    for vector in [REQUEST, IPV4_RESPONSE, IPV6_RESPONSE] {
        let bytes = hex(vector);
        let message = StunMessage::parse(&bytes).expect("a vector");
        assert!(message.fingerprint() && short_term(&message));
        assert_eq!(message.method(), Method::Binding);
    }
    let bytes = hex(REQUEST);
    let request = StunMessage::parse(&bytes).expect("a vector");
    assert_eq!(request.find(attribute::USERNAME), Some(&b"evtj:h6vY"[..]));
    assert_eq!(request.find(attribute::SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(request.unknown_attributes(|kind| kind == attribute::USERNAME).as_slice(), [0x0024]);
    for (vector, mapped) in [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        assert_eq!(Response(hex(vector)).addresses(attribute::XOR_MAPPED_ADDRESS), [addr(mapped)]);
    }
}

#[test]
fn r01_rfc_5769_long_term_request_is_read_and_written() {
    let bytes = hex(LONG_TERM);
    let message = StunMessage::parse(&bytes).expect("a vector");
    let key = LongTermKey::long_term(PasswordAlgorithm::Md5, MATRIX, "example.org", "TheMatrIX");
    assert!(IntegrityAlgorithm::Sha1.verify(&message, &key));
    let mut written = Vec::new();
    MessageWriter::new(&mut written, Class::Request, Method::Binding, &message.transaction())
        .attribute(attribute::USERNAME, MATRIX.as_bytes())
        .attribute(attribute::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .attribute(attribute::REALM, b"example.org")
        .integrity(IntegrityAlgorithm::Sha1, &key);
    assert_eq!(written, bytes);
    let prepared = stringprep::saslprep("The\u{AD}M\u{AA}tr\u{2168}").expect("RFC 5769 §2.4 has it so");
    assert_eq!(prepared, "TheMatrIX");
}

#[test]
fn r01_rfc_8489_sha256_request_is_read_and_written() {
    let bytes = hex(SHA256);
    let message = StunMessage::parse(&bytes).expect("a vector");
    let key = LongTermKey::long_term(PasswordAlgorithm::Sha256, MATRIX, "example.org", "TheMatrIX");
    assert_eq!(IntegrityAlgorithm::of(&message), Some(IntegrityAlgorithm::Sha256));
    assert!(IntegrityAlgorithm::Sha256.verify(&message, &key));
    assert_eq!(message.find(attribute::USERHASH), Some(&userhash(MATRIX, "example.org")[..]));
    let mut written = Vec::new();
    MessageWriter::new(&mut written, Class::Request, Method::Binding, &message.transaction())
        .attribute(attribute::USERHASH, &userhash(MATRIX, "example.org"))
        .attribute(attribute::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .attribute(attribute::REALM, b"example.org")
        .attribute(attribute::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
        .integrity(IntegrityAlgorithm::Sha256, &key);
    assert_eq!(written, bytes);
}

const METHODS: [Method; 7] = [
    Method::Binding,
    Method::Allocate,
    Method::Refresh,
    Method::Send,
    Method::Data,
    Method::CreatePermission,
    Method::ChannelBind,
];
const CLASSES: [Class; 4] = [Class::Request, Class::Indication, Class::Success, Class::Error];

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ]
}

/// Attributes that have no meaning for either codec.
fn plain_attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    prop::collection::vec((0x4000_u16..=0x7FFF, prop::collection::vec(any::<u8>(), 0..40)), 0..8)
}

proptest! {
    #[test]
    fn r02_the_parser_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = StunMessage::parse(&bytes);
        let _ = ChannelData::parse(&bytes);
        let _ = next_frame(&bytes);
        let mut dressed = bytes;
        if dressed.len() >= 20 {
            let len = (dressed.len() - 20) & !3;
            dressed.truncate(20 + len);
            dressed[0] &= 0x3F;
            dressed[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            dressed[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            if let Ok(message) = StunMessage::parse(&dressed) {
                let _ = message.unknown_attributes(|_| false);
                for integrity in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
                    let _ = integrity.verify(&message, &LongTermKey::Md5([0; 16]));
                }
                for (_, value) in message.attributes() {
                    let _ = attribute::xor_address(value, &message.transaction());
                }
            }
        }
    }

    #[test]
    fn what_we_write_the_stun_crate_reads(
        method in 0..METHODS.len(),
        class in 0..CLASSES.len(),
        id in any::<[u8; 12]>(),
        attributes in plain_attributes(),
        address in any_address(),
        password in "[a-z]{1,20}",
    ) {
        let key = LongTermKey::long_term(PasswordAlgorithm::Md5, "user", REALM, &password);
        let mut bytes = Vec::new();
        let mut writer = MessageWriter::new(&mut bytes, CLASSES[class], METHODS[method], &TransactionId(id));
        for (kind, value) in &attributes {
            writer.attribute(*kind, value);
        }
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, address).integrity(IntegrityAlgorithm::Sha1, &key).fingerprint();
        let mut message = stun::message::Message::new();
        message.unmarshal_binary(&bytes).unwrap();
        prop_assert_eq!(message.transaction_id.0, id);
        prop_assert_eq!(message.typ.value(), u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut mapped = stun::xoraddr::XorMappedAddress::default();
        mapped.get_from(&message).unwrap();
        prop_assert_eq!(SocketAddr::new(mapped.ip, mapped.port), address);
        for (kind, value) in &attributes {
            let first = attributes.iter().find(|(other, _)| other == kind).map(|(_, value)| value);
            prop_assert_eq!(Some(&message.get(AttrType(*kind)).unwrap()), first, "{:?}", value);
        }
        stun::fingerprint::FINGERPRINT.check(&message).unwrap();
        let integrity =
            stun::integrity::MessageIntegrity::new_long_term_integrity("user".to_owned(), REALM.to_owned(), password);
        integrity.check(&mut message).unwrap();
    }

    #[test]
    fn what_the_stun_crate_writes_we_read(
        id in any::<[u8; 12]>(),
        attributes in plain_attributes(),
        address in any_address(),
        password in "[a-z]{1,20}",
    ) {
        let mut message = stun::message::Message::new();
        message.typ = stun::message::BINDING_REQUEST;
        message.write_type();
        message.transaction_id.0 = id;
        message.write_header();
        for (kind, value) in &attributes {
            message.add(AttrType(*kind), value);
        }
        stun::xoraddr::XorMappedAddress { ip: address.ip(), port: address.port() }.add_to(&mut message).unwrap();
        stun::integrity::MessageIntegrity::new_long_term_integrity("user".to_owned(), REALM.to_owned(), password.clone())
            .add_to(&mut message)
            .unwrap();
        stun::fingerprint::FINGERPRINT.add_to(&mut message).unwrap();
        let read = StunMessage::parse(&message.raw).unwrap();
        prop_assert!(read.fingerprint());
        prop_assert_eq!(read.transaction().0, id);
        let found: Vec<(u16, Vec<u8>)> = read.attributes().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(&found[..attributes.len()], &attributes[..]);
        prop_assert_eq!(Response(message.raw.clone()).addresses(attribute::XOR_MAPPED_ADDRESS), vec![address]);
        prop_assert!(IntegrityAlgorithm::Sha1.verify(&read, &LongTermKey::long_term(PasswordAlgorithm::Md5, "user", REALM, &password)));
    }

    #[test]
    fn channel_data_agrees_with_the_turn_crate(
        number in 0x4000_u16..=0x4FFF,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let number_of = |channel| super::super::codec::framing::ChannelNumber::new(channel).unwrap();
        let mut ours = vec![0; HEADROOM];
        ours.extend(&payload);
        let framing = Framing::Channel(number_of(number));
        let header = framing.write_header(&mut ours[..HEADROOM], payload.len());
        ours.extend(std::iter::repeat_n(0, framing.padding(payload.len(), true)));
        let ours = &ours[HEADROOM - header..];
        let mut theirs = chandata::ChannelData {
            data: payload.clone(),
            number: turn::proto::channum::ChannelNumber(number),
            raw: Vec::new(),
        };
        theirs.encode();
        prop_assert_eq!(ours, &theirs.raw[..]);
        prop_assert_eq!(next_frame(ours), StreamFrame::Complete(ours.len()));
        let read = ChannelData::parse(&theirs.raw).unwrap();
        prop_assert_eq!(read.channel.number(), number);
        prop_assert_eq!(&theirs.raw[read.payload], &payload[..]);
    }

    #[test]
    fn data_indications_agree_with_the_turn_crate(
        peer in any_address(),
        id in any::<[u8; 12]>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let framing = Framing::Data { peer, transaction: TransactionId(id) };
        let mut ours = vec![0; HEADROOM];
        ours.extend(&payload);
        let header = framing.write_header(&mut ours[..HEADROOM], payload.len());
        ours.extend(std::iter::repeat_n(0, framing.padding(payload.len(), false)));
        let mut message = stun::message::Message::new();
        message.unmarshal_binary(&ours[HEADROOM - header..]).unwrap();
        let mut address = turn::proto::peeraddr::PeerAddress::default();
        address.get_from(&message).unwrap();
        let mut data = turn::proto::data::Data::default();
        data.get_from(&message).unwrap();
        prop_assert_eq!(SocketAddr::new(address.ip, address.port), peer);
        prop_assert_eq!(data.0, payload);
    }
}
