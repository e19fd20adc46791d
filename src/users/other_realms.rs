//! Users whose password was set for another realm than the server's: it refuses them for ever, and they can't know why.

use super::directory::Directory;

/// How many names one sentence has.
const NAMED: usize = 2;

/// Says who they are, once for each change.
#[derive(Debug)]
pub struct OtherRealms {
    realm: String,
    /// The names of whom was told.
    told: Vec<String>,
    /// The directory's revision at the last look.
    seen: Option<u64>,
}

impl OtherRealms {
    /// `realm` is the server's.
    pub const fn new(realm: String) -> Self {
        Self { realm, told: Vec::new(), seen: None }
    }

    /// A warning where somebody is there who was not at the last call.
    pub fn news(&mut self, directory: &Directory) -> Option<String> {
        // Read before the names: what changes between the two is seen by the next call.
        let revision = directory.revision();
        if self.seen.replace(revision) == Some(revision) {
            return None;
        }
        self.compare(directory.users_of_other_realms(&self.realm))
    }

    fn compare(&mut self, names: Vec<String>) -> Option<String> {
        let before = std::mem::replace(&mut self.told, names);
        self.told.iter().any(|name| !before.contains(name)).then(|| self.warning())
    }

    fn warning(&self) -> String {
        let named: Vec<_> = self.told.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
        let more = if self.told.len() > NAMED { ", …" } else { "" };
        let (count, many) = (self.told.len(), if self.told.len() == 1 { "user has a password" } else { "users have passwords" });
        format!(
            "{count} {many} for another realm than this server's CASTWAY_REALM={} ({}{more}): the relay refuses them until \
             `castway user passwd NAME` sets the password again",
            self.realm,
            named.join(", "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_newcomer_is_told_once_and_with_two_names_at_most() {
        let mut others = OtherRealms::new("tv".to_owned());
        let mut compare = |names: &[&str]| others.compare(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(compare(&[]), None);
        let one = "1 user has a password for another realm than this server's CASTWAY_REALM=tv (\"alice\"): the relay refuses them \
                   until `castway user passwd NAME` sets the password again";
        assert_eq!(compare(&["alice"]).as_deref(), Some(one));
        assert_eq!(compare(&["alice"]), None);
        let three = compare(&["alice", "bob", "carol"]).unwrap();
        assert!(three.starts_with("3 users have") && three.contains("(\"alice\", \"bob\", …)"), "{three}");
        // A user whose password was set again is no news, and one who comes back is.
        assert_eq!(compare(&["bob", "carol"]), None);
        assert!(compare(&["alice", "bob", "carol"]).is_some());
    }
}
