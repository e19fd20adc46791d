//! [`swap`]: several renames, all of them or none.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::new_name;

/// A file or folder, and the name that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rename {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    #[error("{} can't be renamed to {}: {why}", rename.from.display(), rename.to.display())]
    Undone { rename: Rename, why: io::Error },
    #[error("the folder can't be written: {0}")]
    Unwritten(io::Error),
    #[error("{why}; and then {} could not be renamed back to {}: do that by hand", rename.to.display(), rename.from.display())]
    NotUndone { rename: Rename, why: Box<SwapError> },
}

/// Renames all of them in their order, and replaces nothing. The changes of `folders` are on the disk when this returns `Ok`.
///
/// # Errors
/// One can't be renamed; then those before it have their former names again.
pub(super) fn swap(renames: &[Rename], folders: &[&Path]) -> Result<(), SwapError> {
    let mut done = Vec::with_capacity(renames.len());
    for rename in renames {
        if let Err(why) = new_name::rename(&rename.from, &rename.to) {
            return Err(undo(&done, SwapError::Undone { rename: rename.clone(), why }));
        }
        done.push(rename);
    }
    let written = folders.iter().try_for_each(|folder| File::open(folder)?.sync_all());
    written.map_err(|why| undo(&done, SwapError::Unwritten(why)))
}

/// Goes on where one can't be undone, so that as much as possible is as it was.
fn undo(done: &[&Rename], why: SwapError) -> SwapError {
    done.iter().rev().fold(why, |why, rename| match new_name::rename(&rename.to, &rename.from) {
        Ok(()) => why,
        Err(_) => SwapError::NotUndone { rename: (*rename).clone(), why: Box::new(why) },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    /// The files of a folder with what they have.
    fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
        found
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("castway.db", "old"), ("tls/x.pem", "old"), ("part/castway.db", "new"), ("part/tls/x.pem", "new")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(folder.path().join("aside")).unwrap();
        folder
    }

    fn renames(folder: &Path) -> Vec<Rename> {
        let pairs =
            [("castway.db", "aside/castway.db"), ("tls", "aside/tls"), ("part/tls", "tls"), ("part/castway.db", "castway.db")];
        pairs.map(|(from, to)| Rename { from: folder.join(from), to: folder.join(to) }).into()
    }

    #[test]
    fn all_are_renamed() {
        let folder = folder();
        swap(&renames(folder.path()), &[folder.path()]).unwrap();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!([text("castway.db"), text("tls/x.pem")], ["new", "new"]);
        assert_eq!([text("aside/castway.db"), text("aside/tls/x.pem")], ["old", "old"]);
    }

    #[test]
    fn whichever_fails_everything_is_as_before() {
        for failing in 0..4 {
            let folder = folder();
            let mut renames = renames(folder.path());
            renames[failing].from = folder.path().join("missing");
            let before = files(folder.path());
            let error = swap(&renames, &[folder.path()]).unwrap_err();
            assert!(matches!(&error, SwapError::Undone { rename, .. } if *rename == renames[failing]), "{error}");
            assert_eq!(files(folder.path()), before, "{failing}");
        }
        let folder = folder();
        let before = files(folder.path());
        let error = swap(&renames(folder.path()), &[&folder.path().join("missing")]).unwrap_err();
        assert!(matches!(error, SwapError::Unwritten(_)), "{error}");
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn nothing_is_replaced() {
        let folder = folder();
        let renames = &renames(folder.path())[3..];
        let before = files(folder.path());
        let error = swap(renames, &[]).unwrap_err();
        assert!(matches!(&error, SwapError::Undone { why, .. } if why.kind() == io::ErrorKind::AlreadyExists), "{error}");
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn what_can_not_be_undone_is_named() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let done = [Rename { from: at("castway.db"), to: at("gone") }, Rename { from: at("moved"), to: at("tls") }];
        let error = undo(&done.iter().collect::<Vec<_>>(), SwapError::Unwritten(io::Error::other("full")));
        let text = error.to_string();
        assert!(text.contains("full; and then") && text.contains("gone could not be renamed back"), "{text}");
        assert!(at("moved").exists(), "the other one is undone");
    }
}
