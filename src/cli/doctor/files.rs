//! Whether the server may open enough files.

use super::inputs::Inputs;
use super::line::{Line, Topic};

/// Below this limit of open files it should be raised. The usual limit of a shell is 1,024.
const LOW_LIMIT: u64 = 16_384;

pub(super) fn look(inputs: &Inputs) -> Vec<Line> {
    let Some(facts) = &inputs.facts else { return Vec::new() };
    let files = &facts.descriptors;
    let casts = files.casts;
    let text = format!("LimitNOFILE {}: about {casts} casts over the relay at once", files.limit);
    let line = if casts == 0 {
        Line::failed(Topic::Files, format!("LimitNOFILE {} is too small for one cast over the relay: set 1048576", files.limit))
    } else if files.limit < LOW_LIMIT {
        Line::warning(Topic::Files, format!("{text}; set 1048576 (systemd: LimitNOFILE=, Docker: --ulimit nofile=)"))
    } else if files.open > files.limit / 10 * 9 {
        Line::warning(Topic::Files, format!("{text}; {} are open now", files.open))
    } else {
        Line::ok(Topic::Files, text)
    };
    vec![line]
}
