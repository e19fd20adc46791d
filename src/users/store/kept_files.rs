//! [`KeptFiles`]: the files that a backup has beside the database, within bounds. A backup that breaks one is neither made nor restored.

use std::collections::BTreeSet;

/// Files at most: two for each authority, and the self-signed certificate.
const MAX_KEPT_FILES: usize = 1000;
/// Bytes of the longest one: a certificate with its chain and its key.
pub const MAX_KEPT_FILE_BYTES: u64 = 1024 * 1024;
/// Bytes of all of them, which are in memory together.
const MAX_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of the longest name.
pub(super) const MAX_NAME_BYTES: usize = 300;

/// A file of the data folder, by its path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    pub name: String,
    pub content: Vec<u8>,
}

/// Why a backup can't have a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptFilesError {
    #[error("there are more than {MAX_KEPT_FILES} files beside the database")]
    TooMany,
    #[error("a file has a name of more than {MAX_NAME_BYTES} bytes")]
    Name,
    #[error("{0:?} has more than {MAX_KEPT_FILE_BYTES} bytes")]
    TooLong(String),
    #[error("with {0:?} the files beside the database have more than {MAX_KEPT_BYTES} bytes")]
    TooMuch(String),
    #[error("{0:?} is there twice")]
    Twice(String),
    #[error("{0:?} is no file")]
    NoFile(String),
}

/// The names and the sizes of the files so far.
#[derive(Debug, Default)]
pub struct KeptFiles {
    names: BTreeSet<String>,
    bytes: u64,
}

impl KeptFiles {
    /// Takes one more, before it is read.
    ///
    /// # Errors
    /// The bound that the file breaks.
    pub fn add(&mut self, name: &str, bytes: u64) -> Result<(), KeptFilesError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(KeptFilesError::Name);
        }
        if self.names.len() >= MAX_KEPT_FILES {
            return Err(KeptFilesError::TooMany);
        }
        if bytes > MAX_KEPT_FILE_BYTES {
            return Err(KeptFilesError::TooLong(name.to_owned()));
        }
        self.bytes += bytes;
        if self.bytes > MAX_KEPT_BYTES {
            return Err(KeptFilesError::TooMuch(name.to_owned()));
        }
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(KeptFilesError::Twice(name.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_has_so_many_files_and_bytes_and_no_more() {
        let mut files = KeptFiles::default();
        for number in 0..MAX_KEPT_FILES {
            assert_eq!(files.add(&number.to_string(), 1), Ok(()));
        }
        assert_eq!(files.add("more", 1), Err(KeptFilesError::TooMany));

        let mut files = KeptFiles::default();
        assert_eq!(files.add("a", MAX_KEPT_FILE_BYTES + 1), Err(KeptFilesError::TooLong("a".to_owned())));
        for number in 0..MAX_KEPT_BYTES / MAX_KEPT_FILE_BYTES {
            assert_eq!(files.add(&number.to_string(), MAX_KEPT_FILE_BYTES), Ok(()));
        }
        assert_eq!(files.add("b", 1), Err(KeptFilesError::TooMuch("b".to_owned())));
    }

    #[test]
    fn a_file_has_one_name_which_is_short() {
        let mut files = KeptFiles::default();
        assert_eq!(files.add(&"x".repeat(MAX_NAME_BYTES + 1), 1), Err(KeptFilesError::Name));
        assert_eq!((files.add("a", 1), files.add("a", 1)), (Ok(()), Err(KeptFilesError::Twice("a".to_owned()))));
    }
}
