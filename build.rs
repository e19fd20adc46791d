//! Builds the pages in `web/` before they are embedded, where they have changed since they were last built. A packaged crate has the
//! built pages and nothing that they are built from, so that it needs no Node.js.

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// What the built pages depend on.
const SOURCES: [&str; 7] = [
    "web/src",
    "web/partials",
    "web/public",
    "web/package-lock.json",
    "web/package.json",
    "clients/js/src",
    "clients/js/package.json",
];
/// In the built pages, the hash of the sources they were built from.
const STAMP: &str = "web/dist/.sources";
/// A page that is always there.
const PAGE: &str = "web/dist/index.html.gz";
/// Where `cargo package` unpacks a crate, seen from there: the sources that it was packed from.
const PACKED_FROM: &str = "../../..";
const LOCK: &str = "web/package-lock.json";
/// The lock file that `node_modules` was installed from, as tests/run leaves it, too.
const INSTALLED: &str = "web/node_modules/.installed-lock.json";

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for folder in
        ["web/dist", "web/src", "web/partials", "web/public", "clients/js/src"].iter().filter(|folder| Path::new(folder).exists())
    {
        println!("cargo::rerun-if-changed={folder}");
    }
    if !Path::new("web/package.json").exists() {
        return packaged();
    }
    let sources = sources()?;
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let hash = hash(&sources)?;
    // Builds of several profiles may run at the same time, and write the same pages.
    let alone = fs::File::open("build.rs")?;
    alone.lock()?;
    if fs::read_to_string(STAMP).is_ok_and(|built| built == hash) {
        return Ok(());
    }
    if !installed() {
        // No package of ours needs its install scripts.
        npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
        fs::copy(LOCK, INSTALLED)?;
    }
    npm(&["run", "build"])?;
    fs::write(STAMP, hash)?;
    Ok(())
}

/// `cargo package` and `cargo publish` build what they have packed, so this keeps them from publishing old pages, or none.
fn packaged() -> Result<(), Box<dyn Error>> {
    let packed = fs::read_to_string(STAMP).ok().filter(|_| Path::new(PAGE).exists());
    let Some(packed) = packed else {
        return Err("this crate was packed without its pages: run `cargo build` before `cargo package`".into());
    };
    if Path::new(PACKED_FROM).join("web/package.json").exists() {
        std::env::set_current_dir(PACKED_FROM)?;
        if hash(&sources()?)? != packed {
            return Err("this crate was packed with old pages: run `cargo build` before `cargo package`".into());
        }
    }
    Ok(())
}

fn sources() -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for source in SOURCES.map(Path::new).into_iter().filter(|source| source.exists()) {
        collect(source, &mut files)?;
    }
    for entry in fs::read_dir("web")? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "html" || kind == "ts" || kind == "js" || kind == "json")
            && !files.contains(&path)
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}

fn hash(files: &[PathBuf]) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Whether `node_modules` is there and as the lock file has it; as far as the time of an installation by hand tells.
fn installed() -> bool {
    if let Ok(installed) = fs::read(INSTALLED) {
        return fs::read(LOCK).is_ok_and(|locked| locked == installed);
    }
    let modified = |path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    match (modified("web/node_modules/.package-lock.json"), modified(LOCK)) {
        (Some(installed), Some(locked)) => installed >= locked,
        _ => false,
    }
}

fn npm(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let command = format!("npm {}", arguments.join(" "));
    let output = Command::new("npm").args(arguments).current_dir("web").output().map_err(|error| {
        format!(
            "the pages in web/ must be built and `{command}` can't be run ({error}).\n\
             Install Node.js 20.19 or newer with npm (Debian: apt-get install nodejs npm) and build again."
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("`{command}` in web/ failed:\n{out}{error}").into())
}
