//! The house stays in order: who may import whom, as drawn in ARCHITECTURE.md, and what it says that it needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules by layer; the longest matching prefix counts. A module imports from lower layers, and from its own folder.
const LAYERS: &[(&str, u8)] = &[
    ("turn", 0),
    ("limits::token_bucket", 0),
    ("limits::byte_budget", 0),
    ("limits::guess_reports", 0),
    ("limits::guess_table", 0),
    ("limits::guesses", 0),
    ("limits::ip_prefix", 0),
    ("limits::message_size", 0),
    ("limits::reserved_names", 0),
    ("limits::fair_shares", 0),
    ("limits::retry_after", 0),
    ("limits::waiting_bytes", 0),
    ("clock", 0),
    ("config::secret", 0),
    ("socketio::client_id", 0),
    ("socketio::frame", 0),
    ("socketio::frame_filter", 0),
    ("socketio::message_start", 0),
    ("socketio::rewrite_rule", 0),
    ("socketio::traffic", 0),
    ("cast::code", 0),
    ("cast::mailbox", 0),
    ("cast::room", 0),
    ("multiconnection::broadcast", 0),
    ("multiconnection::room", 0),
    ("multiconnection::users", 0),
    ("apprtc::message", 0),
    ("apprtc::params", 0),
    ("apprtc::queue", 0),
    ("apprtc::quota", 0),
    ("apprtc::room", 0),
    ("apprtc::rooms", 0),
    ("apprtc::shares", 0),
    ("apprtc::slots", 0),
    ("apprtc::usage", 0),
    ("config", 1),
    ("limits", 1),
    ("users", 1),
    ("addresses", 1),
    ("tls", 1),
    ("http", 2),
    ("socketio", 2),
    ("cast::event", 2),
    ("multiconnection::event", 2),
    ("api", 3),
    ("apprtc", 3),
    ("cast::gateway", 3),
    ("multiconnection::gateway", 3),
    ("relay", 3),
    ("ingress", 4),
    ("app", 4),
    ("cli", 5),
    ("cast", 5),
    ("multiconnection", 5),
    ("lib", 5),
    ("main", 5),
];

#[test]
fn files_import_from_lower_layers_only() {
    let mut breaks = Vec::new();
    for (module, text) in modules() {
        let (room, layer) = layer(&module);
        for import in imports(&module, &text) {
            let (other, below) = self::layer(&import);
            if other != room && (below > layer || (below == layer && layer == 3)) {
                breaks.push(format!("{module} (layer {layer}) imports {import} (layer {below})"));
            }
        }
    }
    assert!(breaks.is_empty(), "{breaks:#?}");
}

#[test]
fn pure_modules_have_no_clock_no_tasks_and_no_sockets() {
    for (module, text) in modules() {
        if layer(&module).1 > 0 || module == "config::secret" || module.contains("::tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().expect("split gives one part at least");
        for forbidden in ["Instant::now", "SystemTime::now", "tokio", "std::net::Tcp", "UdpSocket", "std::fs", "rand::rng()"] {
            assert!(!code.contains(forbidden), "{module} is pure but uses {forbidden}");
        }
    }
}

#[test]
fn files_stay_short() {
    for (module, text) in modules() {
        let code = text.split("\n#[cfg(test)]").next().expect("split gives one part at least");
        let lines = code.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//")).count();
        assert!(lines <= 520, "{module} has {lines} lines of code: split it");
    }
}

#[test]
fn rust_version_is_enough_for_the_locked_packages() {
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).expect("1.MINOR");
    let out = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let compiler = out("rustc", &["-vV"]);
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Only what is built here has been downloaded.
    let metadata = out("cargo", &["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let needs = |package: &serde_json::Value| Some((minor(package["rust_version"].as_str()?), package["id"].to_string()));
    let needs: Vec<_> = metadata["packages"].as_array().unwrap().iter().filter_map(needs).collect();
    assert!(needs.len() > 100, "{} packages say what they need", needs.len());
    let ours = minor(env!("CARGO_PKG_RUST_VERSION"));
    let newer: Vec<_> = needs.into_iter().filter(|(minor, _)| *minor > ours).collect();
    assert!(newer.is_empty(), "rust-version in Cargo.toml is 1.{ours}, and these need more: {newer:?}");
}

fn layer(module: &str) -> (&'static str, u8) {
    let matches = |name: &str| module == name || module.starts_with(&format!("{name}::"));
    let found = LAYERS.iter().filter(|(name, _)| matches(name)).max_by_key(|(name, _)| name.len());
    *found.unwrap_or_else(|| panic!("{module} is in no layer: put it in LAYERS and in ARCHITECTURE.md"))
}

/// `module path → text` of every file in src/.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let name = |path: &PathBuf| {
        let path = path.strip_prefix(&root).expect("found below it").with_extension("");
        path.to_str().expect("names are ASCII").replace('/', "::").trim_end_matches("::mod").to_owned()
    };
    files.retain(|path| !path.to_string_lossy().ends_with("_tests.rs"));
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("readable"))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}

/// The modules of this crate that a file names, by `crate::` or `super::`.
fn imports(module: &str, text: &str) -> Vec<String> {
    let code = text.split("\n#[cfg(test)]").next().expect("split gives one part at least");
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = Vec::new();
    for (root, base) in [("crate::", ""), ("super::", parent)] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
            let many = rest.starts_with('{');
            for path in list.split(',').take(if many { usize::MAX } else { 1 }) {
                let path: String = path.trim().chars().take_while(|c| c.is_ascii_lowercase() || "_:".contains(*c)).collect();
                let path = path.trim_end_matches(':');
                if !path.is_empty() && path != "self" {
                    found.push(if base.is_empty() { path.to_owned() } else { format!("{base}::{path}") });
                }
            }
        }
    }
    found
}
