//! Documents that exist in English and in Chinese have the same sections, commands and links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// In a Chinese document: the paragraph that begins in the next line has no English counterpart, or the whole section, if a blank line
/// follows.
const ONLY_CHINESE: &str = "<!-- Only in Chinese -->";

/// What the two versions of a section have in common.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    level: usize,
    /// The language of each code block, and its lines without comments.
    blocks: Vec<(String, Vec<String>)>,
    links: BTreeSet<String>,
}

#[test]
fn both_languages_have_the_same_sections_commands_and_links() {
    let pairs = pairs();
    assert!(pairs.len() >= 6, "{pairs:?}");
    let mut different = Vec::new();
    for (chinese, english) in &pairs {
        let (ours, theirs) = (sections(chinese), sections(english));
        let levels = |sections: &[(String, Section)]| sections.iter().map(|(_, section)| section.level).collect::<Vec<_>>();
        if levels(&ours) != levels(&theirs) {
            let titles = |sections: Vec<(String, Section)>| sections.into_iter().map(|(title, _)| title).collect::<Vec<_>>();
            different.push(format!("{chinese} and {english}: {:?} and {:?}", titles(ours), titles(theirs)));
            continue;
        }
        for ((title, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
            if ours.blocks != theirs.blocks {
                different.push(format!("{chinese}, {title}: {:#?} and in English {:#?}", ours.blocks, theirs.blocks));
            }
            if ours.links != theirs.links {
                let more = ours.links.difference(&theirs.links).collect::<Vec<_>>();
                let less = theirs.links.difference(&ours.links).collect::<Vec<_>>();
                different.push(format!("{chinese}, {title}: has the links {more:?} too, and lacks {less:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn chinese_documents_lead_to_chinese_ones_where_they_exist() {
    let pairs = pairs();
    let mut english = Vec::new();
    for (file, counterpart) in &pairs {
        for (text, target) in links(&read(file)) {
            let (target, _) = resolve(file, &target);
            if target != *counterpart && pairs.iter().any(|(_, english)| *english == target) && text != "English" {
                english.push(format!("{file}: [{text}] leads to {target}"));
            }
        }
    }
    assert!(english.is_empty(), "{}", english.join("\n"));
}

#[test]
fn both_tables_of_coturns_options_have_the_same_options_and_settings() {
    let (chinese, english) = (options("docs/zh/coturn.md"), options("docs/coturn.md"));
    assert!(english.len() > 100, "{english:?}");
    let different = chinese.iter().zip(&english).find(|(chinese, english)| chinese != english);
    assert!(chinese == english, "{} and {} options: {different:?}", chinese.len(), english.len());
}

/// The options of turnserver in a document's table, each with the settings that its row names.
fn options(file: &str) -> Vec<(String, BTreeSet<String>)> {
    let text = read(file);
    let (_, rest) = text.split_once("<!-- options -->").unwrap();
    let (table, _) = rest.split_once("<!-- end of options -->").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let settings = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("CASTWAY_")).map(str::to_owned).collect()
    };
    rows.map(|(option, text)| (option.to_owned(), settings(text))).collect()
}

/// Chinese documents with their English counterparts.
fn pairs() -> Vec<(String, String)> {
    let mut pairs: Vec<_> = ["README", "docs/tutorials"].map(|name| format!("{name}.zh-CN.md")).to_vec();
    let chapters = fs::read_dir("docs/zh").unwrap().map(|entry| entry.unwrap().path().into_os_string().into_string().unwrap());
    pairs.extend(chapters.filter(|path| Path::new(path).extension().is_some_and(|kind| kind == "md")));
    pairs.sort();
    pairs.into_iter().map(|chinese| (chinese.clone(), in_english(&chinese))).collect()
}

fn in_english(path: &str) -> String {
    path.replace(".zh-CN.", ".").replace("docs/zh/", "docs/")
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The sections of a document with their titles; what stands before the first heading belongs to a section without a title.
fn sections(file: &str) -> Vec<(String, Section)> {
    let (mut sections, mut prose) = (vec![(String::new(), Section::default())], vec![String::new()]);
    let mut block: Option<(String, Vec<String>)> = None;
    for line in shared(&read(file)).lines() {
        let (_, section) = sections.last_mut().unwrap();
        if let Some(language) = line.trim_start().strip_prefix("```") {
            match block.take() {
                Some(block) => section.blocks.push(block),
                None => block = Some((language.to_owned(), Vec::new())),
            }
        } else if let Some((_, lines)) = &mut block {
            lines.extend(Some(without_comment(line)).filter(|line| !line.is_empty()));
        } else if line.starts_with('#') {
            let level = line.chars().take_while(|c| *c == '#').count();
            sections.push((line[level..].trim().to_owned(), Section { level, ..Section::default() }));
            prose.push(String::new());
        } else {
            *prose.last_mut().unwrap() += &format!("{line}\n");
        }
    }
    assert!(block.is_none(), "{file} ends within a code block");
    for ((_, section), prose) in sections.iter_mut().zip(&prose) {
        let targets = links(prose).into_iter().map(|(_, target)| resolve(file, &target));
        // A document's link to its other language is not in both of them.
        let others = targets.filter(|(path, anchor)| anchor.is_some() || in_english(path) != in_english(file));
        section.links = others.map(|(path, anchor)| common_name(&path, anchor.as_deref())).collect();
    }
    sections
}

/// The text without what is only Chinese.
fn shared(text: &str) -> String {
    let (mut shared, mut code, mut left_out) = (Vec::<&str>::new(), false, None);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        code ^= line.trim_start().starts_with("```");
        let level = if code { 0 } else { line.chars().take_while(|c| *c == '#').count() };
        left_out = match left_out {
            // A section ends with the next heading of its level.
            Some(section @ 1..) if level == 0 || level > section => Some(section),
            // A paragraph ends with a blank line.
            Some(0) if !line.is_empty() => Some(0),
            _ => None,
        };
        if left_out.is_none() && line == ONLY_CHINESE {
            let alone = lines.peek().is_none_or(|next| next.is_empty());
            let heading = shared.iter().rposition(|line| line.starts_with('#')).filter(|_| alone);
            left_out = Some(heading.map_or(0, |heading| shared[heading].chars().take_while(|c| *c == '#').count()));
            shared.truncate(heading.unwrap_or(shared.len()));
        } else if left_out.is_none() {
            shared.push(line);
        }
    }
    shared.join("\n")
}

fn without_comment(line: &str) -> String {
    let comment = ["# ", "// "].into_iter().filter_map(|mark| {
        line.match_indices(mark).map(|(at, _)| at).find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace))
    });
    line[..comment.min().unwrap_or(line.len())].trim_end().to_owned()
}

/// The text and the target of each link outside of code.
fn links(text: &str) -> Vec<(String, String)> {
    let mut prose = String::new();
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 0 {
            prose += part;
        }
    }
    let mut links = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let in_code = prose[..at].rsplit("\n\n").next().unwrap().matches('`').count() % 2 == 1;
        let (Some(start), Some(end)) = (prose[..at].rfind('['), prose[at..].find(')')) else { continue };
        if !in_code {
            links.push((prose[start + 1..at].to_owned(), prose[at + 2..at + end].to_owned()));
        }
    }
    links
}

/// The path from the repository's root, or the URL, and the anchor.
fn resolve(file: &str, target: &str) -> (String, Option<String>) {
    if target.contains("://") || target.starts_with("mailto:") {
        return (target.to_owned(), None);
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return (file.to_owned(), anchor);
    }
    let mut resolved = PathBuf::new();
    for part in Path::new(file).parent().unwrap().join(path).components() {
        if part == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(part);
        }
    }
    (resolved.to_str().unwrap().to_owned(), anchor)
}

/// The same for both languages: the English path, and for an anchor the number of its heading.
fn common_name(path: &str, anchor: Option<&str>) -> String {
    if path.contains("://") {
        return path.to_owned();
    }
    let Some(anchor) = anchor else { return in_english(path) };
    let headings = fs::read_to_string(path).map(|text| anchors(&shared(&text))).unwrap_or_default();
    // A wrong anchor is different from everything in the other language.
    let Some(number) = headings.get(anchor) else { return format!("{path}#{anchor}, which is no heading") };
    format!("{}, heading {number}", in_english(path))
}

/// The anchor of each heading with its number.
fn anchors(text: &str) -> BTreeMap<String, usize> {
    let (mut anchors, mut code) = (BTreeMap::new(), false);
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        if !code && line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect(), anchors.len());
        }
    }
    anchors
}
