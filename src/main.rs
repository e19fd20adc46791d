//! `castway`: config → build → run → drain.

fn main() {}
