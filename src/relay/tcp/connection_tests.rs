//! TLS records of a connection, as a client receives them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::relay::tcp::connection::{MAX_ENCRYPTED_BYTES, MAX_RECORD_BYTES, NonBlockingConnection};

/// The type of a record of application data, which is also that of an encrypted handshake message (RFC 8446 §5.2).
const APPLICATION_DATA: u8 = 23;
const RECORD_HEADER_BYTES: usize = 5;

/// A client after its handshake with a [`NonBlockingConnection`].
struct Client {
    tcp: TcpStream,
    tls: ClientConnection,
}

fn connected(alpn: &[&str]) -> (NonBlockingConnection, Client) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let protocols: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let mut server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], private).unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = protocols;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while tls.is_handshaking() || server.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut tcp).unwrap();
        }
        if server.is_handshaking() {
            server.read_tls(&mut accepted).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut accepted).unwrap();
        }
        if tls.is_handshaking() {
            tls.read_tls(&mut tcp).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    accepted.set_nonblocking(true).unwrap();
    (NonBlockingConnection::tls(accepted, server), Client { tcp, tls })
}

impl Client {
    /// Reads until `bytes` of plaintext have come. Returns the plaintext of each record; those of the handshake have none.
    fn records(&mut self, bytes: usize) -> Vec<Vec<u8>> {
        let mut records: Vec<Vec<u8>> = Vec::new();
        while records.iter().map(Vec::len).sum::<usize>() < bytes {
            let mut record = vec![0; RECORD_HEADER_BYTES];
            self.tcp.read_exact(&mut record).unwrap();
            assert_eq!(record[0], APPLICATION_DATA);
            record.resize(RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
            self.tcp.read_exact(&mut record[RECORD_HEADER_BYTES..]).unwrap();
            let mut rest = &record[..];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
            }
            self.tls.process_new_packets().unwrap();
            let mut plaintext = vec![0; MAX_RECORD_BYTES];
            if let Ok(len) = self.tls.reader().read(&mut plaintext) {
                plaintext.truncate(len);
                records.push(plaintext);
            }
        }
        records
    }

    fn send(&mut self, bytes: &[u8]) {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(bytes).unwrap();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }
}

fn channel_data(len: usize, number: usize) -> Vec<u8> {
    let mut message = vec![0x40, 0, (len >> 8) as u8, len as u8];
    message.resize(4 + len, number as u8);
    message
}

#[test]
fn messages_share_records_of_16_kib_which_end_with_a_message() {
    let (mut connection, mut client) = connected(&[]);
    let messages: Vec<u8> = (0..40).flat_map(|number| channel_data(1200, number)).collect();
    assert_eq!(connection.write_messages(&messages).unwrap(), messages.len(), "in one call");
    assert!(!connection.has_unwritten_tls() && connection.encrypted_bytes() == 0);
    let records = client.records(messages.len());
    // 13 messages of 1,204 bytes are 15,652 bytes.
    assert_eq!(records.iter().map(Vec::len).collect::<Vec<_>>(), [13 * 1204, 13 * 1204, 13 * 1204, 1204]);
    assert!(records.concat() == messages);
}

#[test]
fn a_message_longer_than_a_record_is_split_and_the_next_one_follows() {
    let (mut connection, mut client) = connected(&[]);
    let messages = [channel_data(20_000, 1), channel_data(100, 2)].concat();
    assert_eq!(connection.write_messages(&messages).unwrap(), messages.len());
    assert!(client.records(messages.len()).concat() == messages);
}

/// coturn's clients offer HTTP/1.1, and take what one record holds for one message.
#[test]
fn a_client_with_alpn_gets_a_record_for_each_message() {
    let (mut connection, mut client) = connected(&["http/1.1", "stun.turn"]);
    let messages: Vec<Vec<u8>> = (0..40).map(|number| channel_data(1200, number)).collect();
    assert_eq!(connection.write_messages(&messages.concat()).unwrap(), 40 * 1204);
    assert!(client.records(40 * 1204) == messages);
}

#[test]
fn what_waits_encrypted_is_bounded_and_counted() {
    let (mut connection, client) = connected(&["http/1.1"]);
    // Short messages, whose records are mostly overhead.
    let messages: Vec<u8> = (0..60_000).flat_map(|number| channel_data(4, number)).collect();
    let mut written = 0;
    // The client does not read.
    let mut refused = loop {
        match connection.write_messages(&messages[written % messages.len()..]) {
            Ok(len) => written += len,
            Err(error) => break error.kind(),
        }
        assert!(connection.encrypted_bytes() <= MAX_ENCRYPTED_BYTES + MAX_RECORD_BYTES);
    };
    assert_eq!(refused, ErrorKind::WouldBlock);
    assert!(connection.has_unwritten_tls() && connection.encrypted_bytes() > 0);
    refused = connection.write_messages(&messages).unwrap_err().kind();
    assert_eq!(refused, ErrorKind::WouldBlock, "nothing more is encrypted");
    drop(client);
}

#[test]
fn one_read_takes_many_messages_and_the_rest_follows() {
    let (mut connection, mut client) = connected(&[]);
    // Records of 16 KiB, after the reads of which an incomplete record is kept.
    let sent: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
    client.send(&sent);
    let (mut buffer, mut received, mut reads) = (vec![0; 64 * 1024], Vec::new(), 0);
    while received.len() < sent.len() {
        match connection.read(&mut buffer) {
            Ok(len) => {
                reads += 1;
                received.extend_from_slice(&buffer[..len]);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!(received == sent);
    assert!(reads <= 8, "{reads} reads");
    client.tls.send_close_notify();
    client.send(&[]);
    assert_eq!(read_ready(&mut connection, &mut buffer), 0);
    assert!(connection.has_ended());
}

/// Loopback delivers before `write` returns, but perhaps to a socket that is still locked.
fn read_ready(connection: &mut NonBlockingConnection, buffer: &mut [u8]) -> usize {
    loop {
        match connection.read(buffer) {
            Ok(len) => return len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}
