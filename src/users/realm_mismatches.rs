//! Warns of users whose password was set for another realm than the server's: the relay refuses them, and they can't know why.

use super::directory::Directory;
use crate::sentence::Sentence;

/// Maximum number of names in one sentence.
const MAX_NAMED: usize = 2;

/// The users that were named in the last warning, so that each is named once.
#[derive(Debug)]
pub struct RealmMismatches {
    realm: String,
    /// Their names.
    warned_of: Vec<String>,
    /// The directory's revision at the last check.
    checked_revision: Option<u64>,
}

impl RealmMismatches {
    /// `realm` is the server's realm.
    pub const fn new(realm: String) -> Self {
        Self { realm, warned_of: Vec::new(), checked_revision: None }
    }

    /// A warning, if a user has appeared since the last call.
    pub fn new_warning(&mut self, directory: &Directory) -> Option<Sentence> {
        // The revision is read first, so the next call sees what changes between the two reads.
        let revision = directory.revision();
        if self.checked_revision.replace(revision) == Some(revision) {
            return None;
        }
        self.compare(directory.users_of_other_realms(&self.realm))
    }

    fn compare(&mut self, names: Vec<String>) -> Option<Sentence> {
        let before = std::mem::replace(&mut self.warned_of, names);
        self.warned_of.iter().any(|name| !before.contains(name)).then(|| self.warning())
    }

    fn warning(&self) -> Sentence {
        let named: Vec<_> = self.warned_of.iter().take(MAX_NAMED).map(|name| format!("{name:?}")).collect();
        let more = if self.warned_of.len() > MAX_NAMED { ", …" } else { "" };
        let (count, many) =
            (self.warned_of.len(), if self.warned_of.len() == 1 { "user has a password" } else { "users have passwords" });
        let (realm, named) = (&self.realm, named.join(", "));
        Sentence::new(
            format!(
                "{count} {many} for another realm than this server's CASTWAY_REALM={realm} ({named}{more}): the relay refuses them until \
                 `castway user passwd NAME` sets the password again"
            ),
            format!(
                "有 {count} 个用户的密码是为其他 realm 设置的，而不是此服务器的 CASTWAY_REALM={realm}（{named}{more}）：在用 `castway user passwd \
                 NAME` 重新设置密码之前，中继会拒绝他们"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_newcomer_is_told_once_and_with_two_names_at_most() {
        let mut others = RealmMismatches::new("tv".to_owned());
        let mut compare = |names: &[&str]| others.compare(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(compare(&[]), None);
        let one = "1 user has a password for another realm than this server's CASTWAY_REALM=tv (\"alice\"): the relay refuses them \
                   until `castway user passwd NAME` sets the password again";
        assert_eq!(compare(&["alice"]).map(|warning| warning.en).as_deref(), Some(one));
        assert_eq!(compare(&["alice"]), None);
        let three = compare(&["alice", "bob", "carol"]).unwrap().en;
        assert!(three.starts_with("3 users have") && three.contains("(\"alice\", \"bob\", …)"), "{three}");
        // A user whose password was set again is no news, and one who comes back is.
        assert_eq!(compare(&["bob", "carol"]), None);
        assert!(compare(&["alice", "bob", "carol"]).is_some());
    }
}
