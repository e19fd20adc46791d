//! Bans of users, addresses and networks, and addresses that are throttled because of wrong guesses.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::ActError;
use super::handle::Operator;
use crate::addresses::interfaces;
use crate::limits::throttled::Throttled;
use crate::sentence::Sentence;
use crate::users::blocking::{self, BAN_ID_PREFIX, BlockError};
use crate::users::{BanTarget, KeptBan, ProtectedNetworks};

/// Who has blocked by a command.
pub const BY_COMMAND: &str = "command line";
/// Bytes of the longest text that names a target.
const MAX_TARGET_BYTES: usize = 512;

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BanRow {
    /// `ban-N`.
    pub id: String,
    /// An address, a network, or `user:NAME`.
    pub target: String,
    pub since: u64,
    /// `None`: until somebody ends it.
    pub until: Option<u64>,
    /// The operator's name, or [`BY_COMMAND`].
    pub by: String,
}

impl From<KeptBan> for BanRow {
    fn from(KeptBan { id, target, since, until, by }: KeptBan) -> Self {
        let seconds = |time| u64::try_from(time).unwrap_or(0);
        Self { id: format!("{BAN_ID_PREFIX}{id}"), target, since: seconds(since), until: until.map(seconds), by }
    }
}

/// An address that has to wait because of its wrong guesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThrottledRow {
    /// The address, or the network that counts as one client.
    pub address: String,
    /// What it guessed, as the log names it: `code`, `turn_password` ….
    pub kind: String,
    /// In seconds.
    pub wait: u64,
}

impl From<Throttled> for ThrottledRow {
    fn from(Throttled { client, kind, wait }: Throttled) -> Self {
        let address = if client.is_ipv6() { format!("{client}/64") } else { client.to_string() };
        Self { address, kind: kind.name().to_owned(), wait: wait.as_secs_f64().ceil() as u64 }
    }
}

impl From<BlockError> for ActError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Refused(why) => Self::Refused(why),
            BlockError::Failed(error) => Self::Failed(error.to_string()),
        }
    }
}

impl Operator {
    /// The newest first.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn bans(&self) -> Result<Vec<BanRow>, ActError> {
        let kept = self.0.store.bans(SystemTime::now()).await.map_err(|error| ActError::Failed(error.to_string()))?;
        Ok(kept.into_iter().map(BanRow::from).collect())
    }

    /// Bans an address, a network or `user:NAME`, ends what it has here, and returns a sentence.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn block(&self, target: &str, time: Option<Duration>, by: &str) -> Result<String, ActError> {
        let parts = &self.0;
        let (target, sentence) =
            blocking::block(&parts.store, &self.protected(), bounded(target)?, time, by, SystemTime::now()).await?;
        let (seconds, blocked) = (time.map(|time| time.as_secs()), target.to_string());
        match target {
            BanTarget::Network(_) => tracing::info!(by, %blocked, seconds, "operator blocked an address"),
            BanTarget::User(_) => tracing::info!(by, ?blocked, seconds, "operator blocked a user"),
        }
        parts.directory.catch_up().await;
        Ok(sentence)
    }

    /// Ends a ban (its id or its target), or lets an address guess again.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn unblock(&self, target: &str, by: &str) -> Result<String, ActError> {
        let target = bounded(target)?.trim();
        let ended = blocking::unblock(&self.0.store, target, SystemTime::now()).await?;
        let forgotten = client(target).is_some_and(|ip| self.0.reports.forget(ip, Instant::now()));
        for target in &ended {
            tracing::info!(by, unblocked = ?target, "operator ended a ban");
        }
        if forgotten {
            tracing::info!(by, address = target, "operator lets an address guess again");
        }
        self.0.directory.catch_up().await;
        match (ended.join(" and "), forgotten) {
            (ended, false) if ended.is_empty() => {
                let hint = blocking::hint_of_user(&self.0.store, target).await;
                let hint = hint.map_err(|error| ActError::Failed(error.to_string()))?;
                Err(ActError::NotFound(format!("{target:?} is neither blocked nor throttled{hint}")))
            }
            (ended, true) if ended.is_empty() => Ok(format!("{target} may guess again.")),
            (ended, false) => Ok(format!("Unblocked {ended}.")),
            (ended, true) => Ok(format!("Unblocked {ended}, which may guess again.")),
        }
    }

    /// Those that wait longest first; at most 500.
    #[must_use]
    pub fn throttled(&self) -> Vec<ThrottledRow> {
        self.0.reports.throttled(Instant::now()).into_iter().map(ThrottledRow::from).collect()
    }

    /// The networks of which nothing may be banned, now.
    fn protected(&self) -> ProtectedNetworks {
        let parts = &self.0;
        let relayed = parts.external.relayed_ips().into_iter().flatten();
        let relayed = relayed.flat_map(|relayed| [relayed.bound, relayed.advertised]);
        let own = interfaces::addresses().into_iter().chain(relayed).chain(parts.external.address());
        ProtectedNetworks::new(&parts.trusted_proxies, own)
    }
}

/// # Errors
/// `Refused`: the text is too long to name somebody.
fn bounded(target: &str) -> Result<&str, ActError> {
    if target.len() <= MAX_TARGET_BYTES {
        return Ok(target);
    }
    let in_chinese = format!("目标最多 {MAX_TARGET_BYTES} 字节");
    Err(ActError::Refused(Sentence::new(format!("a target has at most {MAX_TARGET_BYTES} bytes"), in_chinese)))
}

/// An address of the client that the text names, as an address or as the network that [`ThrottledRow`] has.
fn client(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| {
        let network: IpNet = text.parse().ok()?;
        let is_client = network.prefix_len() == if network.addr().is_ipv4() { 32 } else { 64 };
        is_client.then(|| network.addr())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::guesses::GuessKind;

    #[test]
    fn a_throttled_row_names_what_unblock_takes() {
        for (ip, shown) in [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2::", "2001:db8:1:2::/64")] {
            let ip: IpAddr = ip.parse().unwrap();
            let row = ThrottledRow::from(Throttled { client: ip, kind: GuessKind::Code, wait: Duration::from_millis(1500) });
            assert_eq!((row.address.as_str(), row.kind.as_str(), row.wait), (shown, "code", 2));
            assert_eq!(client(&row.address), Some(ip));
        }
        for other in ["10.0.0.0/8", "2001:db8::/48", "user:alice", "ban-1", ""] {
            assert_eq!(client(other), None, "{other}");
        }
    }
}
