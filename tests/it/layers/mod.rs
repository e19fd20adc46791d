//! Checks the imports against the table of layers in ARCHITECTURE.md.
//!
//! A file imports from lower layers, and from its own folder in its own layer. No two files import each other, directly or
//! through others, inside a folder either. `source` reads the imports, `circles` finds the circles, `table` reads the document.

mod circles;
mod reader_tests;
mod source;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use circles::{circles, explain};
use source::{Crate, Import};
use table::Table;

#[test]
fn files_import_from_lower_layers_only() {
    let table = Table::of_architecture();
    let mut breaks = Vec::new();
    for import in library().imports() {
        let (from, to) = (table.entry(&import.from), table.entry(&import.to));
        let allowed = to.layer < from.layer || (to.layer == from.layer && to.folder() == from.folder());
        if !allowed {
            let Import { from: module, to: other, item, .. } = import;
            breaks.push(format!("{module} (layer {}) imports {item} of {other} (layer {})", from.layer, to.layer));
        }
    }
    assert!(breaks.is_empty(), "{breaks:#?}");
}

#[test]
fn every_module_of_the_table_exists() {
    let library = library();
    let modules: BTreeSet<&str> = library.files().map(|(module, _)| module).chain(["lib", "main"]).collect();
    let table = Table::of_architecture();
    let gone: Vec<_> = table.modules().filter(|named| !modules.contains(named.as_str())).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md's table of layers names {gone:?}, which src/ does not have");
}

#[test]
fn no_files_import_each_other() {
    let mut found = Vec::new();
    let others = roots().into_iter().map(|root| Crate::read(&project(), &root).imports());
    for imports in others.chain([library().imports()]) {
        found.extend(circles(&imports).iter().map(|files| explain(files, &imports)));
    }
    assert!(found.is_empty(), "what both files need has a file of its own:\n{}", found.join("\n"));
}

#[test]
fn pure_modules_have_no_clock_no_tasks_and_no_sockets() {
    let table = Table::of_architecture();
    for (module, file) in library().files() {
        if !table.entry(module).pure {
            continue;
        }
        let text = fs::read_to_string(project().join(file)).expect("readable");
        let code = text.split("#[cfg(test)]").next().expect("split gives one part at least");
        // Examples in the documentation may use clocks and sockets, since they stand for the shell.
        let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for forbidden in ["Instant::now", "SystemTime::now", "tokio", "std::net::Tcp", "UdpSocket", "std::fs", "rand::rng()"] {
            assert!(!code.contains(forbidden), "{module} is pure but uses {forbidden}");
        }
    }
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn library() -> &'static Crate {
    static LIBRARY: OnceLock<Crate> = OnceLock::new();
    LIBRARY.get_or_init(|| Crate::read(&project(), &project().join("src/lib.rs")))
}

/// The root files of the crates beside the library.
fn roots() -> Vec<PathBuf> {
    let mut roots = vec![project().join("src/main.rs"), project().join("tests/it/main.rs")];
    for entry in fs::read_dir(project().join("benches")).expect("readable") {
        let path = entry.expect("readable").path();
        let root = if path.is_dir() { path.join("main.rs") } else { path };
        if root.extension().is_some_and(|kind| kind == "rs") && Path::exists(&root) {
            roots.push(root);
        }
    }
    roots
}
