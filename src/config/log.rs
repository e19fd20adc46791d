//! What goes to the log and how.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::reader::Reader;
use super::userinfo;

#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A `tracing` filter.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let filter = reader.value("CASTWAY_LOG", "a filter", |text| Some(text.to_owned()));
        if let Some(problem) = filter_problem(&filter) {
            let expected = format!("error, warn, info, debug, trace or off, or a list such as warn,castway=debug ({problem})");
            reader.problem("CASTWAY_LOG", &filter, &expected);
        }
        let format = reader.choice("CASTWAY_LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        Self { filter, format }
    }
}

/// `tracing` takes each word that is not a level for the name of a module, and then logs only that module: a misspelt level would
/// silence the log.
fn filter_problem(filter: &str) -> Option<String> {
    let is_level = |word: &&str| word.parse::<LevelFilter>().is_ok();
    let is_module = |word: &&str| word.contains(['=', '[', ':']) || word.starts_with("castway");
    let mut words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(word) = words.find(|word| !is_level(word) && !is_module(word)) {
        return Some(format!("{:?} is no level", userinfo::hidden(word)));
    }
    EnvFilter::try_new(filter).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Settings};

    #[test]
    fn a_misspelt_level_does_not_silence_the_log() {
        let problem = |filter: &str| Config::read(&Settings { log: Some(filter.into()), ..Settings::default() }).err();
        for good in
            ["info", "WARN", "off", "warn,castway=debug", "castway::relay=trace,info", "castway", "hyper=debug", "[span]=debug"]
        {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, named) in [("verbose", "verbose"), ("info,verbos", "verbos"), ("castway=loud", "loud"), ("warning", "warning")]
        {
            let problem = problem(bad).expect(bad).to_string();
            assert!(
                problem.contains("CASTWAY_LOG") && problem.contains(named) && problem.contains("error, warn, info"),
                "{problem}"
            );
        }
    }
}
