//! The last lines of the log, for `/admin`.
//!
//! - Owner: the process, whose log is one ([`kept`]).
//! - Inputs: the events of `tracing`, through [`LogLayer`].
//! - Outputs: [`LogLine`]s with ascending numbers.
//! - Invariants: at most `MAX_LINES` lines and `MAX_BYTES` of text are kept; control characters and those that turn the direction of
//!   writing are escaped, so that no value forges a line.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
const MAX_LINES: usize = 500;
/// Bytes of their texts.
const MAX_BYTES: usize = 512 * 1024;
/// Bytes of one line's text.
const MAX_LINE_BYTES: usize = 4096;
/// The field with the sentence of an event.
const MESSAGE: &str = "message";

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Counts all lines since the start, from 1.
    pub n: u64,
    /// In milliseconds since 1970.
    pub at: u64,
    /// `error`, `warn` or `info`.
    pub level: &'static str,
    /// The sentence, and the fields as `name=value`.
    pub text: String,
}

/// The last lines; clones share them.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    bytes: usize,
    last: u64,
}

/// The lines of this process.
pub fn kept() -> LogLines {
    static KEPT: LazyLock<LogLines> = LazyLock::new(LogLines::default);
    KEPT.clone()
}

impl LogLines {
    /// The lines after number `n`, the oldest first.
    #[must_use]
    pub fn after(&self, n: u64) -> Vec<LogLine> {
        let lines = self.lines();
        let newer = lines.kept.partition_point(|line| line.n <= n);
        lines.kept.range(newer..).cloned().collect()
    }

    fn push(&self, at: u64, level: &'static str, text: String) {
        let mut lines = self.lines();
        lines.last += 1;
        lines.bytes += text.len();
        let n = lines.last;
        lines.kept.push_back(LogLine { n, at, level, text });
        while lines.kept.len() > MAX_LINES || lines.bytes > MAX_BYTES {
            let oldest = lines.kept.pop_front();
            lines.bytes -= oldest.map_or(0, |line| line.text.len());
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps events among the last lines; whoever installs it decides by a filter which ones.
#[derive(Debug)]
pub struct LogLayer(pub LogLines);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            _ => return,
        };
        let mut text = LineText::default();
        event.record(&mut text);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.0.push(u64::try_from(at).unwrap_or(u64::MAX), level, text.finish());
    }
}

/// Writes the sentence of an event and its fields, up to [`MAX_LINE_BYTES`].
#[derive(Default)]
struct LineText {
    message: Bounded,
    fields: Bounded,
}

#[derive(Default)]
struct Bounded(String);

impl LineText {
    fn finish(self) -> String {
        let mut text = self.message;
        write!(text, "{}", self.fields.0).ok();
        text.0
    }
}

impl Visit for LineText {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.message.write_str(value).ok()
        } else {
            write!(self.fields, " {field}={value:?}").ok()
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            write!(self.message, "{value:?}").ok()
        } else {
            write!(self.fields, " {field}={value:?}").ok()
        };
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= MAX_LINE_BYTES - 12 {
                if !self.0.ends_with('…') {
                    self.0.push('…');
                }
                return Ok(());
            }
            if character.is_control() || turns_writing(character) {
                self.0.extend(character.escape_unicode());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// Whether a character changes the direction in which others are shown (UAX #9).
const fn turns_writing(character: char) -> bool {
    matches!(character, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<LogLine> {
        let lines = LogLines::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(LogLayer(lines.clone())), log);
        lines.after(0)
    }

    #[test]
    fn a_line_has_its_sentence_and_its_fields() {
        let lines = logged(|| {
            tracing::info!(address = %"192.0.2.9", failures = 5, name = "a b", "wrong {}", "code");
            tracing::debug!("not kept");
            tracing::error!("second");
        });
        assert_eq!(lines.iter().map(|line| (line.n, line.level)).collect::<Vec<_>>(), [(1, "info"), (2, "error")]);
        assert_eq!(lines[0].text, "wrong code address=192.0.2.9 failures=5 name=\"a b\"");
        assert!(lines[0].at > 1_700_000_000_000);
    }

    #[test]
    fn no_value_forges_a_line_or_turns_it_round() {
        let lines = logged(|| tracing::warn!(name = %"x\nINFO forged\u{1b}[2J\u{202e}<script>", "line\rtwo"));
        assert_eq!(lines[0].text, "line\\u{d}two name=x\\u{a}INFO forged\\u{1b}[2J\\u{202e}<script>");
    }

    #[test]
    fn lines_and_bytes_are_bounded_and_numbers_go_on() {
        let lines = LogLines::default();
        (0..2000).for_each(|_| lines.push(0, "info", "short".to_owned()));
        let kept = lines.after(0);
        assert_eq!((kept.len(), kept[0].n, kept[499].n), (MAX_LINES, 1501, 2000));
        assert_eq!(lines.after(1990).len(), 10);
        assert_eq!(lines.after(2000), []);
        (0..500).for_each(|_| lines.push(0, "info", "x".repeat(MAX_LINE_BYTES)));
        assert_eq!(lines.after(0).len(), MAX_BYTES / MAX_LINE_BYTES);
        let long = logged(|| tracing::info!(name = %"é\n".repeat(100_000), "{}", "y".repeat(100_000)));
        assert!(long[0].text.len() <= MAX_LINE_BYTES && long[0].text.ends_with('…'), "{}", long[0].text.len());
    }
}
