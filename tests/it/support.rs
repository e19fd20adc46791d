//! The parts that several files of tests need: the program, the whole server, and clients.
//!
//! A tour of the test kit:
//! - `support`: [`castway`] runs the real program, [`Server`] the whole server in this process, [`rest_client`] a TURN client
//!   with credentials that a secret has signed.
//! - `relay`: the relay alone. `start` starts one with `config()` or `allowing(networks)`, for which `Users` knows the user `tv`;
//!   `allocated` gives it a client of the crate `turn`; `asked`, `signed` and `nonce` make STUN messages by hand. `until` waits
//!   for a condition, `received` for a datagram; `is_silent` tells whether no datagram comes.
//! - `relay_streams`: `Connection`, a TURN client over TCP or TLS.
//! - `relay_shards`: `Stranger`, a client with credentials of scope clients over UDP or TCP.
//! - `layers`: reads the imports of all sources, for the table in ARCHITECTURE.md.
//!
//! A test waits for a condition and never for a fixed time. [`EVENT_TIMEOUT`](super::relay::EVENT_TIMEOUT) only bounds how long a
//! failure takes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use castway::app::App;
use castway::config::{AcmeConfig, Config, Settings};
use castway::tls::acme_certificate_file;
use castway::turn::Scope;
use castway::users::credentials::issue;
use stun::attributes::AttrType;
use stun::message::{Message, Setter};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use turn::client::{Client, ClientConfig};

/// The real program with the database in `data_dir`, without settings from the environment or from a `.env` file.
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

/// Runs the program to its end, and asserts that it succeeds.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the tests run as root, who can become other users.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Keeps a certificate in the data folder, as one for `name` that came from the authority with this directory.
pub(crate) fn keep_certificate(data_dir: &Path, name: &str, directory: &str, pem: &str) {
    let authority = AcmeConfig { domains: vec![name.to_owned()], email: None, directory: directory.parse().unwrap(), ca: None };
    let file = data_dir.join(acme_certificate_file(&authority));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, pem).unwrap();
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

/// A listening client of the crate `turn` with credentials of `alice`, signed by the secret `north`.
pub(crate) async fn rest_client(relay: SocketAddr) -> Client {
    let issued = issue("north", Scope::Anyone, "alice", Duration::from_secs(600), SystemTime::now());
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

/// The whole server in this process, on free loopback ports and with a folder of its own.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) more_http: Vec<SocketAddr>,
    pub(crate) https: SocketAddr,
    pub(crate) turns: SocketAddr,
    pub(crate) turn: SocketAddr,
    pub(crate) collider: SocketAddr,
    pub(crate) certificates: Option<castway::tls::Certificates>,
    pub(crate) greeting: String,
    pub(crate) self_test: castway::app::self_test::SelfTest,
    pub(crate) watch: castway::diagnosis::watch::Watch,
    pub(crate) folder: Option<tempfile::TempDir>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// Starts a server whose credentials are signed by the secret `north`.
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings).await
    }

    pub(crate) async fn start_in(folder: tempfile::TempDir, settings: Settings) -> Self {
        let text = |text: &str| Some(text.to_owned());
        let settings = Settings {
            data_dir: text(folder.path().to_str().unwrap()),
            http_addr: settings.http_addr.or(text("127.0.0.1:0")),
            turn_addr: settings.turn_addr.or(text("127.0.0.1:0")),
            relay_threads: text("2"),
            static_auth_secret: text("north"),
            ..settings
        };
        let app = App::build(Config::read(&settings).unwrap()).await.unwrap();
        let (http, certificates) = (app.http_addr(), app.certificates().cloned());
        let (https, turns) = (app.https_addr().unwrap_or(http), app.turns_addr().unwrap_or(http));
        let (turn, collider) = (app.turn_addr(), app.collider_addr().unwrap_or(http));
        let (more_http, greeting, self_test) = (app.more_http_addrs(), app.startup_report().to_string(), app.self_test().clone());
        let watch = app.watch().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run(async move {
            let _ = stopped.await;
        }));
        Self {
            http,
            more_http,
            https,
            turns,
            turn,
            collider,
            certificates,
            greeting,
            self_test,
            watch,
            folder: Some(folder),
            stop,
            running,
        }
    }

    /// Stops the server, and returns its folder.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        self.stop.send(()).unwrap();
        tokio::time::timeout(super::relay::EVENT_TIMEOUT, self.running).await.unwrap().unwrap().unwrap();
        self.folder.take().unwrap()
    }
}
