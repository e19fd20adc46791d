//! Users and secrets in SQLite: the command line writes, a running server follows, and no acknowledged change is lost.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use castway::config::{Config, CredentialsConfig, Settings};
use castway::turn::Scope;
use castway::turn::codec::integrity::PasswordAlgorithm;
use castway::users::{Directory, OpenError, Store};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::relay::until;
use crate::support::{castway, clean, ok, stderr};

fn config() -> CredentialsConfig {
    Config::read(&Settings::default()).unwrap().credentials
}

async fn open(data_dir: &Path) -> Result<Store, OpenError> {
    Store::open(data_dir, SystemTime::now()).await
}

/// Makes the database, as a server does at its first start.
async fn make(data_dir: &Path) {
    open(data_dir).await.unwrap().close().await;
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn raw(data_dir: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(data_dir.join("castway.db"))
}

/// Requirements 24 and 67.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_follows_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let directory = Directory::open(&store, &config()).await.unwrap();
    let follower = tokio::spawn(directory.clone().follow(store));
    let run = |args: &[&str]| ok(castway(folder.path()).args(args));

    run(&["user", "add", "alice", "--generate"]);
    until(|| directory.is_allowed("alice")).await;
    let issued = directory.issue("alice", Scope::Anyone, None, SystemTime::now());
    let login = |username: &str| directory.login(username, "castway", PasswordAlgorithm::Md5, SystemTime::now());
    let of_scope = |scope: Scope| {
        let keys = login(&issued.username).map(|login| login.keys).unwrap_or_default();
        keys.into_iter().filter(|(of, _)| *of == scope).collect::<Vec<_>>()
    };
    let keys = || of_scope(Scope::Anyone);
    assert_eq!(keys().len(), 1);
    let password = || login("alice").map(|login| login.keys);
    assert_eq!(password().unwrap().len(), 2, "as typed and prepared");

    run(&["user", "disable", "alice"]);
    until(|| directory.is_refused(Scope::Anyone, "alice")).await;
    assert!(keys().is_empty() && password().is_none());
    assert_eq!(of_scope(Scope::Clients).len(), 1, "a stranger who calls himself alice is not alice");
    run(&["user", "enable", "alice"]);
    until(|| keys().len() == 1).await;

    let before = password();
    run(&["user", "passwd", "alice", "--generate"]);
    until(|| password() != before).await;

    run(&["user", "scope", "alice", "clients"]);
    until(|| directory.is_refused(Scope::Anyone, "alice")).await;
    assert!(keys().is_empty() && !directory.is_refused(Scope::Clients, "alice"));
    assert_eq!(password().unwrap()[0].0, Scope::Clients);
    run(&["user", "scope", "alice", "anyone"]);
    until(|| directory.is_refused(Scope::Clients, "alice")).await;
    assert!(of_scope(Scope::Clients).is_empty() && !directory.is_refused(Scope::Anyone, "alice"));
    assert_eq!(password().unwrap()[0].0, Scope::Anyone);

    let first = keys();
    run(&["secret", "rotate"]);
    until(|| keys().len() == 2).await;
    assert_eq!(keys()[1..], first);
    run(&["secret", "remove", "1"]);
    until(|| keys().len() == 1).await;
    run(&["secret", "rotate", "--revoke-old"]);
    until(|| !keys().contains(&first[0])).await;

    run(&["user", "remove", "alice"]);
    until(|| keys().is_empty() && directory.is_refused(Scope::Anyone, "alice")).await;
    assert!(password().is_none());
    follower.abort();
}

/// Counts log lines of one kind.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(text).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Requirement 66: a database that another program has locked neither stalls nor changes anything.
#[tokio::test]
async fn a_locked_database_leaves_the_last_snapshot_in_force() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    ok(castway(folder.path()).args(["user", "add", "alice", "--generate"]));
    let store = open(folder.path()).await.unwrap();
    let directory = Directory::open(&store, &config()).await.unwrap();
    store.close().await;
    let mut holder = raw(folder.path()).pragma("locking_mode", "EXCLUSIVE").connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut holder).await.unwrap();

    let follower = tokio::spawn(directory.clone().follow(store));
    assert!(directory.is_fresh());
    until(|| log.count("the user database can't be read;") == 1).await;
    assert!(directory.is_allowed("alice"));
    until(|| !directory.is_fresh()).await;
    assert!(directory.is_allowed("alice"));
    assert_eq!(log.count("the user database can't be read;"), 1);

    sqlx::Connection::close(holder).await.unwrap();
    ok(castway(folder.path()).args(["user", "add", "bob", "--generate"]));
    until(|| directory.is_allowed("bob") && directory.is_fresh()).await;
    assert_eq!(log.count("the user database can be read again"), 1);
    follower.abort();
}

/// Requirement 64.
#[tokio::test]
async fn the_files_belong_to_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/data");
    let store = open(&folder).await.unwrap();
    store.rotate(false, SystemTime::now()).await.unwrap();
    assert_eq!(mode(&folder), 0o700);
    for name in ["castway.db", "castway.db-wal", "castway.db-shm"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    store.close().await;

    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.join("castway.db"), Permissions::from_mode(0o644)).unwrap();
    open(&folder).await.unwrap().close().await;
    assert_eq!(mode(&folder.join("castway.db")), 0o600);
    assert_eq!(mode(&folder), 0o755, "a folder that was there is its owner's");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    let mut connection = raw(folder.path()).connect().await.unwrap();
    let step =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, '', 1, x'', 0)";
    sqlx::query(step).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();

    assert!(matches!(open(folder.path()).await, Err(OpenError::Newer { version: 9999, .. })));
    let output = castway(folder.path()).args(["user", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("was last used by a newer castway"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("castway.db");
    fs::write(&path, "a shopping list, long enough to be mistaken for a page ".repeat(100)).unwrap();
    assert!(matches!(open(folder.path()).await, Err(OpenError::NotADatabase { .. })));
    assert!(fs::read_to_string(&path).unwrap().starts_with("a shopping list"));
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, "").unwrap();
    let error = open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::NotAFolder { .. }));
    assert!(error.to_string().contains("data is a file, and castway keeps its data in a folder"), "{error}");
}

#[tokio::test]
async fn a_lock_of_another_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    let mut holder = raw(folder.path()).pragma("locking_mode", "EXCLUSIVE").connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut holder).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

const NOBODY: u32 = 65_534;

/// The program as a user for whom file modes count, which they don't for root. The user becomes the owner of the data.
fn as_nobody(folder: &Path) -> Command {
    let data_dir = folder.join("data");
    if fs::metadata(folder).unwrap().uid() != 0 {
        return castway(&data_dir);
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let binary = folder.join("castway");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_castway"), &binary).unwrap();
    }
    for path in [data_dir.clone(), data_dir.join("castway.db")].iter().filter(|path| path.exists()) {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = clean(Command::new(binary), &data_dir);
    command.uid(NOBODY).gid(NOBODY);
    command
}

#[tokio::test]
async fn a_read_only_database_is_a_sentence_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let database = data.join("castway.db");
    let refused = |named: &Path| {
        let output = as_nobody(folder.path()).args(["user", "list"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains(&format!("castway: {} can't be written", named.display())), "{said}");
        assert!(said.contains("CASTWAY_DATA_DIR"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    // The folder can't be written.
    make(&data).await;
    ok(as_nobody(folder.path()).args(["user", "add", "alice", "--generate"]));
    fs::set_permissions(&data, Permissions::from_mode(0o555)).unwrap();
    refused(&database);
    // The file can't be written.
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o400)).unwrap();
    refused(&database);
    fs::set_permissions(&database, Permissions::from_mode(0o600)).unwrap();
    assert!(ok(as_nobody(folder.path()).args(["user", "list"])).contains("alice"));
}

/// Requirement 66: each user whose "Added" was printed is there, whenever the process was killed.
#[tokio::test]
async fn sigkill_loses_no_acknowledged_user() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let mut acknowledged = Vec::new();
    for round in 0..24_u64 {
        let name = format!("user-{round}");
        let mut command = castway(folder.path());
        let mut child = command.args(["user", "add", &name, "--generate"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        if round % 2 == 0 {
            // The process is killed as soon as it has reported the user.
            assert_eq!(lines.next().unwrap().unwrap(), format!("Added {name}."));
            child.kill().unwrap();
            acknowledged.push(name);
        } else {
            // The process is killed at a moment that may be in the middle of a write.
            std::thread::sleep(Duration::from_millis(40 * round));
            child.kill().unwrap();
            acknowledged.extend(lines.next().map(|_| name));
        }
        child.wait().unwrap();
    }
    let store = open(folder.path()).await.unwrap();
    let listed: Vec<_> = store.list().await.unwrap().into_iter().map(|user| user.name).collect();
    let missing: Vec<_> = acknowledged.iter().filter(|name| !listed.contains(name)).collect();
    assert!(acknowledged.len() >= 12);
    assert!(missing.is_empty(), "{missing:?} of {acknowledged:?}");
}

#[tokio::test]
async fn servers_that_start_together_share_one_new_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let opening: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let data = data.clone();
                async move { open(&data).await }
            })
        })
        .collect();
    for store in opening {
        store.await.unwrap().unwrap().close().await;
    }
    assert_eq!(ok(castway(&data).args(["secret", "list"])).lines().count(), 2);
}

/// Several commands open a database of an older version at the same time.
#[tokio::test]
async fn commands_bring_an_old_database_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    make(&data).await;
    ok(castway(&data).args(["user", "add", "alice", "--generate"]));
    let mut connection = raw(&data).connect().await.unwrap();
    let older = "ALTER TABLE users DROP COLUMN typed_h_a1_md5; ALTER TABLE users DROP COLUMN typed_h_a1_sha256;
         ALTER TABLE users DROP COLUMN scope; ALTER TABLE users DROP COLUMN admin;
         ALTER TABLE users DROP COLUMN known_keys; DROP TABLE server; DROP TABLE revoked; DROP TABLE checks;
         DROP TABLE operators; DROP TABLE bans; DROP TABLE usage_days; DROP TABLE usage_months; DROP TABLE quotas;
         CREATE TABLE revoked (name TEXT PRIMARY KEY, revoked_at INTEGER NOT NULL) STRICT; INSERT INTO revoked VALUES ('gone', 1900000000);
         DELETE FROM _sqlx_migrations WHERE version > 1";
    sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let children: Vec<_> = (0..6)
        .map(|n| {
            let mut command = castway(&data);
            command.args(["user", "add", &format!("user-{n}"), "--generate"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let listed = ok(castway(&data).args(["user", "list"]));
    assert_eq!(listed.lines().count(), 8);
    assert_eq!(listed.matches("anyone").count(), 7, "{listed}");
    let noted = || ok(castway(&data).args(["user", "list"])).lines().filter(|line| line.contains("must be set again")).count();
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.starts_with("alice") && line.contains("must be set again")),
        "{listed}"
    );
    assert_eq!(noted(), 1, "those whose password is new need nothing");
    ok(castway(&data).args(["user", "passwd", "alice", "--generate"]));
    assert_eq!(noted(), 0);
    assert_eq!(ok(castway(&data).args(["secret", "list"])).lines().count(), 2);
    let revoked = open(&data).await.unwrap().snapshot().await.unwrap().revoked;
    assert_eq!(revoked, [("gone".to_owned(), Scope::Anyone)]);
}

#[tokio::test]
async fn a_user_has_a_scope() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let run = |args: &[&str]| ok(castway(folder.path()).args(args));
    let scopes = || {
        let listed: serde_json::Value = serde_json::from_str(&run(&["user", "list", "--json"])).unwrap();
        let users = listed.as_array().unwrap().iter();
        users.map(|user| format!("{} {}", user["name"].as_str().unwrap(), user["scope"].as_str().unwrap())).collect::<Vec<_>>()
    };
    run(&["user", "add", "alice", "--generate"]);
    run(&["user", "add", "kiosk", "--generate", "--scope", "clients"]);
    assert_eq!(scopes(), ["alice anyone", "kiosk clients"]);
    let table = run(&["user", "list"]);
    assert!(table.contains("SCOPE") && table.contains("clients"), "{table}");
    assert!(run(&["user", "scope", "kiosk", "anyone"]).contains("kiosk is of scope anyone"));
    run(&["user", "scope", "alice", "clients"]);
    assert_eq!(scopes(), ["alice clients", "kiosk anyone"]);
    for (args, code, text) in [
        (["user", "scope", "nobody", "clients"], 1, "there is no user \"nobody\""),
        (["user", "scope", "alice", "everyone"], 64, "clients, anyone"),
    ] {
        let output = castway(folder.path()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn the_command_line_says_what_it_did_and_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let run = |args: &[&str]| castway(folder.path()).args(args).output().unwrap();
    assert!(ok(castway(folder.path()).args(["user", "list"])).contains("castway user add NAME"));
    let mut child = castway(folder.path());
    let child = child.args(["user", "add", "alice", "--password-stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Added alice.\n");
    let listed: serde_json::Value = serde_json::from_str(&ok(castway(folder.path()).args(["user", "list", "--json"]))).unwrap();
    assert_eq!(listed[0]["name"], "alice");
    assert_eq!(listed[0]["enabled"], true);

    let cases: [(&[&str], i32, &str); 8] = [
        (&["user", "add", "alice", "--generate"], 1, "there is a user \"alice\" already"),
        (&["user", "disable", "bob"], 1, "there is no user \"bob\""),
        (&["user", "add", "bob"], 1, "use --password-stdin or --generate"),
        (&["user", "add", "17:bob", "--generate"], 64, "digits and a colon"),
        (&["user", "list", "--turn-access", "all"], 64, "CASTWAY_TURN_ACCESS=\"all\": expected open, key or users"),
        (&["user", "frobnicate"], 64, "unrecognized subcommand"),
        (&["secret", "remove", "1"], 1, "rotate first"),
        (&["secret", "rotate", "--static-auth-secret", "north"], 1, "CASTWAY_STATIC_AUTH_SECRET: change them there"),
    ];
    for (args, code, text) in cases {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let at = |name: &str| folder.join(name);
    fs::write(at(".env"), "CASTWAY_DATA_DIR=from-file\nCASTWAY_DATADIR=x\n").unwrap();
    let looked_at = |command: &mut Command, name: &str| {
        let said = stderr(&command.arg("user").arg("list").current_dir(&folder).output().unwrap());
        let named = format!("castway: there is no castway database in {}, and", at(name).display());
        assert!(said.contains(&named), "{said}");
        said
    };
    let said = looked_at(castway(Path::new("")).env_remove("CASTWAY_DATA_DIR"), "from-file");
    let warning = "castway: warning: CASTWAY_DATADIR is not a setting and is ignored; did you mean CASTWAY_DATA_DIR?\n";
    assert!(said.starts_with(warning), "{said}");
    looked_at(&mut castway(&at("from-variable")), "from-variable");
    looked_at(castway(&at("not-this")).arg("--data-dir").arg("from-flag"), "from-flag");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is made");
}

#[test]
fn a_malformed_env_file_is_an_error_that_keeps_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "# mine\nCASTWAY_API_KEYS=hunter 2\n").unwrap();
    let output = castway(folder.path()).args(["user", "list"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = stderr(&output);
    assert!(said.contains(".env, line 2 (the value of CASTWAY_API_KEYS): expected NAME=value"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    assert!(!folder.path().join("castway.db").exists());
}

#[tokio::test]
async fn a_path_with_odd_characters_is_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let data: PathBuf = folder.path().join("a b?c#d%20e");
    make(&data).await;
    ok(castway(&data).args(["user", "list"]));
    assert!(data.join("castway.db").exists());
}

#[tokio::test]
async fn an_administrator_is_made_and_unmade() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path()).await;
    let admin = || {
        let listed: serde_json::Value =
            serde_json::from_str(&ok(castway(folder.path()).args(["user", "list", "--json"]))).unwrap();
        listed[0]["admin"].as_bool().unwrap()
    };
    ok(castway(folder.path()).args(["user", "add", "root", "--generate", "--admin"]));
    assert!(admin());
    assert!(ok(castway(folder.path()).args(["user", "list"])).contains("admin"));
    ok(castway(folder.path()).args(["user", "demote", "root"]));
    assert!(!admin());
    ok(castway(folder.path()).args(["user", "promote", "root"]));
    assert!(admin());
    assert_eq!(castway(folder.path()).args(["user", "promote", "nobody"]).output().unwrap().status.code(), Some(1));
}
