//! Reads the table of layers in ARCHITECTURE.md: rows such as ``| 2, pure | `turn`, `cast::{code, room}` | … |``.
//!
//! The first cell has the layer's number, and `pure` if its modules have no clock, no task and no socket. The second cell has the
//! modules. The longest name that a module's path begins with decides.

use std::fs;

const BEGIN: &str = "<!-- layers: tests/it/layers reads this table -->";
const END: &str = "<!-- end of layers -->";

pub(crate) struct Table {
    entries: Vec<Entry>,
}

/// A module, with every module below it that has no entry of its own.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) modules: String,
    pub(crate) layer: u8,
    pub(crate) pure: bool,
}

impl Table {
    pub(crate) fn of_architecture() -> Self {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
        Self::parse(&fs::read_to_string(document).expect("ARCHITECTURE.md is readable"))
    }

    pub(crate) fn parse(document: &str) -> Self {
        let (_, rest) = document.split_once(BEGIN).unwrap_or_else(|| panic!("ARCHITECTURE.md has no line {BEGIN}"));
        let (table, _) = rest.split_once(END).unwrap_or_else(|| panic!("ARCHITECTURE.md has no line {END}"));
        let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
        Self { entries: rows.flat_map(row).collect() }
    }

    /// The entry that holds a module.
    pub(crate) fn entry(&self, module: &str) -> &Entry {
        let module = if module.is_empty() { "lib" } else { module };
        let holds = |name: &str| module == name || module.starts_with(&format!("{name}::"));
        let found = self.entries.iter().filter(|entry| holds(&entry.modules)).max_by_key(|entry| entry.modules.len());
        found.unwrap_or_else(|| panic!("{module} is in no layer: put it into ARCHITECTURE.md's table"))
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &String> {
        self.entries.iter().map(|entry| &entry.modules)
    }
}

impl Entry {
    /// The folder of `src/` that the modules are in.
    pub(crate) fn folder(&self) -> &str {
        self.modules.split("::").next().unwrap_or_default()
    }
}

fn row(line: &str) -> Vec<Entry> {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let (marks, names) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
    let mut marks = marks.split(", ");
    let layer = marks.next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("a row without a number: {line}"));
    let marks: Vec<_> = marks.collect();
    assert!(marks.is_empty() || marks == ["pure"], "unknown marks {marks:?}: {line}");
    let pure = !marks.is_empty();
    let named = names.split('`').skip(1).step_by(2).flat_map(expand);
    named.map(|modules| Entry { modules, layer, pure }).collect()
}

/// `a::{b, c}` names `a::b` and `a::c`.
fn expand(name: &str) -> Vec<String> {
    match name.split_once("::{") {
        None => vec![name.to_owned()],
        Some((folder, list)) => {
            list.trim_end_matches('}').split(',').map(|child| format!("{folder}::{}", child.trim())).collect()
        }
    }
}
