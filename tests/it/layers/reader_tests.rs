//! Tests of the reader of imports, of the search for circles and of the reader of the table, each with small sources.

use super::circles::{circles, explain};
use super::source::{Crate, Import};
use super::table::Table;

/// Every import as `from -> to item`, of a crate with `a`, `b`, `c` and `c::d`, each of which defines an item `X`.
fn read(file: &str, text: &str) -> Vec<String> {
    let x = "pub struct X;";
    let mut texts = vec![
        ("lib.rs", "pub mod a; pub mod b; pub mod c;"),
        ("a.rs", x),
        ("b.rs", x),
        ("c/mod.rs", "pub mod d; pub struct X;"),
        ("c/d.rs", x),
    ];
    texts.iter_mut().find(|(name, _)| *name == file).expect("a file of the crate").1 = text;
    imports(&texts)
}

fn imports(texts: &[(&str, &str)]) -> Vec<String> {
    let name = |import: Import| format!("{} -> {} {}", import.from, import.to, import.item);
    Crate::of(texts).imports().into_iter().map(name).collect()
}

#[test]
fn nested_braces_name_every_leaf() {
    let found = read("a.rs", "use crate::{b::X, c::{self, X as Y, d::{X as Z, other}}};");
    assert_eq!(found, ["a -> b X", "a -> c X", "a -> c::d X", "a -> c::d other"]);
}

#[test]
fn super_and_self_are_resolved_from_the_file_that_says_them() {
    assert_eq!(
        read("c/d.rs", "use super::{X, super::{a, b::{X as Y}}}; fn f(_: a::X) {}"),
        ["c::d -> a X", "c::d -> b X", "c::d -> c X"]
    );
    assert_eq!(read("c/mod.rs", "pub mod d; use self::d::X;"), ["c -> c::d X"]);
}

#[test]
fn a_module_counts_for_what_is_taken_through_it() {
    assert_eq!(read("a.rs", "use crate::c::{self, d as inner}; fn f(_: inner::X) { c::g(); }"), ["a -> c g", "a -> c::d X"]);
    assert!(read("a.rs", "use crate::b;").is_empty(), "a module that is only named gives nothing");
}

#[test]
fn renames_and_globs_are_followed() {
    assert_eq!(read("a.rs", "use crate::b as other; fn f() { other::run() }"), ["a -> b run"]);
    assert_eq!(read("a.rs", "use crate::b::*;"), ["a -> b *"]);
}

#[test]
fn paths_in_expressions_types_macros_and_attributes_count() {
    assert_eq!(read("a.rs", "fn f() -> crate::b::X { crate::c::d::make() }"), ["a -> b X", "a -> c::d make"]);
    assert_eq!(read("a.rs", r#"fn f() { println!("{}", crate::b::X::name(&[crate::c::K])) }"#), ["a -> b X", "a -> c K"]);
    assert_eq!(read("a.rs", "#[derive(crate::b::Macro)] struct Y;"), ["a -> b Macro"]);
}

#[test]
fn what_is_compiled_for_tests_alone_is_left_out() {
    assert!(read("a.rs", "#[cfg(test)] mod tests { use crate::b::X; }").is_empty());
    assert!(read("a.rs", "#[cfg(test)] use crate::b::X;").is_empty());
    assert!(read("a.rs", "#[cfg(any(test, fuzzing))] fn f() { crate::b::g() }").is_empty());
    assert!(read("a.rs", "struct Y; impl Y { #[cfg(test)] fn f() { crate::b::g() } }").is_empty());
    assert!(read("a.rs", "#[cfg(test)] mod a_tests;").is_empty(), "a file of tests is not even read");
    assert_eq!(read("a.rs", "#[cfg(not(test))] fn f() { crate::b::g() }"), ["a -> b g"]);
}

#[test]
fn a_module_may_re_export_its_children() {
    let texts = [
        ("lib.rs", "mod a; mod c;"),
        ("a.rs", "use crate::c::X;"),
        ("c/mod.rs", "mod d; pub use d::X;"),
        ("c/d.rs", "pub struct X;"),
    ];
    assert_eq!(imports(&texts), ["a -> c::d X"], "the import is of the file that defines the item");
}

#[test]
fn a_module_that_uses_what_it_re_exports_imports_it() {
    let texts = [("lib.rs", "mod d; pub use d::X; fn f() -> X { X }"), ("d.rs", "pub struct X;")];
    assert_eq!(imports(&texts), [" -> d X"]);
}

#[test]
fn an_inline_module_belongs_to_its_file() {
    let texts = [("lib.rs", "mod a;"), ("a.rs", "struct X; mod inner { use super::X; pub struct Y; } use inner::Y;")];
    assert!(imports(&texts).is_empty());
}

#[test]
fn a_path_attribute_names_the_file() {
    let texts = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "#[path = \"z.rs\"] mod inner;"),
        ("z.rs", "use crate::b::X;"),
        ("b.rs", "pub struct X;"),
    ];
    assert_eq!(imports(&texts), ["a::inner -> b X"]);
}

#[test]
fn a_circle_names_its_files_and_what_each_takes() {
    let texts = [
        ("lib.rs", "mod a; mod b; mod c; mod e;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; pub struct C;"),
        ("e.rs", "use crate::a::A;"),
    ];
    let imports = Crate::of(&texts).imports();
    let found = circles(&imports);
    assert_eq!(found, [["a.rs", "b.rs", "c.rs"]]);
    assert_eq!(
        explain(&found[0], &imports),
        "circle of 3 files:\n  a.rs takes B from b.rs\n  b.rs takes C from c.rs\n  c.rs takes A from a.rs"
    );
}

#[test]
fn a_child_and_its_parent_that_take_from_each_other_are_a_circle() {
    let texts = [
        ("lib.rs", "mod c;"),
        ("c/mod.rs", "mod d; use d::inner; pub struct X; fn f() { inner() }"),
        ("c/d.rs", "use super::X; pub fn inner() {}"),
    ];
    assert_eq!(circles(&Crate::of(&texts).imports()), [["c/d.rs", "c/mod.rs"]]);
    let re_exported = [("lib.rs", "mod c;"), ("c/mod.rs", "mod d; pub use d::inner; pub struct X;"), texts[2]];
    assert!(circles(&Crate::of(&re_exported).imports()).is_empty());
}

#[test]
fn the_table_knows_marks_lists_and_the_longest_name() {
    let table = Table::parse(
        "text\n<!-- layers: tests/it/layers reads this table -->\n\n| Layer | Modules | Why |\n|---|---|---|\n| 2 | `api` | x |\n\
         | 0, pure | `cast::{code, room}`, `turn` | y |\n| 1 | `cast` | |\n<!-- end of layers -->\n| 9 | `other` |",
    );
    assert_eq!(table.modules().collect::<Vec<_>>(), ["api", "cast::code", "cast::room", "turn", "cast"]);
    let entry = table.entry("cast::room::seat");
    assert_eq!((entry.modules.as_str(), entry.folder(), entry.layer, entry.pure), ("cast::room", "cast", 0, true));
    assert_eq!(table.entry("cast::gateway").layer, 1);
    assert!(!table.entry("api::turn").pure);
}
