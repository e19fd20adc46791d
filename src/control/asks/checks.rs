//! `check_key`, `check_wait` and `checks`: the checks from outside, which somebody makes with a phone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control::ask::{Answer, Ask};

/// The longest wait for a check.
const MAX_WAIT: Duration = Duration::from_secs(900);

/// Where checks are made and kept.
pub trait Checks: Send + Sync + 'static {
    /// A new key, as `{"key", "url", "expires"}`: `url` opens the check, `expires` is in seconds since 1970.
    ///
    /// # Errors
    /// A sentence.
    fn new_key(&self) -> Result<Value, String>;

    /// The result of the check with this key, once there is one; `None`: the key is unknown or has expired.
    fn result(&self, key: &str) -> Pin<Box<dyn Future<Output = Option<Value>> + Send>>;

    /// The kept results, the newest first.
    fn kept(&self) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + Send>>;
}

/// The questions about checks.
pub fn all(checks: &Arc<dyn Checks>) -> [Box<dyn Ask>; 3] {
    [
        Box::new(CheckKeyAsk(Arc::clone(checks))),
        Box::new(CheckWaitAsk(Arc::clone(checks))),
        Box::new(ChecksAsk(Arc::clone(checks))),
    ]
}

/// `{"ask": "check_key"}`.
struct CheckKeyAsk(Arc<dyn Checks>);

impl Ask for CheckKeyAsk {
    fn name(&self) -> &'static str {
        "check_key"
    }

    fn answer(&self, _question: &Value) -> Answer {
        Box::pin(std::future::ready(self.0.new_key()))
    }
}

/// `{"ask": "check_wait", "key": "…", "seconds": 900}`, answered by `{"result": …}`, where `null` means that there is none (yet).
struct CheckWaitAsk(Arc<dyn Checks>);

impl Ask for CheckWaitAsk {
    fn name(&self) -> &'static str {
        "check_wait"
    }

    fn answer(&self, question: &Value) -> Answer {
        let Some(key) = question["key"].as_str() else {
            return Box::pin(std::future::ready(Err("the question has no \"key\"".to_owned())));
        };
        let seconds = question["seconds"].as_u64().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT);
        let result = self.0.result(key);
        Box::pin(async move { Ok(json!({ "result": tokio::time::timeout(seconds, result).await.ok().flatten() })) })
    }
}

/// `{"ask": "checks"}`, answered by `{"checks": […]}`.
struct ChecksAsk(Arc<dyn Checks>);

impl Ask for ChecksAsk {
    fn name(&self) -> &'static str {
        "checks"
    }

    fn answer(&self, _question: &Value) -> Answer {
        let kept = self.0.kept();
        Box::pin(async move { Ok(json!({ "checks": kept.await? })) })
    }
}
