//! The rows of coturn's tables, from whatever they are read.

use anyhow::bail;

use crate::cli::import::credential::{self, CoturnUser, Credential};
use crate::config::secret::Secret;

/// Rows of the largest database that is read, users and others together.
pub(super) const MAX_ROWS: usize = 1_000_000;
/// Bytes of the longest value that coturn's tables hold.
pub(super) const MAX_VALUE_BYTES: usize = 512;

/// Bytes of the values of all rows together: a million users of usual names and keys have half of them.
pub(super) const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The columns of coturn's tables in their order, as its schema has them.
const TABLES: &[(&str, &[&str])] = &[
    ("turnusers_lt", &["realm", "name", "hmackey"]),
    ("turn_secret", &["realm", "value"]),
    ("allowed_peer_ip", &["realm", "ip_range"]),
    ("denied_peer_ip", &["realm", "ip_range"]),
    ("turn_realm_option", &["realm", "opt", "value"]),
    ("turn_origin_to_realm", &["origin", "realm"]),
    ("oauth_key", &["kid", "ikm_key", "timestamp", "lifetime", "as_rs_alg", "realm"]),
    ("admin_user", &["name", "realm", "password"]),
];

/// The columns of one of coturn's tables; `None`: it is none of them.
pub(super) fn columns(table: &str) -> Option<&'static [&'static str]> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns)
}

/// The names of coturn's tables.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// Peers that turnserver may reach, or must not reach.
pub(in crate::cli::import) struct PeerRow {
    pub(in crate::cli::import) realm: String,
    pub(in crate::cli::import) is_allowed: bool,
    pub(in crate::cli::import) range: String,
}

/// An option of a realm.
pub(in crate::cli::import) struct RealmOption {
    pub(in crate::cli::import) realm: String,
    pub(in crate::cli::import) name: String,
    pub(in crate::cli::import) value: String,
}

/// What a database of coturn has.
#[derive(Default)]
pub(in crate::cli::import) struct Rows {
    pub(in crate::cli::import) users: Vec<CoturnUser>,
    /// Each with its realm.
    pub(in crate::cli::import) secrets: Vec<(String, Secret<String>)>,
    pub(in crate::cli::import) peers: Vec<PeerRow>,
    pub(in crate::cli::import) realm_options: Vec<RealmOption>,
    /// Names of administrators.
    pub(in crate::cli::import) admins: Vec<String>,
    pub(in crate::cli::import) oauth_keys: usize,
    pub(in crate::cli::import) origins: usize,
    /// Users whose key is none.
    pub(in crate::cli::import) unusable: Vec<String>,
    /// Rows that have been read; the fields above have fewer.
    pub(super) count: usize,
    /// Bytes of their values.
    pub(super) bytes: usize,
}

impl Rows {
    /// Adds a row of a table, whose values stand for `columns`. A value that is NULL is empty.
    pub(super) fn add(&mut self, table: &str, columns: &[impl AsRef<str>], values: &[String]) -> anyhow::Result<()> {
        let value = |column: &str| {
            let index = columns.iter().position(|name| name.as_ref() == column);
            index.and_then(|index| values.get(index)).cloned().unwrap_or_default()
        };
        if values.len() != columns.len() || values.iter().any(|value| value.len() > MAX_VALUE_BYTES) {
            bail!("a row of {table} is not as coturn writes it");
        }
        self.count += 1;
        if self.count > MAX_ROWS {
            bail!("there are more than {MAX_ROWS} rows");
        }
        self.bytes += values.iter().map(String::len).sum::<usize>();
        if self.bytes > MAX_BYTES {
            bail!("the rows have more than {MAX_BYTES} bytes");
        }
        match table {
            "turnusers_lt" => self.add_user(&value("realm"), &value("name"), &value("hmackey")),
            "turn_secret" => self.secrets.push((value("realm"), Secret::new(value("value")))),
            "allowed_peer_ip" | "denied_peer_ip" => {
                let is_allowed = table == "allowed_peer_ip";
                self.peers.push(PeerRow { realm: value("realm"), is_allowed, range: value("ip_range") });
            }
            "turn_realm_option" => {
                self.realm_options.push(RealmOption { realm: value("realm"), name: value("opt"), value: value("value") });
            }
            "turn_origin_to_realm" => self.origins += 1,
            "oauth_key" => self.oauth_keys += 1,
            "admin_user" => self.admins.push(value("name")),
            _ => {}
        }
        Ok(())
    }

    fn add_user(&mut self, realm: &str, name: &str, key: &str) {
        match credential::key(key.trim().trim_start_matches("0x")) {
            Some(key) => {
                let (name, realm) = (name.to_owned(), realm.to_owned());
                self.users.push(CoturnUser { name, realm, credential: Credential::Key(key) });
            }
            None => self.unusable.push(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_rows_are_read_and_no_more() {
        let mut rows = Rows { count: MAX_ROWS - 1, ..Rows::default() };
        let mut add = || rows.add("turn_origin_to_realm", &["origin", "realm"], &["a".to_owned(), "b".to_owned()]);
        add().unwrap();
        assert_eq!(add().unwrap_err().to_string(), "there are more than 1000000 rows");
        assert_eq!(rows.origins, 1);
    }

    #[test]
    fn so_many_bytes_are_read_and_no_more() {
        let mut rows = Rows { bytes: MAX_BYTES - 3, ..Rows::default() };
        let mut add = || rows.add("turn_secret", &["realm", "value"], &["a".to_owned(), "bc".to_owned()]);
        add().unwrap();
        assert_eq!(add().unwrap_err().to_string(), "the rows have more than 268435456 bytes");
        assert_eq!(rows.secrets.len(), 1);
    }

    #[test]
    fn a_value_is_as_long_as_a_column_of_coturn() {
        let mut rows = Rows::default();
        let mut add = |bytes: usize| rows.add("turn_secret", &["realm", "value"], &[String::new(), "x".repeat(bytes)]);
        add(MAX_VALUE_BYTES).unwrap();
        assert_eq!(add(MAX_VALUE_BYTES + 1).unwrap_err().to_string(), "a row of turn_secret is not as coturn writes it");
        assert_eq!(rows.secrets.len(), 1);
    }
}
