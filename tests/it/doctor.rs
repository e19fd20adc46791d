//! `castway doctor`, and what a command of root's does to another user's data folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::support::{castway, clean, is_root, keep_certificate, ok, stderr};

const OWNER: u32 = 4242;

/// The program as a server, which is killed at the end.
struct Running(Child);

impl Running {
    /// Starts it as `user`, and waits for its report.
    fn start(data_dir: &Path, user: Option<u32>, variables: &[(&str, &str)]) -> Self {
        let mut command = match user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
                command.arg(castway(data_dir).get_program());
                clean(command, data_dir)
            }
            None => castway(data_dir),
        };
        for name in ["HTTP", "HTTPS", "TURN", "TURNS", "COLLIDER"] {
            command.env(format!("CASTWAY_{name}_ADDR"), "127.0.0.1:0");
        }
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut report = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Data") {
            line.clear();
            assert_ne!(report.read_line(&mut line).unwrap(), 0, "the server ended");
        }
        // The rest of the report is read by a thread, so that the server can write it.
        std::thread::spawn(move || std::io::copy(&mut report, &mut std::io::sink()));
        Self(child)
    }

    /// Stops it in order.
    fn stop(mut self) {
        ok(Command::new("kill").arg(self.0.id().to_string()));
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn doctor(data_dir: &Path) -> (Output, Value) {
    let output = castway(data_dir).args(["doctor", "--json"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, report)
}

/// The states of a topic's lines.
fn states<'a>(report: &'a Value, topic: &str) -> Vec<&'a str> {
    let lines = report["lines"].as_array().unwrap().iter().filter(|line| line["name"] == topic);
    lines.map(|line| line["state"].as_str().unwrap()).collect()
}

/// A data folder of another user.
fn folder_of_owner() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    chown(folder.path(), Some(OWNER), Some(OWNER)).unwrap();
    folder
}

fn assert_owner_has_all(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (OWNER, OWNER), "{}", path.display());
        if found.is_dir() {
            assert_owner_has_all(&path);
        }
    }
}

#[test]
fn a_healthy_server_on_this_machine_is_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), None, &[]);
    let (output, report) = doctor(folder.path());
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &Value::Bool(true)), "{report:#}");
    for topic in ["settings", "ports", "relay", "files"] {
        assert!(states(&report, topic).contains(&"ok"), "{topic}: {report:#}");
    }
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let shown = castway(folder.path()).args(["doctor", "--no-wait"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    // Lines break where a round trip takes long.
    let unbroken = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unbroken.contains("✔ Ports TCP ") && unbroken.contains("(allocated, permitted, echoed)"), "{shown}");
    let wide = shown.lines().find(|line| line.chars().count() > 80 && line.split_whitespace().count() > 2);
    assert!(wide.is_none() && !shown.contains('\x1b'), "{shown}");
    server.stop();
}

#[test]
fn a_server_that_does_not_run_is_a_failure_and_the_rest_is_examined() {
    let folder = tempfile::tempdir().unwrap();
    Running::start(folder.path(), None, &[]).stop();
    let (output, report) = doctor(folder.path());
    assert_eq!((output.status.code(), &report["ok"]), (Some(1), &Value::Bool(false)), "{report:#}");
    assert_eq!(states(&report, "settings"), ["failed"]);
    for topic in ["name", "disk", "firewall", "clock", "outside"] {
        assert_eq!(states(&report, topic).len(), 1, "{topic}: {report:#}");
    }
}

#[test]
fn who_has_the_port_of_a_stopped_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    Running::start(folder.path(), None, &[]).stop();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = std::net::TcpListener::bind(taken).unwrap();
    let output = castway(folder.path()).args(["doctor", "--json", "--http-addr", &taken.to_string()]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ports = states(&report, "ports");
    assert_eq!(ports, ["failed"], "{report:#}");
    let said = report["lines"].to_string();
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    drop(held);
}

#[test]
fn settings_that_cannot_be_used_are_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let output = castway(folder.path()).args(["doctor", "--json", "--turn-addr", "nonsense"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(report["lines"].to_string().contains("CASTWAY_TURN_ADDR"), "{report:#}");
}

#[test]
fn root_leaves_no_file_of_its_own_in_the_data_folder() {
    if !is_root() {
        return;
    }
    let folder = folder_of_owner();
    let server = Running::start(folder.path(), Some(OWNER), &[]);
    let (output, report) = doctor(folder.path());
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_owner_has_all(folder.path());
    server.stop();
    assert!(!folder.path().join("castway.sock").exists());
    doctor(folder.path());
    assert_owner_has_all(folder.path());
}

#[test]
fn a_link_in_the_data_folder_leads_root_nowhere() {
    if !is_root() {
        return;
    }
    let secret = tempfile::tempdir().unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(secret.path().join("socket")).unwrap();
    listener.set_nonblocking(true).unwrap();
    Running::start(secret.path(), None, &[]).stop();
    let before = listing(secret.path());
    let folder = folder_of_owner();
    for (link, target) in [("castway.sock", "socket"), ("castway.db", "castway.db")] {
        symlink(secret.path().join(target), folder.path().join(link)).unwrap();
        std::os::unix::fs::lchown(folder.path().join(link), Some(OWNER), Some(OWNER)).unwrap();
    }
    let (output, report) = doctor(folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(listener.accept().is_err(), "root has connected to the socket of the link");
    assert_eq!(listing(secret.path()), before, "{report:#}");
    assert!(report["lines"].to_string().to_lowercase().contains("denied"), "{report:#}");
}

fn listing(folder: &Path) -> Vec<(String, u64, i64, i64)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| {
            let found = entry.metadata().unwrap();
            (entry.file_name().into_string().unwrap(), found.len(), found.mtime(), found.mtime_nsec())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_command_warns_where_the_running_server_signs_with_another_secret() {
    let folder = tempfile::tempdir().unwrap();
    let configured = Running::start(folder.path(), None, &[("CASTWAY_STATIC_AUTH_SECRET", "north-0123456789")]);
    let credentials = |more: &[&str]| {
        let output = castway(folder.path()).args(["credentials", "alice"]).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stderr(&output)
    };
    let warning = "signs with another secret, which comes from CASTWAY_STATIC_AUTH_SECRET";
    assert!(!credentials(&[]).contains(warning));
    assert!(credentials(&["--static-auth-secret", "south-0123456789"]).contains(warning));
    let rotated = castway(folder.path()).args(["secret", "rotate"]).output().unwrap();
    assert!(stderr(&rotated).contains("the secrets come from CASTWAY_STATIC_AUTH_SECRET"), "{rotated:?}");
    configured.stop();
    assert!(!credentials(&[]).contains(warning), "no server runs");
}

#[test]
fn what_keeps_doctor_from_its_settings_is_a_finding_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".env")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = castway(folder.path());
        command.env_remove("CASTWAY_DATA_DIR").current_dir(folder.path()).args(["doctor", "--no-wait"]).args(arguments);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, report) = run(&["--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((status, &report["ok"], states(&report, "settings")), (Some(1), &Value::Bool(false), vec!["failed"]));
    assert!(report["lines"].to_string().contains(".env can't be read"), "{report:#}");
    let (status, shown) = run(&[]);
    assert!(status == Some(1) && shown.starts_with("✘ Settings "), "{shown}");
}

#[test]
fn a_newcomer_without_a_server_reads_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = doctor(&folder.path().join("data"));
    assert_eq!(output.status.code(), Some(1));
    let said = report["lines"].to_string();
    assert!(said.contains("no server has been started with it yet: start one (castway)"), "{said}");
    assert!(!folder.path().join("data").exists(), "doctor makes nothing");
}

#[test]
fn a_malformed_line_of_env_is_a_finding_among_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "CASTWAY_REALM=two hunter2\nCASTWAY_DATA_DIR=data\nCASTWAY_DOMAIN=cast.invalid\n")
        .unwrap();
    let mut command = castway(folder.path());
    let output = command.env_remove("CASTWAY_DATA_DIR").current_dir(folder.path()).args(["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines: Vec<_> = report["lines"].as_array().unwrap().iter().map(|line| (line["name"].clone(), line.to_string())).collect();
    let named =
        |(name, text): &&(Value, String)| name == "settings" && text.contains(".env, line 1 (the value of CASTWAY_REALM)");
    assert!(lines.iter().find(named).is_some_and(|(_, text)| text.contains("\"failed\"")), "{lines:#?}");
    // The domain is in a line behind it.
    assert!(lines.iter().any(|(name, text)| name == "name" && text.contains("cast.invalid")), "{lines:#?}");
    assert!(!report.to_string().contains("hunter2"), "{lines:#?}");
}

#[test]
fn the_certificate_of_an_authority_is_found_where_no_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let directory = "https://authority.invalid/dir";
    let cert = |report: &Value| {
        let lines = report["lines"].as_array().unwrap();
        lines.iter().find(|line| line["name"] == "cert").map(|line| line["text"].as_str().unwrap().to_owned()).unwrap()
    };
    let run = || {
        let mut command = castway(folder.path());
        command.env("CASTWAY_DOMAIN", "cast.invalid").args(["doctor", "--json", "--acme-directory", directory]);
        let output = command.output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert!(cert(&run()).contains("none was found in the data folder"));
    let made = rcgen::generate_simple_self_signed(["cast.invalid".to_owned()]).unwrap();
    keep_certificate(folder.path(), "cast.invalid", directory, &(made.signing_key.serialize_pem() + &made.cert.pem()));
    let found = cert(&run());
    assert!(found.contains("days left"), "{found}");
}

/// A server of the folder's owner that says what it wants.
fn liar(folder: &Path, answer: impl Fn(&Value) -> String + Send + 'static) {
    let path = folder.join("castway.sock");
    let listener = UnixListener::bind(&path).unwrap();
    chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut from = BufReader::new(stream);
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            let answer = answer(&serde_json::from_str(&line).unwrap_or_default());
            std::io::Write::write_all(from.get_mut(), answer.as_bytes()).ok();
        }
    });
}

#[test]
fn what_the_owner_of_the_folder_says_steers_nobody() {
    if !is_root() {
        return;
    }
    let folder = folder_of_owner();
    let evil = "fine\u{1b}]0;x\u{7}\u{9b}2J\n✔ Relay    all is well\u{202e}";
    liar(folder.path(), move |question| {
        let verdict = serde_json::json!({
            "code": "udp_closed", "side": "server", "command": "sudo sh -c reboot", "en": { "text": evil, "fix": evil },
        });
        let check = serde_json::json!({ "at": 1, "kind": "check", "address": evil, "result": { "verdict": verdict } });
        let answer = match question["ask"].as_str() {
            Some("checks") => serde_json::json!({ "checks": [check] }),
            _ => serde_json::json!({ "error": evil }),
        };
        format!("{answer}\n")
    });
    for arguments in [["doctor", "--json"], ["doctor", "--no-wait"]] {
        let output = castway(folder.path()).args(arguments).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("fine"), "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n') && !shown.contains('\u{202e}'), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("✔ Relay")), "{shown}");
        assert!(arguments[1] == "--json" || !shown.contains("reboot"), "{shown}");
    }
}

#[test]
fn what_the_owner_puts_into_the_folder_holds_nobody_up() {
    if !is_root() {
        return;
    }
    let folder = folder_of_owner();
    for name in ["castway.db", "castway.sock"] {
        let path = folder.path().join(name);
        ok(Command::new("mkfifo").arg(&path));
        chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    }
    let (output, report) = doctor(folder.path());
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    for name in ["castway.db", "castway.sock"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    liar(folder.path(), |_| "{".repeat(3 * 1024 * 1024));
    let (_, report) = doctor(folder.path());
    assert_eq!(states(&report, "settings"), ["unknown"], "{report:#}");
    assert_eq!(states(&report, "ports"), [""; 0], "who has them is not known");
}
