//! The names of the files that this module keeps in the data folder. A backup has these and no others.

/// The folder of all certificates, in the data folder.
pub const FOLDER: &str = "tls";
/// Of the certificates that the server makes itself.
pub(super) const SELF_SIGNED: &str = "self-signed.pem";
/// Below the folder of an authority.
pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const ACCOUNT: &str = "account.json";

/// Bytes of the longest name in a folder, on all file systems.
const MAX_NAME_BYTES: usize = 255;

/// Whether a path below the data folder is one of a file that is kept here.
#[must_use]
pub fn is_kept(path: &str) -> bool {
    match *path.split('/').collect::<Vec<_>>() {
        [folder, file] => folder == FOLDER && file == SELF_SIGNED,
        [folder, authority, file] => folder == FOLDER && is_authority(authority) && (file == CERTIFICATE || file == ACCOUNT),
        _ => false,
    }
}

/// Whether a name is one that the folder of an authority may have: its host, and what follows that.
fn is_authority(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    plain && !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && name != SELF_SIGNED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_certificates_and_accounts_are_kept_and_no_others() {
        for kept in [
            "tls/self-signed.pem",
            "tls/acme-v02.api.letsencrypt.org/account.json",
            "tls/acme-v02.api.letsencrypt.org/certificate.pem",
            "tls/localhost-14000-0a1b2c3d4e5f6071/account.json",
            "tls/_2001_db8__1_/account.json",
        ] {
            assert!(is_kept(kept), "{kept}");
        }
        for other in [
            "",
            "tls",
            "tls/",
            "castway.db",
            "/etc/passwd",
            "/tls/self-signed.pem",
            "tls/../castway.db",
            "tls/../account.json",
            "tls/./account.json",
            "tls/.hidden/account.json",
            "tls//account.json",
            "tls//self-signed.pem",
            "../tls/self-signed.pem",
            "tls/a/b/account.json",
            "tls/a/other.pem",
            "tls/other.pem",
            "tls/a\0/account.json",
            "tls/a b/account.json",
            "tls/self-signed.pem/account.json",
            "tls/self-signed.pem\n",
            "TLS/self-signed.pem",
        ] {
            assert!(!is_kept(other), "{other:?}");
        }
    }
}
