//! `castway doctor`: looks at what can keep casts from working, and says what to change.
#![allow(dead_code, unused_imports)]

mod firewall;
