//! Reads a crate's source with `syn`: its modules, what each one defines, and every path that its code names.
//!
//! Input: a crate's root file. Output: [`Crate`], whose [`Crate::imports`] says which file takes what from which other file.
//! Modules and items under `#[cfg(test)]` are left out. A path counts wherever it stands: in `use`, in expressions and types, in the
//! arguments of macros and attributes. A re-export is followed to the file that defines the item.

#![expect(clippy::wildcard_enum_match_arm, reason = "syn's enums may get more variants")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// A chain of re-exports longer than this is a loop.
const MAX_REEXPORTS: usize = 16;

/// The modules of a crate by path; the root's path is empty.
#[derive(Default)]
pub(crate) struct Crate {
    modules: BTreeMap<String, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    defined: BTreeSet<String>,
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
}

/// One leaf of a `use` tree.
struct Use {
    path: Vec<String>,
    /// The name that it brings into scope; `*` stands for all names of a module.
    name: String,
    exported: bool,
}

/// One file takes `item` of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) from_file: String,
    pub(crate) to: String,
    pub(crate) to_file: String,
    pub(crate) item: String,
}

impl Crate {
    /// Reads a root file and all files that it declares, directly or indirectly. File names are relative to `base`.
    pub(crate) fn read(base: &Path, root: &Path) -> Self {
        let mut read = Self::default();
        let files = |path: &Path| fs::read_to_string(path).ok();
        read.add_file(&files, base, "", root, root.parent().expect("a file is in a folder"));
        read
    }

    /// As [`Self::read`], from texts by file name.
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let mut read = Self::default();
        let files = |path: &Path| texts.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned());
        read.add_file(&files, Path::new(""), "", Path::new(texts[0].0), Path::new(""));
        read
    }

    /// Module path and file of each module that has a file of its own.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |name: &str, file: &str| parent(name).is_none_or(|above| self.modules[above].file != file);
        self.modules
            .iter()
            .map(|(name, module)| (name.as_str(), module.file.as_str()))
            .filter(move |(name, file)| own(name, file))
    }

    /// What each file takes from the others. Neither `mod x;` nor the re-export of an item below the re-exporting module is an import.
    pub(crate) fn imports(&self) -> BTreeSet<Import> {
        let mut found = BTreeSet::new();
        for (name, module) in &self.modules {
            let below = |other: &str| name.is_empty() || other.starts_with(&format!("{name}::"));
            let uses = module.uses.iter().filter_map(|one| {
                let (to, item) = self.find(name, one)?;
                (!one.exported || !below(&to)).then_some((to, item))
            });
            let paths = module.paths.iter().filter_map(|path| self.resolve(name, path, MAX_REEXPORTS));
            for (to, item) in uses.chain(paths) {
                let to_file = self.modules[&to].file.clone();
                if !item.is_empty() && to_file != module.file {
                    found.insert(Import { from: name.clone(), from_file: module.file.clone(), to, to_file, item });
                }
            }
        }
        found
    }

    fn add_file(&mut self, files: &dyn Fn(&Path) -> Option<String>, base: &Path, name: &str, path: &Path, below: &Path) {
        let text = files(path).unwrap_or_else(|| panic!("{} is declared and can't be read", path.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = path.strip_prefix(base).expect("it is below the base").to_str().expect("names are ASCII").to_owned();
        self.add_module(files, base, name, &file, path, below, &parsed.items);
    }

    #[expect(clippy::too_many_arguments, reason = "a recursion with the position of a module in the tree of files")]
    fn add_module(
        &mut self,
        files: &dyn Fn(&Path) -> Option<String>,
        base: &Path,
        name: &str,
        file: &str,
        path: &Path,
        below: &Path,
        items: &[syn::Item],
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            if let syn::Item::Mod(child) = item {
                let child_name = child.ident.to_string();
                let full_name = if name.is_empty() { child_name.clone() } else { format!("{name}::{child_name}") };
                if let Some((_, items)) = &child.content {
                    self.add_module(files, base, &full_name, file, path, &below.join(&child_name), items);
                } else {
                    let (path, below) = child_file(files, child, path, below);
                    self.add_file(files, base, &full_name, &path, &below);
                }
            } else {
                module.defined.extend(defined(item));
                module.visit_item(item);
            }
        }
        self.modules.insert(name.to_owned(), module);
    }

    /// Resolves the leaf of a `use` tree.
    fn find(&self, module: &str, leaf: &Use) -> Option<(String, String)> {
        let (to, item) = self.resolve(module, &leaf.path, MAX_REEXPORTS)?;
        Some((to, if leaf.name == "*" && item.is_empty() { "*".to_owned() } else { item }))
    }

    /// The module that defines what `path` names in `module`, and the item; the item is empty if the path ends at a module.
    /// Nothing is found for a path of another crate or of a local name.
    fn resolve(&self, module: &str, path: &[String], left: usize) -> Option<(String, String)> {
        let left = left.checked_sub(1)?;
        let first = path.first()?.as_str();
        match first {
            "crate" => self.walk("", &path[1..], left),
            "self" => self.walk(module, &path[1..], left),
            "super" => {
                let mut above = parent(module)?;
                let mut rest = &path[1..];
                while let Some((next, more)) = rest.split_first().filter(|(next, _)| *next == "super") {
                    above = parent(above).unwrap_or_else(|| panic!("{module}: too many {next}"));
                    rest = more;
                }
                self.walk(above, rest, left)
            }
            _ if self.modules.contains_key(&join(module, first)) => self.walk(module, path, left),
            _ => {
                let alias = self.modules[module].uses.iter().find(|one| one.name == first && one.path[0] != first)?;
                self.resolve(module, &[&alias.path, &path[1..]].concat(), left)
            }
        }
    }

    fn walk(&self, module: &str, path: &[String], left: usize) -> Option<(String, String)> {
        let left = left.checked_sub(1)?;
        let Some((first, rest)) = path.split_first() else { return Some((module.to_owned(), String::new())) };
        let child = join(module, first);
        if self.modules.contains_key(&child) {
            return self.walk(&child, rest, left);
        }
        let here = &self.modules[module];
        let elsewhere = || {
            let alias = here.uses.iter().find(|one| one.name == *first && one.path.last() != Some(&"self".to_owned()))?;
            self.resolve(module, &[&alias.path, rest].concat(), left)
        };
        let in_globs = || {
            here.uses.iter().filter(|one| one.name == "*").find_map(|one| {
                let (to, item) = self.resolve(module, &one.path, left)?;
                (item.is_empty() && self.modules[&to].defined.contains(first)).then(|| (to, first.clone()))
            })
        };
        if here.defined.contains(first) {
            return Some((module.to_owned(), first.clone()));
        }
        elsewhere().or_else(in_globs).or_else(|| Some((module.to_owned(), first.clone())))
    }
}

impl Module {
    fn add_tree(&mut self, path: &mut Vec<String>, tree: &syn::UseTree, exported: bool) {
        let mut leaf = |path: Vec<String>, name: String| self.uses.push(Use { path, name, exported });
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.add_tree(path, &step.tree, exported);
                path.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(path, tree, exported)),
            syn::UseTree::Glob(_) => leaf(path.clone(), "*".to_owned()),
            syn::UseTree::Name(name) if name.ident == "self" => leaf(path.clone(), path.last().cloned().unwrap_or_default()),
            syn::UseTree::Name(name) => leaf(with(path, &name.ident), name.ident.to_string()),
            syn::UseTree::Rename(new) if new.ident == "self" => leaf(path.clone(), new.rename.to_string()),
            syn::UseTree::Rename(new) => leaf(with(path, &new.ident), new.rename.to_string()),
        }
    }

    /// Collects paths from tokens without a syntax tree: the arguments of macros and of attributes.
    fn add_tokens(&mut self, mut at: Cursor<'_>) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        while !at.eof() {
            if let Some((name, next)) = at.ident() {
                if colons != 2 {
                    self.add_path(std::mem::take(&mut path));
                }
                path.push(name.to_string());
                (at, colons) = (next, 0);
            } else if let Some((mark, next)) = at.punct() {
                colons = if mark.as_char() == ':' { colons + 1 } else { 0 };
                if colons == 0 {
                    self.add_path(std::mem::take(&mut path));
                }
                at = next;
            } else if let Some((inside, _, _, next)) = at.any_group() {
                self.add_path(std::mem::take(&mut path));
                self.add_tokens(inside);
                (at, colons) = (next, 0);
            } else if let Some((_, next)) = at.token_tree() {
                self.add_path(std::mem::take(&mut path));
                (at, colons) = (next, 0);
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&mut Vec::new(), &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.add_tokens(TokenBuffer::new2(call.tokens.clone()).begin());
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        visit::visit_item_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(TokenBuffer::new2(list.tokens.clone()).begin());
        }
    }
}

/// The file of `mod x;`, and the folder of its child modules.
fn child_file(files: &dyn Fn(&Path) -> Option<String>, child: &syn::ItemMod, path: &Path, below: &Path) -> (PathBuf, PathBuf) {
    let name = child.ident.to_string();
    let named = child.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    if let Some(named) = named {
        let named = path.parent().expect("a file is in a folder").join(named);
        // A file that is named so declares its own modules as a mod.rs does.
        let folder = named.parent().expect("a file is in a folder").to_owned();
        return (named, folder);
    }
    let folder = below.join(&name);
    let in_folder = folder.join("mod.rs");
    (if files(&in_folder).is_some() { in_folder } else { below.join(format!("{name}.rs")) }, folder)
}

/// The names that an item other than `use` brings into its module's scope.
fn defined(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is compiled for tests: `#[cfg(test)]`, also among others, but not `#[cfg(not(test))]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => names_test(TokenBuffer::new2(list.tokens.clone()).begin()),
        _ => false,
    })
}

fn names_test(mut at: Cursor<'_>) -> bool {
    let mut negated = false;
    while !at.eof() {
        if let Some((name, next)) = at.ident() {
            if name == "test" {
                return true;
            }
            negated = name == "not";
            at = next;
        } else if let Some((inside, _, _, next)) = at.any_group() {
            if !negated && names_test(inside) {
                return true;
            }
            at = next;
        } else {
            at = at.token_tree().expect("it is not the end").1;
        }
    }
    false
}

fn with(path: &[String], last: &syn::Ident) -> Vec<String> {
    let mut path = path.to_vec();
    path.push(last.to_string());
    path
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// The path of the module above, which is empty for the root; the root has none.
fn parent(module: &str) -> Option<&str> {
    if module.is_empty() {
        return None;
    }
    Some(module.rsplit_once("::").map_or("", |(above, _)| above))
}
