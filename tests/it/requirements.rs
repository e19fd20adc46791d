//! `docs/turn-requirements.md` names the tests of each requirement: these tests exist, and the document names every numbered
//! test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tidy::rust_files;

const REQUIREMENTS: usize = 81;

fn document() -> String {
    fs::read_to_string("docs/turn-requirements.md").unwrap()
}

/// The texts in backticks that name a file of the repository, each with the test after `::` if it names one.
fn named_tests(document: &str) -> Vec<(&str, Option<&str>)> {
    let names = document.split('`').skip(1).step_by(2);
    let paths = names.filter(|name| name.starts_with("src/") || name.starts_with("tests/") || name.starts_with("fuzz/"));
    let tests = paths.map(|name| name.split_once("::").map_or((name, None), |(file, test)| (file, Some(test))));
    tests.filter(|(file, _)| Path::new(file).extension().is_some()).collect()
}

/// `r39_…` of `fn r39_…(`.
fn numbered_tests(source: &str) -> impl Iterator<Item = &str> {
    let names = source.split("fn ").skip(1).filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
    names.filter(|name| matches!(name.as_bytes(), [b'r', b'0'..=b'9', b'0'..=b'9', b'_', ..]))
}

#[test]
fn every_named_test_exists() {
    let document = document();
    let exists = |(file, test): &(&str, Option<&str>)| {
        let source = fs::read_to_string(file).unwrap_or_default();
        test.map_or(!source.is_empty(), |test| source.contains(&format!("fn {test}(")))
    };
    let missing: Vec<_> = named_tests(&document).into_iter().filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_numbered_test_is_named_by_its_requirement() {
    let document = document();
    let mut missing = BTreeSet::new();
    for path in rust_files() {
        let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("found below it");
        for test in numbered_tests(&fs::read_to_string(file).unwrap()) {
            let number: usize = test[1..3].parse().unwrap();
            let start = document.find(&format!("\n{number}. ")).unwrap_or(document.len());
            let end = document.find(&format!("\n{}. ", number + 1)).unwrap_or(document.len());
            if !document[start..end].contains(&format!("`{}::{test}`", file.display())) {
                missing.insert(format!("{number}: {}::{test}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_requirement_names_a_test_or_says_that_it_is_to_come() {
    let document = document();
    for number in 1..=REQUIREMENTS {
        let start = document.find(&format!("\n{number}. ")).unwrap_or_else(|| panic!("requirement {number} is missing"));
        let end = document.find(&format!("\n{}. ", number + 1)).unwrap_or(document.len());
        let text = &document[start..end];
        assert!(
            text.contains("Tests: ") || text.contains("**To come.**") || text.contains("No test"),
            "requirement {number}: {text}"
        );
    }
}
