//! The filter of WebSocket frames: whatever the bytes, nothing panics, the output does not depend on how they are cut,
//! and without a rule everything passes; with large frames in fragments, too. The payloads of polling as well.
#![no_main]

use castway::socketio::engine_io_3::{FROM_CLIENT, TO_CLIENT};
use castway::websocket::frame_filter::FrameFilter;
use castway::socketio::payload;
use libfuzzer_sys::fuzz_target;

fn through(mut filter: FrameFilter, bytes: &[u8], size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in bytes.chunks(size) {
        let mut output = Vec::new();
        let passed = filter.handle(piece, &mut output);
        all.extend_from_slice(&piece[..passed]);
        all.extend(output);
    }
    assert_eq!(filter.counts().bytes, bytes.len() as u64);
    all
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, stream)) = bytes.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(through(FrameFilter::new(None), stream, size), stream);
    for rule in [None, Some(&FROM_CLIENT), Some(&TO_CLIENT)] {
        for make in [FrameFilter::new, FrameFilter::fragmenting] {
            let whole = through(make(rule), stream, stream.len().max(1));
            assert_eq!(through(make(rule), stream, size), whole);
        }
    }
    for binary in [false, true] {
        let _ = payload::from_client(stream, binary);
        let _ = payload::to_client(stream, binary);
    }
});
