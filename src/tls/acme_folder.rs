//! The folder of one directory of a certificate authority (RFC 8555 §7.1.1): accounts and certificates of a test directory are not those of
//! another one, also where both have one host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::kept_names::ACCOUNT;

/// Characters of the host that are part of the name.
const MAX_HOST_CHARACTERS: usize = 200;
/// Bytes of the hash that are part of the name.
const HASH_BYTES: usize = 8;

/// What an account says of its directory.
#[derive(Debug, Deserialize)]
struct AccountDirectory {
    directory: Option<String>,
}

/// The folder of `directory` below the folder of all certificates.
pub(super) fn of(folders: &Path, directory: &Url) -> PathBuf {
    let name = former_name(directory);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    let host: String = name.chars().map(plain).take(MAX_HOST_CHARACTERS).collect();
    let hash = Sha256::digest(directory.as_str());
    let hash: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    folders.join(format!("{host}-{hash}"))
}

/// The name that it had when all directories of a host had one folder.
fn former_name(directory: &Url) -> String {
    let host = directory.host_str().unwrap_or("directory");
    let port = directory.port().map(|port| format!("-{port}")).unwrap_or_default();
    format!("{host}{port}").replace(['[', ']', ':'], "_")
}

/// Gives the former folder its present name, if its account is one of `directory`.
///
/// # Errors
/// It can't be renamed.
pub(super) fn take_over(folders: &Path, directory: &Url) -> io::Result<()> {
    let (former, own) = (folders.join(former_name(directory)), of(folders, directory));
    let is_ours = fs::read(former.join(ACCOUNT)).is_ok_and(|account| is_of(&account, directory));
    if is_ours && own.symlink_metadata().is_err() { fs::rename(former, own) } else { Ok(()) }
}

/// Whether the account, as it is kept, is one of `directory`: its requests go to the directory that it names itself.
pub(super) fn is_of(account: &[u8], directory: &Url) -> bool {
    let found = serde_json::from_slice::<AccountDirectory>(account).ok();
    found.and_then(|found| found.directory).is_some_and(|found| found == directory.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::kept_names::{self, CERTIFICATE};
    use super::*;

    const REAL: &str = "https://ca.example.org/acme/real/directory";
    const STAGING: &str = "https://ca.example.org/acme/staging/directory";

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn folders_with(former: &str, account: &str) -> tempfile::TempDir {
        let folders = tempfile::tempdir().unwrap();
        let former = folders.path().join(former);
        fs::create_dir(&former).unwrap();
        fs::write(former.join(ACCOUNT), account).unwrap();
        fs::write(former.join(CERTIFICATE), "pem").unwrap();
        folders
    }

    #[test]
    fn each_directory_has_a_folder_of_its_own() {
        let tls = Path::new(kept_names::FOLDER);
        let long = format!("https://{}.org/directory", vec!["a".repeat(60); 4].join("."));
        let texts = [REAL, STAGING, "https://ca.example.org:14000/dir", "https://[2001:db8::1]/dir", "https://a_b~c.org/", &long];
        let folders: Vec<_> = texts.map(|text| of(tls, &url(text))).into();
        for (index, folder) in folders.iter().enumerate() {
            assert!(!folders[..index].contains(folder), "{folder:?}");
            assert!(kept_names::is_kept(folder.join(ACCOUNT).to_str().unwrap()), "{folder:?} is in a backup");
        }
        assert!(folders[2].to_str().unwrap().starts_with("tls/ca.example.org-14000-"), "people find it: {folders:?}");
    }

    #[test]
    fn a_former_folder_goes_to_the_directory_of_its_account() {
        let folders = folders_with("ca.example.org", &format!(r#"{{"id":"x","key_pkcs8":"","directory":"{STAGING}"}}"#));
        take_over(folders.path(), &url(REAL)).unwrap();
        assert!(folders.path().join("ca.example.org").exists(), "it is of another directory");
        take_over(folders.path(), &url(STAGING)).unwrap();
        let own = of(folders.path(), &url(STAGING));
        assert_eq!(fs::read_to_string(own.join(CERTIFICATE)).unwrap(), "pem");
        assert!(!folders.path().join("ca.example.org").exists() && !of(folders.path(), &url(REAL)).exists());
    }

    #[test]
    fn a_former_folder_replaces_nothing_and_needs_an_account() {
        let account = format!(r#"{{"directory":"{REAL}"}}"#);
        let folders = folders_with("ca.example.org", &account);
        let own = of(folders.path(), &url(REAL));
        fs::create_dir(&own).unwrap();
        take_over(folders.path(), &url(REAL)).unwrap();
        assert!(folders.path().join("ca.example.org").exists() && !own.join(ACCOUNT).exists());
        for unreadable in ["", "{}", "[]", r#"{"directory":null}"#] {
            let folders = folders_with("ca.example.org", unreadable);
            take_over(folders.path(), &url(REAL)).unwrap();
            assert!(folders.path().join("ca.example.org").exists(), "{unreadable}");
        }
    }
}
