//! The command line beside a server: which data it uses, and that it agrees with the server about realm and secrets.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use castway::config::Settings;
use castway::turn::Scope;
use castway::users::Store;
use castway::users::credentials::verify;
use serde_json::Value;

use crate::relay::{EVENT_TIMEOUT, client, own_ip, until};
use crate::support::{Server, castway, clean, ok, stderr};

const NOBODY: u32 = 65_534;

/// A running program, which is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts and stops a server with these settings, so that it makes its database.
async fn started_with(data_dir: &Path, settings: &[(&str, &str)]) {
    let now = SystemTime::now();
    let store = Store::open(data_dir, now).await.unwrap();
    let settings = Settings::from_variables(settings.iter().copied());
    store.record(&settings.server_record("192.0.2.7:5000".parse().unwrap(), Some(444), data_dir), now).await.unwrap();
    store.close().await;
}

fn list(data_dir: &Path) -> Value {
    serde_json::from_str(&ok(castway(data_dir).args(["user", "list", "--json"]))).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn only_the_server_makes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let commands: [&[&str]; 5] = [
        &["user", "add", "alice", "--generate"],
        &["user", "list"],
        &["credentials", "alice", "--turn-access", "open"],
        &["secret", "list"],
        &["secret", "rotate"],
    ];
    let refused = |data: &Path| {
        for args in commands {
            let output = castway(data).args(args).output().unwrap();
            let said = stderr(&output);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}: {said}");
            assert!(said.contains(&format!("there is no castway database in {},", data.display())), "{said}");
            assert!(said.contains("castway run") && said.contains("--data-dir or CASTWAY_DATA_DIR"), "{said}");
        }
    };
    refused(&folder.join("data"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is made");
    // A server that is killed at its very start leaves such a file.
    fs::write(folder.join("castway.db"), "").unwrap();
    refused(&folder);
    assert_eq!(fs::metadata(folder.join("castway.db")).unwrap().len(), 0);
    // This database belongs to another program.
    let other = folder.join("other");
    fs::create_dir(&other).unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(other.join("castway.db")).create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("CREATE TABLE films (name TEXT)").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    refused(&other);
}

/// The commands run in a working folder without any setting.
#[tokio::test]
async fn each_command_says_which_data_and_settings_it_uses() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    started_with(&here.join("data"), &[]).await;
    let said = |args: &[&str]| {
        let output = castway(Path::new("")).env_remove("CASTWAY_DATA_DIR").args(args).current_dir(&here).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let data = here.join("data");
    let using = |settings: &str| format!("castway: using the data folder {} and the settings of {settings}\n", data.display());
    assert_eq!(said(&["user", "list"]), using("the server's last start"));
    assert_eq!(said(&["user", "list", "--grace", "7"]), using("the command line and the server's last start"));
    fs::write(here.join(".env"), "CASTWAY_GRACE=7\n").unwrap();
    let file = here.join(".env");
    assert_eq!(said(&["secret", "list", "--json"]), using(&format!("{} and the server's last start", file.display())));
    let data = data.to_str().unwrap();
    assert_eq!(said(&["secret", "rotate", "--data-dir", data]).lines().count(), 1);
}

#[tokio::test]
async fn realm_secrets_and_addresses_are_the_servers() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let settings = [
        ("CASTWAY_REALM", "tv"),
        ("CASTWAY_STATIC_AUTH_SECRET", "north,south"),
        ("CASTWAY_TTL", "600"),
        ("CASTWAY_EXTERNAL_IP", "192.0.2.9"),
    ];
    started_with(data, &settings).await;
    ok(castway(data).args(["user", "add", "alice", "--generate"]));
    assert_eq!(list(data)[0]["realm"], "tv");
    assert_eq!(ok(castway(data).args(["user", "list"])).matches("the password was set for realm").count(), 0);

    let issued = json(&castway(data).args(["credentials", "alice"]).output().unwrap());
    assert!(
        verify("north", Scope::Anyone, issued["username"].as_str().unwrap(), issued["password"].as_str().unwrap()),
        "{issued}"
    );
    assert_eq!(issued["ttl"], 600);
    let uris = ["turn:192.0.2.9:5000?transport=udp", "turn:192.0.2.9:5000?transport=tcp"];
    assert_eq!(issued["uris"], serde_json::json!(uris));
    assert!(ok(castway(data).args(["secret", "list"])).contains("there are 2"));
    assert_eq!(castway(data).args(["secret", "rotate"]).output().unwrap().status.code(), Some(1));

    // The next start has no static secret, so the server makes its own.
    started_with(data, &[]).await;
    let issued = json(&castway(data).args(["credentials", "alice"]).output().unwrap());
    assert!(!verify("north", Scope::Anyone, issued["username"].as_str().unwrap(), issued["password"].as_str().unwrap()));
    ok(castway(data).args(["secret", "rotate"]));
    assert!(ok(castway(data).args(["user", "list"])).contains("the password was set for realm \"tv\""));
}

/// The ports are known to the server only.
#[tokio::test(flavor = "multi_thread")]
async fn the_addresses_in_credentials_are_those_of_turn() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["cast.example.org".to_owned()]).unwrap();
    let [cert, key] = [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())].map(|(name, pem)| {
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        Some(path.to_str().unwrap().to_owned())
    });
    let text = |text: &str| Some(text.to_owned());
    let settings = Settings {
        cert,
        pkey: key,
        https_addr: text("127.0.0.1:0"),
        turns_addr: text("127.0.0.1:0"),
        external_ip: text("192.0.2.9"),
        turn_access: text("key"),
        api_keys: text("hunter2"),
        ..Settings::default()
    };
    let server = Server::start_in(folder, settings).await;
    let data = server.folder.as_ref().unwrap().path();
    ok(castway(data).args(["user", "add", "alice", "--generate"]));
    let turn = || answer(&server.http.to_string(), "alice&key=hunter2");
    until(|| turn().is_some()).await;
    let issued = json(&castway(data).args(["credentials", "alice"]).output().unwrap());
    assert_eq!(issued["uris"], turn().unwrap()["uris"]);
    assert!(issued["uris"][0].as_str().unwrap().contains(&format!(":{}?", server.turn.port())), "{issued}");
    let recorded = Store::open(data, SystemTime::now()).await.unwrap().recorded().await.unwrap().unwrap();
    assert!(!recorded.expose().contains("hunter2"));
}

#[tokio::test]
async fn a_variable_that_contradicts_the_server_is_refused_and_a_flag_insists() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    started_with(data, &[("CASTWAY_REALM", "tv"), ("CASTWAY_STATIC_AUTH_SECRET", "north"), ("CASTWAY_TTL", "600")]).await;
    ok(castway(data).args(["user", "add", "alice", "--generate"]));
    let add: &[&str] = &["user", "add", "bob", "--generate"];
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (add, "CASTWAY_REALM", "home", "last started with (\"tv\")"),
        (&["user", "passwd", "alice", "--generate"], "CASTWAY_REALM", "home", "--realm insists on it"),
        (&["credentials", "alice"], "CASTWAY_STATIC_AUTH_SECRET", "south", "verifies nothing that other secrets sign"),
        (&["secret", "list"], "CASTWAY_STATIC_AUTH_SECRET", "south", "restart the server with it"),
    ];
    for (args, name, value, text) in cases {
        let output = castway(data).args(args).env(name, value).output().unwrap();
        let said = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{args:?}: {said}");
        assert!(said.contains(&format!("castway: {name} differs from what the server of")) && said.contains(text), "{said}");
        assert!(!said.contains("north") && !said.contains("south"), "{said}");
    }
    assert_eq!(list(data)[0]["realm"], "tv");
    // The server decides the lifetime of credentials; --ttl can only shorten it.
    for (wish, ttl) in [(&[][..], 600), (&["--ttl", "30"], 30), (&["--ttl", "1200"], 600)] {
        let output = castway(data).args(["credentials", "alice"]).args(wish).env("CASTWAY_TTL", "1200").output().unwrap();
        assert_eq!(json(&output)["ttl"], ttl, "{wish:?}");
    }
    // A setting that this command does not use may differ.
    let output = castway(data).args(["user", "list"]).env("CASTWAY_REALM", "home").output().unwrap();
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("set it again"), "{output:?}");

    let output = castway(data).args(add).args(["--realm", "home"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: --realm differs"), "{}", stderr(&output));
    assert_eq!(list(data)[1]["realm"], "home");
    let output = castway(data).args(["credentials", "alice", "--static-auth-secret", "south"]).output().unwrap();
    let issued = json(&output);
    assert!(verify("south", Scope::Anyone, issued["username"].as_str().unwrap(), issued["password"].as_str().unwrap()));
    assert!(stderr(&output).contains("warning: --static-auth-secret differs"), "{}", stderr(&output));
}

#[tokio::test]
async fn before_a_server_has_said_its_settings_a_command_says_so() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path(), SystemTime::now()).await.unwrap().close().await;
    let output = castway(folder.path()).args(["user", "add", "alice", "--generate", "--realm", "tv"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("no server of this version has run with this folder yet"), "{}", stderr(&output));
    assert_eq!(list(folder.path())[0]["realm"], "tv");
}

#[tokio::test]
async fn a_running_server_logs_users_of_another_realm_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (ip, data) = (own_ip(), folder.path().join("data"));
    let mut server = castway(&data);
    server.env("CASTWAY_HTTP_ADDR", format!("{ip}:8080")).env("CASTWAY_TURN_ADDR", format!("{ip}:3478"));
    server.env("CASTWAY_REALM", "tv").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let _running = Running(server.spawn().unwrap());
    let health = || castway(&data).args(["health", "--http-addr", &format!("{ip}:8080")]).output().unwrap();
    until(|| health().status.success()).await;

    let said = || fs::read_to_string(&log).unwrap();
    for name in ["alice", "bob", "carol"] {
        ok(castway(&data).args(["user", "add", name, "--generate", "--realm", "elsewhere"]));
    }
    let all = "3 users have passwords for another realm than this server's CASTWAY_REALM=tv (\"alice\", \"bob\", …)";
    until(|| said().contains(all)).await;
    ok(castway(&data).args(["user", "passwd", "bob", "--generate"]));
    ok(castway(&data).args(["user", "add", "dave", "--generate", "--realm", "elsewhere"]));
    until(|| said().contains("(\"alice\", \"carol\", …)")).await;
    assert_eq!(said().matches(all).count(), 1, "{}", said());
    assert!(said().contains("`castway user passwd NAME`"));
}

/// A machine whose /etc and /var/lib are folders of the test.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// `None` if this user lacks the necessary privileges.
    fn new() -> Option<Self> {
        let private = Command::new("unshare").args(["--mount", "mount", "--bind", "/tmp", "/mnt"]).output();
        if !private.is_ok_and(|output| output.status.success()) || rustix::process::geteuid().as_raw() != 0 {
            eprintln!("SKIPPED: only root can give a program other files in /etc");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["etc/castway", "lib/castway", "home"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_castway"), folder.path().join("castway")).unwrap();
        Some(Self { folder })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program as the user `uid` in the working folder `here`.
    fn castway(&self, uid: u32, here: &Path) -> Command {
        let mut command = clean(Command::new("unshare"), Path::new(""));
        command.env_remove("CASTWAY_DATA_DIR").env("PATH", std::env::var_os("PATH").unwrap()).args(["--mount", "sh", "-c"]);
        command.arg("mount --bind \"$0/etc\" /etc && mount --bind \"$0/lib\" /var/lib && cd \"$1\" && shift && exec \"$@\"");
        command.arg(self.folder.path()).arg(here);
        if uid != 0 {
            let uid = uid.to_string();
            command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"]);
        }
        command.arg(self.at("castway"));
        command
    }
}

/// The folders and users are those of `deploy/castway.service`.
#[tokio::test]
async fn the_command_line_finds_the_service_and_leaves_no_file_of_roots_behind() {
    let Some(machine) = Machine::new() else { return };
    let ip = own_ip();
    let (http, turn) = (format!("{ip}:8080"), format!("{ip}:3478"));
    let settings = [
        ("CASTWAY_HTTP_ADDR", http.as_str()),
        ("CASTWAY_TURN_ADDR", &turn),
        ("CASTWAY_RELAY_IP", "127.0.0.1"),
        ("CASTWAY_EXTERNAL_IP", "127.0.0.1"),
        ("CASTWAY_REALM", "living room"),
        ("CASTWAY_STATIC_AUTH_SECRET", "north#1"),
    ];
    let lines = settings.iter().map(|(name, value)| format!("{name}='{value}'\n"));
    let file = machine.at("etc/castway/castway.env");
    fs::write(&file, lines.collect::<String>()).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let data = machine.at("lib/castway");
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    let home = machine.at("home");
    let root = |args: &[&str]| machine.castway(0, &home).args(args).output().unwrap();

    let before = root(&["user", "add", "alice", "--generate"]);
    assert!(stderr(&before).contains("there is no castway database in /var/lib/castway,"), "{}", stderr(&before));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);

    let mut service = machine.castway(NOBODY, Path::new("/var/lib/castway"));
    service.env("CASTWAY_DATA_DIR", "/var/lib/castway").envs(settings).stdout(Stdio::null()).stderr(Stdio::null());
    let _service = Running(service.spawn().unwrap());
    until(|| root(&["health"]).status.success()).await;
    assert_eq!(stderr(&root(&["health"])), "castway: using the settings of /etc/castway/castway.env\n");

    let added = root(&["user", "add", "alice", "--generate"]);
    let using = "castway: using the data folder /var/lib/castway and the settings of /etc/castway/castway.env and the server's \
                 last start\n";
    assert_eq!(stderr(&added), using);
    let said = String::from_utf8(added.stdout).unwrap();
    let password = said.lines().find_map(|line| line.strip_prefix("Password: ")).unwrap();
    assert_eq!(json(&root(&["user", "list", "--json"]))[0]["realm"], "living room");
    let issued = json(&root(&["credentials", "alice"]));
    let (username, signed) = (issued["username"].as_str().unwrap(), issued["password"].as_str().unwrap());
    assert!(verify("north#1", Scope::Anyone, username, signed));
    let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    for name in ["castway.db", "castway.db-wal", "castway.db-shm"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    for name in &names {
        assert_eq!(fs::metadata(data.join(name)).unwrap().uid(), NOBODY, "{name}");
    }

    // The relay accepts both credentials, and the REST API issues the same URLs.
    let relay = turn.parse().unwrap();
    until(|| answer(&http, "alice").is_some()).await;
    assert_eq!(answer(&http, "alice").unwrap()["uris"], issued["uris"]);
    assert!(client(relay, username, signed).await.allocate().await.is_ok());
    // The server adopts the new user within a second.
    let known = tokio::time::timeout(EVENT_TIMEOUT, async {
        while client(relay, "alice", password).await.allocate().await.is_err() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    known.await.expect("the relay accepts the password");

    // A user who may not read the service's settings gets a message, and can name the data folder instead.
    let other = |args: &[&str]| machine.castway(NOBODY, &home).args(args).output().unwrap();
    let output = other(&["user", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("/etc/castway/castway.env") && said.contains("can't be read") && said.contains("sudo"), "{said}");
    assert_eq!(json(&other(&["user", "list", "--json", "--data-dir", "/var/lib/castway"]))[0]["realm"], "living room");
    let output = machine.castway(NOBODY - 1, &home).args(["user", "list", "--data-dir", "/var/lib/castway"]).output().unwrap();
    assert!(stderr(&output).contains("can't be used") && stderr(&output).contains("sudo"), "{}", stderr(&output));

    // The settings have been edited, but the server has not been restarted.
    fs::write(&file, "CASTWAY_REALM=attic\n").unwrap();
    let output = root(&["user", "passwd", "alice", "--generate"]);
    let warning =
        "castway: warning: CASTWAY_REALM in /etc/castway/castway.env differs from what the server was last started with";
    assert!(output.status.success() && stderr(&output).contains(warning), "{}", stderr(&output));
    assert_eq!(json(&root(&["user", "list", "--json"]))[0]["realm"], "living room");

    // Now there are two databases.
    started_with(&home.join("data"), &[]).await;
    let output = root(&["user", "add", "bob", "--generate"]);
    assert_eq!(output.status.code(), Some(64));
    let own = home.canonicalize().unwrap().join("data");
    assert!(stderr(&output).contains(own.to_str().unwrap()) && stderr(&output).contains("/var/lib/castway"), "{output:?}");
    assert_eq!(json(&root(&["user", "list", "--json", "--data-dir", "data"])), serde_json::json!([]));
}

/// The answer of `GET /turn` to `user`, if the user gets credentials.
fn answer(http: &str, user: &str) -> Option<Value> {
    use std::io::{Read as _, Write as _};

    let mut stream = std::net::TcpStream::connect(http).ok()?;
    write!(stream, "GET /turn?username={user} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.strip_prefix("HTTP/1.1 200")?.split_once("\r\n\r\n")?.1).ok()
}

/// A container's data as the host sees it: below a folder that the data's owner can't enter there.
#[tokio::test]
async fn root_works_on_data_of_another_user_as_that_user() {
    let folder = tempfile::tempdir().unwrap();
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        eprintln!("SKIPPED: only root has data of another user");
        return;
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let data = folder.path().join("data");
    started_with(&data, &[]).await;
    let database = data.join("castway.db");
    let give = |path: &Path, to: u32| chown(path, Some(to), Some(to)).unwrap();
    give(&data, NOBODY);
    give(&database, NOBODY);
    // An open connection keeps the journal on disk.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&database).read_only(true);
    let mut reader = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("SELECT * FROM users").fetch_all(&mut reader).await.unwrap();
    ok(castway(&data).args(["user", "add", "alice", "--generate"]));
    for entry in fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{:?}", entry.file_name());
    }
    sqlx::Connection::close(reader).await.unwrap();
    // A file of root's would stay closed to the server, so a command must report it.
    give(&database, 0);
    let output = castway(&data).args(["user", "add", "bob", "--generate"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("castway.db can't be"), "{}", stderr(&output));
}
