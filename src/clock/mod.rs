//! The wall clock, for everything that outlives this process, such as the expiry of credentials. All waiting goes by monotonic time, which
//! never jumps.
//!
//! The two drift apart when the wall clock is set (on a Raspberry Pi without a battery, at the first answer of NTP) and when the machine is
//! suspended. NTP's small corrections change the pace of both.
//!
//! - **Owner** of nothing; each user keeps its own [`WallClock`].
//! - **Inputs**: monotonic time, and readings of the wall clock.
//! - **Outputs**: the Unix time at an instant, and by how many seconds the wall clock was set.
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use castway::clock::WallClock;
//!
//! let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
//! let mut clock = WallClock::new(start, wall);
//! let later = start + Duration::from_secs(5);
//! assert_eq!(clock.unix_seconds(later), 1005);
//! // The wall clock was set an hour ahead.
//! assert_eq!(clock.follow(later, wall + Duration::from_secs(5 + 3600)), Some(3600));
//! ```

mod wall_clock;

pub use wall_clock::WallClock;
