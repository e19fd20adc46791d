//! Whether the relay works on every way that clients are told of: a client that is not this project's own (the crate `turn`) makes an
//! allocation over each advertised URL, is permitted a peer, and sends a payload there and back.
//!
//! - Inputs: what the running server says of itself, and fresh credentials.
//! - Output: lines. Each URL takes at most [`TIMEOUT`], and all are tested side by side.
//! - Invariant: a URL that leads to a router before this machine is no fault where only the way back in fails: many routers carry no
//!   packets from inside to their own outer address. Then the relay is asked where it listens, and the check from outside tells the rest.

mod connect;
mod echo;
mod lines;
mod outcome;
mod stream;
mod ways;

use std::time::Duration;

use tokio::time::Instant;

use self::connect::{Fault, Way};
use self::outcome::{Outcome, Result};
use self::ways::Tested;
use super::inputs::{Credentials, Inputs};
use super::line::{Line, Topic};
use crate::addresses::interfaces;

const TIMEOUT: Duration = Duration::from_secs(5);
/// A quota of the relay is full: the other tests have filled it, maybe.
const QUOTA_REACHED: u16 = 486;

/// Tests the relay. Without a running server there is nothing to test.
pub(super) async fn look(inputs: &Inputs) -> Vec<Line> {
    let Some(facts) = &inputs.facts else { return Vec::new() };
    let Some(credentials) = &inputs.credentials else {
        return vec![Line::unknown(Topic::Relay, "not tested: the server gave no credentials")];
    };
    if facts.relay.urls.is_empty() {
        return vec![Line::failed(Topic::Relay, "clients are told of no relay: CASTWAY_TURN_UDP and CASTWAY_TURN_TCP are off")];
    }
    let own = interfaces::addresses();
    let (mut tested, mut unresolved) = (Vec::new(), Vec::new());
    for url in &facts.relay.urls {
        match ways::tested(url, &facts.listeners, &own).await {
            Ok(found) => tested.extend(found),
            Err(failure) => unresolved.push(failure),
        }
    }
    let mut outcomes = futures_util::future::join_all(tested.into_iter().map(|tested| test(tested, credentials))).await;
    for outcome in &mut outcomes {
        if matches!(outcome.advertised, Err(Fault::Refused { code: QUOTA_REACHED, .. })) {
            *outcome = test(outcome.tested.clone(), credentials).await;
        }
    }
    lines::lines(&outcomes, &unresolved)
}

async fn test(tested: Tested, credentials: &Credentials) -> Outcome {
    let advertised = timed(&tested.advertised, credentials).await;
    let local = match &tested.local {
        Some(way) if advertised.is_err() && *way != tested.advertised => Some(timed(way, credentials).await),
        _ => None,
    };
    Outcome { tested, advertised, local }
}

async fn timed(way: &Way, credentials: &Credentials) -> Result {
    let started = Instant::now();
    let doubt = echo::echo(way, credentials, started + TIMEOUT).await?;
    Ok((started.elapsed(), doubt))
}
