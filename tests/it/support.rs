//! What several capabilities' tests need.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use castway::users::credentials::issue;
use stun::attributes::AttrType;
use stun::message::{Message, Setter};
use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};

/// The real program on the database in `data_dir`, without the settings and the `.env` of whoever runs the tests.
pub(crate) fn castway(data_dir: &Path) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_castway")), data_dir)
}

pub(crate) fn clean(mut command: Command, data_dir: &Path) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASTWAY_")) {
        command.env_remove(name);
    }
    command.env("CASTWAY_DATA_DIR", data_dir).current_dir("/").stdin(Stdio::null());
    command
}

/// Runs it to its end and asserts that it went well.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Any attribute.
pub(crate) struct Attribute(pub(crate) AttrType, pub(crate) Vec<u8>);

impl Setter for Attribute {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

/// The `turn` crate's client, listening, with credentials of `alice` signed by the secret `north`.
pub(crate) async fn rest_client(relay: SocketAddr) -> Client {
    let issued = issue("north", "alice", Duration::from_secs(60), SystemTime::now());
    let client = Client::new(ClientConfig {
        stun_serv_addr: relay.to_string(),
        turn_serv_addr: relay.to_string(),
        username: issued.username,
        password: issued.password.expose().clone(),
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()),
        vnet: None,
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    client
}
