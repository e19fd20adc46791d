//! Blocks and unblocks, in words: what a running server does for an operator, and a command where no server runs.

use std::time::{Duration, SystemTime};

use super::ban::{BanTarget, BanTargetError, MAX_BANS, ProtectedNetworks, USER_PREFIX};
use super::store::{Store, StoreError};
use crate::sentence::Sentence;

/// What the ids of bans begin with.
pub const BAN_ID_PREFIX: &str = "ban-";
/// The longest ban that has an end.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Why nobody was blocked or unblocked.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("{0}")]
    Refused(Sentence),
    #[error(transparent)]
    Failed(StoreError),
}

impl From<StoreError> for BlockError {
    fn from(error: StoreError) -> Self {
        if !matches!(error, StoreError::TooManyBans) {
            return Self::Failed(error);
        }
        Self::Refused(Sentence::new(error.to_string(), format!("已有 {MAX_BANS} 条封禁；请先解除其中一些")))
    }
}

/// Blocks the target, and returns it with a sentence that says what was done. `by`: who does it.
///
/// # Errors
/// [`BlockError`].
pub async fn block(
    store: &Store,
    protected: &ProtectedNetworks,
    target: &str,
    time: Option<Duration>,
    by: &str,
    now: SystemTime,
) -> Result<(BanTarget, String), BlockError> {
    let text = target.trim();
    let target: BanTarget = text.parse().map_err(|error: super::ban::BanTargetError| BlockError::Refused(error.sentence()))?;
    if time.is_some_and(|time| time < Duration::from_secs(1) || time > MAX_TIME) {
        let years = MAX_TIME.as_secs() / (365 * 86_400);
        return Err(BlockError::Refused(Sentence::new(
            format!("a ban with an end lasts from a second to {years} years"),
            format!("有期限的封禁为 1 秒至 {years} 年"),
        )));
    }
    protected.check(&target).map_err(BlockError::Refused)?;
    let note = match &target {
        BanTarget::User(name) => note_of_user(store, name).await?,
        BanTarget::Network(_) if target.to_string() != text && !text.contains('/') && text.contains(':') => {
            format!(" It contains {text} and counts as one client.")
        }
        BanTarget::Network(_) => String::new(),
    };
    store.ban(&target, time, by, now).await?;
    let until = time.map_or_else(|| "until somebody unblocks it".to_owned(), |time| format!("for {}", in_words(time)));
    let sentence = format!("Blocked {target} {until}.{note}");
    Ok((target, sentence))
}

/// Ends the ban with this id, or of this target. Returns the targets of the bans that have ended.
///
/// # Errors
/// [`BlockError`].
pub async fn unblock(store: &Store, target: &str, now: SystemTime) -> Result<Vec<String>, BlockError> {
    let text = target.trim();
    if let Some(id) = text.strip_prefix(BAN_ID_PREFIX).and_then(|digits| digits.parse().ok()) {
        return Ok(store.unban_id(id, now).await?.into_iter().collect());
    }
    let mut ended = Vec::new();
    for target in BanTarget::alternatives(text) {
        if store.unban(&target, now).await? {
            ended.push(target.to_string());
        }
    }
    Ok(ended)
}

/// What somebody may have meant who names no ban: ends a sentence about `target`. Empty where it is no user's name.
///
/// # Errors
/// The database failed.
pub async fn hint_of_user(store: &Store, target: &str) -> Result<String, StoreError> {
    let target = target.trim();
    let is_word = matches!(target.parse::<BanTarget>(), Err(BanTargetError::Unknown(_))) && !target.starts_with(BAN_ID_PREFIX);
    let is_meant = is_word || store.list().await?.iter().any(|user| user.name == target);
    Ok(if is_meant { format!("; a user is written {:?}", format!("{USER_PREFIX}{target}")) } else { String::new() })
}

/// What a ban of this user means, besides what everybody expects.
async fn note_of_user(store: &Store, name: &str) -> Result<String, BlockError> {
    if let Ok(checked) = name.parse()
        && store.is_operator(&checked).await?
    {
        return Err(BlockError::Refused(Sentence::new(
            format!("{name:?} is an operator: disable an operator with castway user disable"),
            format!("{name:?} 是管理员：请用 castway user disable 停用管理员"),
        )));
    }
    let is_user = store.list().await?.iter().any(|user| user.name == name);
    Ok(if is_user { "" } else { " There is no such user; credentials that a key or another issuer signs for the name end." }
        .to_owned())
}

/// `2d 3h`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let words = units.into_iter().filter(|(count, _)| *count > 0);
    words.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::turn::Scope;
    use crate::users::OperatorPassword;
    use crate::users::name::UserName;
    use crate::users::password::PasswordKeys;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_time_has_its_units() {
        let words = [3600, 90_061, 172_800, 59].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(words, ["1h", "1d 1h 1m 1s", "2d", "59s"]);
    }

    #[tokio::test]
    async fn blocks_are_kept_replaced_and_ended_by_target_or_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        let protected = ProtectedNetworks::new(&[], ["203.0.113.7".parse().unwrap()]);
        let block = async |target: &str, time, second| {
            block(&store, &protected, target, time, "anna", at(second)).await.map(|(_, sentence)| sentence)
        };
        let kept = async |second| -> Vec<_> {
            let bans = store.bans(at(second)).await.unwrap();
            bans.into_iter().map(|ban| (ban.target, ban.until.map(|until| until - 1_800_000_000))).collect()
        };
        assert_eq!(block("198.51.100.7", None, 1).await.unwrap(), "Blocked 198.51.100.7 until somebody unblocks it.");
        let sentence = block(" 2001:db8::5 ", Some(HOUR), 2).await.unwrap();
        assert_eq!(sentence, "Blocked 2001:db8::/64 for 1h. It contains 2001:db8::5 and counts as one client.");
        assert!(block("user:zoe", Some(2 * HOUR), 3).await.unwrap().contains("There is no such user"));
        let (v4, v6) = (("198.51.100.7".to_owned(), None), ("2001:db8::/64".to_owned(), Some(3602)));
        let zoe = ("user:zoe".to_owned(), Some(7203));
        assert_eq!(kept(3).await, [zoe.clone(), v6, v4]);
        assert_eq!(kept(3602).await.len(), 2, "a ban ends at its second");

        block("198.51.100.7/32", Some(HOUR), 4).await.unwrap();
        assert_eq!(kept(4).await[0], ("198.51.100.7".to_owned(), Some(3604)), "one target has one ban");
        let id = store.bans(at(4)).await.unwrap()[0].id;
        assert_eq!(unblock(&store, "2001:db8::99", at(5)).await.unwrap(), ["2001:db8::/64"]);
        assert_eq!(unblock(&store, &format!("{BAN_ID_PREFIX}{id}"), at(5)).await.unwrap(), ["198.51.100.7"]);
        assert_eq!(unblock(&store, &format!("{BAN_ID_PREFIX}{id}"), at(5)).await.unwrap(), [""; 0]);
        assert_eq!(unblock(&store, "nonsense", at(5)).await.unwrap(), [""; 0]);
        assert_eq!(unblock(&store, "user:zoe", at(7203)).await.unwrap(), [""; 0], "it has ended by itself");
    }

    #[tokio::test]
    async fn who_names_no_ban_reads_how_a_user_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        let name: UserName = "192.0.2.7".parse().unwrap();
        let keys = PasswordKeys::new(&name, "castway", "a password of some length").unwrap();
        store.add(&name, &keys, Scope::Anyone, at(0)).await.unwrap();
        for (target, hint) in [
            ("carl", "; a user is written \"user:carl\""),
            ("192.0.2.7", "; a user is written \"user:192.0.2.7\""),
            ("192.0.2.8", ""),
            ("0.0.0.0/0", ""),
            ("user:carl", ""),
            ("ban-7", ""),
        ] {
            assert_eq!(hint_of_user(&store, target).await.unwrap(), hint, "{target}");
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        let anna = "anna".parse().unwrap();
        store.add_operator(&anna, &OperatorPassword::new("correct horse battery").unwrap(), at(0)).await.unwrap();
        let protected = ProtectedNetworks::new(&[], ["203.0.113.7".parse().unwrap()]);
        let refused = async |target: &str, time| match block(&store, &protected, target, time, "command line", at(1)).await {
            Err(BlockError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        for (target, time, part) in [
            ("0.0.0.0/0", None, "too many addresses"),
            ("203.0.113.0/24", None, "an address of this machine"),
            ("127.0.0.1", Some(HOUR), "loopback"),
            ("user:anna", None, "castway user disable"),
            ("198.51.100.7", Some(Duration::ZERO), "from a second"),
            ("198.51.100.7", Some(Duration::MAX), "to 10 years"),
        ] {
            let why = refused(target, time).await;
            assert!(why.en.contains(part), "{target}: {why}");
        }
        assert_eq!(store.bans(at(1)).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_flood_of_bans_ends_at_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        store.fill_bans(at(0)).await;
        let ban = async |target: &str| store.ban(&target.parse().unwrap(), None, "anna", at(1)).await;
        assert!(matches!(ban("198.51.100.7").await, Err(StoreError::TooManyBans)));
        ban("10.0.0.1").await.unwrap();
        assert_eq!(store.unban(&"10.0.0.2".parse().unwrap(), at(1)).await.ok(), Some(true));
        ban("198.51.100.7").await.unwrap();
    }
}
