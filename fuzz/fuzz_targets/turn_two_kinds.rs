//! One history of clients for three servers: relayed addresses with sockets, without sockets, and without sockets in two engines.
//! Clients see no difference; see `castway::turn::tests::two_kinds`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    castway::turn::tests::two_kinds::run(bytes);
});
