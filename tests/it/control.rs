//! The socket in the data folder, through which commands ask the running server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use castway::config::Settings;
use serde_json::{Value, json};

use super::relay::EVENT_TIMEOUT;
use super::support::{Server, castway, is_root};

/// A connection of a command.
struct Command(BufReader<UnixStream>);

impl Command {
    fn connect(data_dir: &Path) -> Self {
        let stream = UnixStream::connect(data_dir.join("castway.sock")).unwrap();
        stream.set_read_timeout(Some(EVENT_TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_default()
    }

    fn ask(&mut self, question: &str) -> Value {
        self.0.get_mut().write_all(format!("{question}\n").as_bytes()).unwrap();
        self.answer()
    }

    fn error(&mut self, question: &str) -> String {
        self.ask(question)["error"].as_str().unwrap_or_default().to_owned()
    }
}

async fn server() -> Server {
    Server::start(Settings::default()).await
}

/// The socket blocks, so it is used outside the runtime's threads.
async fn with_commands(server: &Server, test: impl FnOnce(&Path) + Send + 'static) {
    let folder = server.folder.as_ref().unwrap().path().to_owned();
    tokio::task::spawn_blocking(move || test(&folder)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_facts_and_credentials() {
    let server = server().await;
    let (turn, http) = (server.turn, server.http);
    with_commands(&server, move |folder| {
        let found = folder.join("castway.sock").symlink_metadata().unwrap();
        assert_eq!(found.mode() & 0o777, 0o600);
        let mut command = Command::connect(folder);
        let facts = command.ask(r#"{"ask": "facts"}"#);
        assert_eq!(
            (&facts["pid"], &facts["secrets_variable"]),
            (&json!(std::process::id()), &json!("CASTWAY_STATIC_AUTH_SECRET"))
        );
        let listeners = facts["listeners"].as_array().unwrap();
        for listener in [
            json!({ "protocol": "udp", "address": turn, "serves": "turn" }),
            json!({ "protocol": "tcp", "address": turn, "serves": "turn" }),
            json!({ "protocol": "tcp", "address": http, "serves": "http" }),
        ] {
            assert!(listeners.contains(&listener), "{listener} in {facts}");
        }
        assert!(!facts.to_string().contains("north"), "the secret: {facts}");
        let credentials = command.ask(r#"{"ask": "credentials", "name": "tester"}"#);
        assert!(credentials["username"].as_str().unwrap().ends_with(":tester"), "{credentials}");
        assert_eq!(credentials["ttl"], 300);
    })
    .await;
    assert!(!server.stop().await.path().join("castway.sock").exists(), "it goes with the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_none_gets_a_sentence() {
    let server = server().await;
    with_commands(&server, |folder| {
        let mut command = Command::connect(folder);
        assert!(command.error("what?").contains("the question is no JSON"));
        assert!(command.error("{}").contains("no \"ask\""));
        assert!(command.error(r#"{"ask": "weather"}"#).contains("does not know the question \"weather\"; it knows facts"));
        assert!(command.error(r#"{"ask": "credentials", "scope": "all"}"#).contains("no scope \"all\""));
        assert_eq!(command.ask(r#"{"ask": "facts"}"#)["pid"], std::process::id(), "the connection goes on");
        let mut command = Command::connect(folder);
        let long = vec![b' '; 64 * 1024 + 1];
        command.0.get_mut().write_all(&long).unwrap();
        assert!(command.answer()["error"].as_str().unwrap().contains("at most 65536 bytes"));
        assert_eq!(command.0.read(&mut [0]).unwrap_or(0), 0, "the connection has ended");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ninth_connection_is_refused_until_another_one_ends() {
    let server = server().await;
    with_commands(&server, |folder| {
        let mut eight: Vec<_> = (0..8).map(|_| Command::connect(folder)).collect();
        for command in &mut eight {
            assert!(command.ask(r#"{"ask": "facts"}"#)["pid"].is_number());
        }
        assert!(Command::connect(folder).answer()["error"].as_str().unwrap().contains("8 commands are connected"));
        eight.pop();
        let deadline = std::time::Instant::now() + EVENT_TIMEOUT;
        while !matches!(Command::connect(folder).ask(r#"{"ask": "facts"}"#)["pid"], Value::Number(_)) {
            assert!(std::time::Instant::now() < deadline, "the place of the closed connection stays taken");
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_nothing_is_closed() {
    let server = server().await;
    with_commands(&server, |folder| {
        let mut idle = Command::connect(folder);
        assert_eq!(idle.0.read(&mut [0]).unwrap(), 0);
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_refused_whatever_the_mode_of_the_file() {
    if !is_root() {
        return;
    }
    let server = server().await;
    with_commands(&server, |folder| {
        for (path, mode) in [(folder.to_owned(), 0o755), (folder.join("castway.sock"), 0o666)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut doctor = std::process::Command::new("setpriv");
        doctor.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(castway(folder).get_program());
        let doctor = super::support::clean(doctor, folder).args(["doctor", "--json"]).output().unwrap();
        let said = String::from_utf8_lossy(&doctor.stdout);
        assert!(said.contains("the user 4242 may not ask this server: only root and the user 0"), "{said}");
    })
    .await;
    server.stop().await;
}

/// A server of the real program on ports that are free, and what it was started with.
fn program(data: &Path, more: &[&str]) -> std::process::Command {
    let mut command = castway(data);
    let ports = ["--http-addr", "127.0.0.1:0", "--turn-addr", "127.0.0.1:0", "--external-ip", "127.0.0.1", "--no-tls"];
    command.args(ports).args(more);
    command
}

#[test]
fn a_second_server_with_the_same_folder_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = &folder.path().canonicalize().unwrap();
    // Its report comes once it serves.
    let started = || {
        let mut server = program(data, &["--realm", "first"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it has started");
        server
    };
    let mut first = started();
    let refused = program(data, &["--realm", "other"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let added = castway(data).args(["user", "add", "alice", "--generate"]).output().unwrap();
    let listed = castway(data).args(["user", "list", "--json"]).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("a server (process {}) runs with the data folder {}", first.id(), data.display())), "{said}");
    assert!(said.contains("--data-dir or CASTWAY_DATA_DIR"), "{said}");
    assert!(added.status.success());
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["realm"], "first", "the settings are those of the server that runs");
    // A killed server has left its files, and no lock.
    assert!(data.join("castway.lock").exists() && data.join("castway.sock").exists());
    let mut next = started();
    next.kill().unwrap();
    next.wait().unwrap();
}

/// A server once runs as root, with data that belong to the user of the service.
#[test]
fn a_start_as_root_leaves_the_folder_to_its_user() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = &folder.path().canonicalize().unwrap().join("data");
    let (lock, database) = (data.join("castway.lock"), data.join("castway.db"));
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(data).unwrap();
    chown(data, Some(4242), Some(4242)).unwrap();
    let as_user = || {
        let own = program(data, &[]);
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(own.get_program());
        let mut command = super::support::clean(command, data);
        command.args(own.get_args());
        command
    };
    let runs = |mut command: std::process::Command| {
        let mut server = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let process = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        server.wait().unwrap();
        assert!(!line.is_empty(), "it has started");
    };
    runs(as_user());
    std::fs::remove_file(&lock).unwrap();
    runs(program(data, &[]));
    assert_eq!(std::fs::metadata(&lock).unwrap().uid(), 4242);
    assert_eq!(std::fs::metadata(&database).unwrap().uid(), 4242);
    runs(as_user());
    // What can be read alone is locked as well.
    chown(&lock, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o644)).unwrap();
    runs(as_user());
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = as_user().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("castway.lock can't be opened: it belongs to the user 0, and castway runs as the user 4242"), "{said}");
    assert!(said.contains(&format!("Run `chown 4242 {}` as root", lock.display())), "{said}");
}
