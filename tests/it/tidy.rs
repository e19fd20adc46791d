//! Conventions of the project: the contents of `src/`, the length of files, and the Rust version that the locked packages need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code in a file of `src/`, without blank lines, comments and tests.
const MAX_CODE_LINES: usize = 400;

#[test]
fn src_holds_main_lib_and_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = fs::read_dir(&root).expect("readable").map(|entry| entry.expect("readable").path());
    let files: Vec<_> = names.filter(|path| path.is_file() && !path.ends_with("main.rs") && !path.ends_with("lib.rs")).collect();
    assert!(files.is_empty(), "{files:?}: a file belongs into the folder of its idea");
}

#[test]
fn every_folder_says_in_its_first_line_what_it_is() {
    let folders = rust_files().into_iter().filter_map(|path| path.parent().map(Path::to_owned));
    for folder in folders {
        let root = folder.join(if folder.ends_with("src") { "lib.rs" } else { "mod.rs" });
        let text = fs::read_to_string(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let docs: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let sentence = docs.split(|line| line.is_empty()).next().unwrap_or_default().join(" ");
        assert!(sentence.contains('.'), "{} begins with no sentence about its folder", root.display());
    }
}

#[test]
fn guides_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named =
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "README.md", "README.zh-CN.md", "SECURITY.md", "fuzz/README.md"];
    let chapters = ["docs", "docs/zh"].iter().flat_map(|folder| fs::read_dir(root.join(folder)).expect("readable"));
    let chapters =
        chapters.map(|entry| entry.expect("readable").path()).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    for guide in named.iter().map(|name| root.join(name)).chain(chapters) {
        let text = fs::read_to_string(&guide).expect("readable");
        let named = text.split('`').skip(1).step_by(2).filter(|name| {
            let in_the_repository = ["src/", "tests/", "web/", "deploy/"].iter().any(|folder| name.starts_with(folder));
            in_the_repository && !name.contains(|c: char| c.is_whitespace() || c.is_uppercase() || "*[…".contains(c))
        });
        let gone: Vec<_> = named.filter(|name| !root.join(name.split("::").next().unwrap_or(name)).exists()).collect();
        assert!(gone.is_empty(), "{} names {gone:?}", guide.display());
    }
}

#[test]
fn images_and_crates_have_what_the_source_includes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("readable");
    let (dockerfile, ignored, manifest) = (read("Dockerfile"), read(".dockerignore"), read("Cargo.toml"));
    let copied: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next()).collect();
    let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let packed: Vec<_> = manifest.lines().filter_map(|line| line.trim().strip_prefix("\"/")?.strip_suffix("\",")).collect();
    let mut included = 0;
    for file in rust_files().into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).expect("readable");
        let text = text.split("\n#[cfg(test)]").next().expect("split gives one part at least");
        let calls = ["include_str!(\"", "include_bytes!(\""];
        let paths = calls.iter().flat_map(|call| text.split(call).skip(1)).filter_map(|rest| rest.split('"').next());
        for path in paths {
            let found = file.parent().expect("it has a folder").join(path).canonicalize().expect("it is there");
            let name = found.strip_prefix(root.canonicalize().expect("it is there")).expect("in the repository").to_owned();
            for (place, names) in
                [("COPY of the Dockerfile", &copied), (".dockerignore", &sent), ("include of Cargo.toml", &packed)]
            {
                assert!(
                    names.iter().any(|listed| name.starts_with(listed)),
                    "{} needs {name:?}, which no {place} has",
                    file.display()
                );
            }
            included += 1;
        }
    }
    assert!(included > 9, "the migrations and the description of the events: {included}");
}

#[test]
fn files_stay_short() {
    for (module, text) in files() {
        let code = text.split("\n#[cfg(test)]").next().expect("split gives one part at least");
        let lines = code.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//")).count();
        assert!(lines <= MAX_CODE_LINES, "{module} has {lines} lines of code, and {MAX_CODE_LINES} are the most: split it");
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
    // Only packages for this platform have been downloaded.
    let metadata = out("cargo", &["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let needs = |package: &serde_json::Value| Some((minor(package["rust_version"].as_str()?), package["id"].to_string()));
    let needs: Vec<_> = metadata["packages"].as_array().unwrap().iter().filter_map(needs).collect();
    assert!(needs.len() > 100, "{} packages say what they need", needs.len());
    let ours = minor(env!("CARGO_PKG_RUST_VERSION"));
    let newer: Vec<_> = needs.into_iter().filter(|(minor, _)| *minor > ours).collect();
    assert!(newer.is_empty(), "rust-version in Cargo.toml is 1.{ours}, and these need more: {newer:?}");
}

/// The text of each file in src/, by its path below src/. Files that contain only tests are left out.
fn files() -> Vec<(String, String)> {
    let tests = |path: &PathBuf| {
        let below = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("found below it");
        below.to_string_lossy().ends_with("_tests.rs") || below.components().any(|part| part.as_os_str() == "tests")
    };
    let files = rust_files().into_iter().filter(|path| !tests(path));
    files.map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("readable"))).collect()
}

/// The Rust files of src/.
pub(crate) fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect_rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files
}

fn collect_rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect_rust_files(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}
