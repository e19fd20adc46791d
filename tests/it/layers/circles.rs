//! Finds the circles among files: sets of files in which each one reaches every other by imports.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Import;

/// All circles, each as its files in order.
pub(crate) fn circles(imports: &BTreeSet<Import>) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        next.entry(&import.from_file).or_default().insert(&import.to_file);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(&next, file))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let circle = |file: &str| -> Vec<String> {
        reached[file].iter().filter(|other| reaches(other, file)).map(|other| (*other).to_owned()).collect()
    };
    let found: BTreeSet<Vec<String>> = reached.keys().map(|file| circle(file)).filter(|files| !files.is_empty()).collect();
    found.into_iter().collect()
}

/// Lists the imports that make a circle, one on each line, with the imported item.
pub(crate) fn explain(circle: &[String], imports: &BTreeSet<Import>) -> String {
    let mut taken: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|import| circle.contains(&import.from_file) && circle.contains(&import.to_file)) {
        taken.entry((&import.from_file, &import.to_file)).or_default().insert(&import.item);
    }
    let line = |((from, to), items): (&(&str, &str), &BTreeSet<&str>)| {
        format!("  {from} takes {} from {to}", items.iter().copied().collect::<Vec<_>>().join(", "))
    };
    format!("circle of {} files:\n{}", circle.len(), taken.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn reached<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = waiting.pop() {
        if found.insert(file) {
            waiting.extend(next.get(file).into_iter().flatten());
        }
    }
    found
}
