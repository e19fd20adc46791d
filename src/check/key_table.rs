//! The keys that start checks. Time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Characters of a key: 29 to the tenth power are 420 million million keys.
pub(super) const KEY_LENGTH: usize = 10;
/// Letters and digits without look-alikes.
const ALPHABET: &[u8] = b"ABCDEFGHJKMNPQRSTWXYZ23456789";
/// How long a key is good, and how long the result of its check is waited for after the key was used.
pub(super) const KEY_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Keys at the same time; a new one replaces the oldest.
const MAX_KEYS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct KeyTable(VecDeque<IssuedKey>);

#[derive(Debug)]
struct IssuedKey {
    key: String,
    expires: Instant,
    used: bool,
    /// The first result of the check that the key has started.
    result: Option<Value>,
}

/// Why a key starts no check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyRefusal {
    Used,
    Unknown,
}

impl KeyTable {
    pub(super) fn issue(&mut self, now: Instant) -> String {
        self.forget(now);
        while self.0.len() >= MAX_KEYS {
            self.0.pop_front();
        }
        let key: String = (0..KEY_LENGTH).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect();
        self.0.push_back(IssuedKey { key: key.clone(), expires: now + KEY_LIFETIME, used: false, result: None });
        key
    }

    /// Uses a key up. `typed`: as a person may have typed it, in any case, with spaces and dashes. Returns the key as it was issued.
    pub(super) fn take(&mut self, typed: &str, now: Instant) -> Result<String, KeyRefusal> {
        self.forget(now);
        let key = normalized(typed);
        let issued = self.0.iter_mut().find(|issued| issued.key == key).ok_or(KeyRefusal::Unknown)?;
        if issued.used {
            return Err(KeyRefusal::Used);
        }
        issued.used = true;
        issued.expires = now + KEY_LIFETIME;
        Ok(key)
    }

    /// Notes the first result of a key's check.
    pub(super) fn finish(&mut self, key: &str, result: Value) {
        if let Some(issued) = self.0.iter_mut().find(|issued| issued.key == key && issued.result.is_none()) {
            issued.result = Some(result);
        }
    }

    /// The result of a key's check: `Some(None)` while there is none yet, `None` where the key is not there any more.
    pub(super) fn result(&mut self, key: &str, now: Instant) -> Option<Option<Value>> {
        self.forget(now);
        self.0.iter().find(|issued| issued.key == key).map(|issued| issued.result.clone())
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|issued| issued.expires > now);
    }
}

fn normalized(typed: &str) -> String {
    let kept = typed.chars().filter(char::is_ascii_alphanumeric).take(KEY_LENGTH + 1);
    kept.map(|character| character.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_key_starts_one_check_however_it_is_typed() {
        let (mut keys, now) = (KeyTable::default(), Instant::now());
        let key = keys.issue(now);
        assert_eq!(key.len(), KEY_LENGTH);
        let typed = format!(" {}-{} ", key[..5].to_ascii_lowercase(), &key[5..]);
        assert_eq!(keys.take(&format!("{key}A"), now), Err(KeyRefusal::Unknown));
        assert_eq!(keys.take(&key[..9], now), Err(KeyRefusal::Unknown));
        assert_eq!(keys.take(&typed, now), Ok(key.clone()));
        assert_eq!(keys.take(&key, now), Err(KeyRefusal::Used));
    }

    #[test]
    fn a_key_ends_after_15_minutes() {
        let (mut keys, now) = (KeyTable::default(), Instant::now());
        let key = keys.issue(now);
        assert_eq!(keys.take(&key, now + minutes(15)), Err(KeyRefusal::Unknown));
        let key = keys.issue(now);
        assert!(keys.take(&key, now + minutes(15) - Duration::from_secs(1)).is_ok());
        assert_eq!(keys.result(&key, now + minutes(29)), Some(None), "its check has another 15 minutes");
        assert_eq!(keys.result(&key, now + minutes(30)), None);
    }

    #[test]
    fn the_oldest_of_nine_keys_ends() {
        let (mut keys, now) = (KeyTable::default(), Instant::now());
        let issued: Vec<String> = (0..9).map(|_| keys.issue(now)).collect();
        assert_eq!(keys.take(&issued[0], now), Err(KeyRefusal::Unknown));
        assert!(issued[1..].iter().all(|key| keys.take(key, now).is_ok()));
    }

    #[test]
    fn the_first_result_of_a_key_counts() {
        let (mut keys, now) = (KeyTable::default(), Instant::now());
        let key = keys.issue(now);
        keys.finish(&key, Value::from(1));
        keys.finish(&key, Value::from(2));
        assert_eq!(keys.result(&key, now), Some(Some(Value::from(1))));
        assert_eq!(keys.result("ABCDEFGHJK", now), None);
    }
}
