//! [`Reader`]: reads the text of settings as values, and collects a problem for each text that can't be used.
//!
//! A setting that is not set has its default of [`Settings::defaults`]. A setting that can't be used has its default too, so that
//! reading goes on and all problems are reported together; the caller of [`Reader::finish`] then gets the problems instead.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::listen::{listening_addr, on_this_machine};
use super::network::{NETWORKS, network};
use super::problems::Problems;
use super::quotes;
use super::secret::Secret;
use super::secret_file::{SECRET_FILE, SecretFile};
use super::secrets::Secrets;
use super::settings::Settings;
use super::userinfo;
use crate::sentence::Sentence;
use crate::whole_number;

/// The beginning of every variable's name; the rest is the name of the field in [`Settings`], in capitals.
pub const VARIABLE_PREFIX: &str = "CASTWAY_";

/// The variable of a field of [`Settings`].
pub fn variable_of(field: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", field.to_uppercase())
}

/// The upper end of rates per minute, and of counts that nothing else bounds.
pub(super) const MAX_COUNT: u32 = 1_000_000;

pub(super) struct Reader {
    /// Both by the field's name.
    given: BTreeMap<String, Option<String>>,
    defaults: BTreeMap<String, Option<String>>,
    problems: Vec<String>,
}

impl Reader {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut reader = Self { given: settings.fields(), defaults: Settings::defaults().fields(), problems: Vec::new() };
        reader.refuse_quotes();
        reader
    }

    /// Settings with quotes around them are problems, and are read without the quotes.
    fn refuse_quotes(&mut self) {
        for (field, given) in &mut self.given {
            let Some(text) = given else { continue };
            let Some(bare) = quotes::without(field, text) else { continue };
            let name = variable_of(field);
            let (text_shown, bare_shown) = (userinfo::hidden_in(&name, text), userinfo::hidden_in(&name, &bare));
            self.problems.push(format!(
                "{name}={text_shown} has quotes in its value: write {name}={bare_shown}. `docker run --env-file` keeps quotes as a part of the value"
            ));
            *text = bare;
        }
    }

    /// A line for each problem.
    pub(super) fn problems(self) -> Vec<String> {
        self.problems
    }

    /// `value`, unless there was a problem.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }

    /// `value`: empty where it is missing.
    pub(super) fn problem(&mut self, name: &str, value: &str, expected: &str) {
        self.problems.push(match value.is_empty() {
            true => format!("{name} is not set: expected {expected}"),
            false => format!("{name}={:?}: expected {expected}", userinfo::hidden_in(name, value)),
        });
    }

    /// For settings whose value must not be printed.
    pub(super) fn secret_problem(&mut self, name: &str, expected: &str) {
        self.problems.push(format!("{name} (value not shown): expected {expected}"));
    }

    /// The text that somebody has set.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        field(&self.given, name)
    }

    /// The text that somebody has set, or else the default.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.given(name).or_else(|| field(&self.defaults, name))
    }

    /// The value of a setting that may have none; `parse` says `None` for a text that can't be used.
    pub(super) fn optional<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.problem(name, &text, expected);
        }
        value
    }

    /// The value of a setting that has a default.
    pub(super) fn value<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.optional(name, expected, &parse).unwrap_or_else(|| self.default(name, parse))
    }

    /// The default of a setting, whatever was set.
    pub(super) fn default<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        field(&self.defaults, name)
            .and_then(|text| parse(&text))
            .unwrap_or_else(|| panic!("{name} has a default that can be read"))
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.value(name, "true or false", |text| text.parse().ok())
    }

    /// A whole number in `range`; `unit` is what it counts, as in "of seconds", or empty.
    pub(super) fn number<N>(&mut self, name: &str, range: RangeInclusive<N>, unit: &str) -> N
    where
        N: FromStr + PartialOrd + Display,
    {
        self.value(name, &whole_number::expected(&range, unit), |text| whole_number::read_in(text, &range))
    }

    /// The same, with a default that is found out while the program runs.
    pub(super) fn number_or<N>(&mut self, name: &str, default: N, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display,
    {
        self.optional(name, &whole_number::expected(&range, ""), |text| whole_number::read_in(text, &range)).unwrap_or(default)
    }

    /// A limit, for which 0 means that there is none, as in coturn.
    pub(super) fn limit<N>(&mut self, name: &str, range: RangeInclusive<N>, unit: &str) -> Option<N>
    where
        N: FromStr + PartialOrd + Display + Default,
    {
        Some(self.number(name, range, unit)).filter(|limit| *limit > N::default())
    }

    pub(super) fn seconds(&mut self, name: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, range, "of seconds"))
    }

    pub(super) fn per_minute(&mut self, name: &str) -> NonZeroU32 {
        NonZeroU32::new(self.number(name, 1..=MAX_COUNT, "per minute")).expect("the range begins at 1")
    }

    /// One of a few words, each with what it stands for.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let (last, others) = words.split_last().expect("a choice has words");
        let expected = format!("{} or {last}", others.join(", "));
        self.value(name, &expected, |text| choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
    }

    /// The items of a comma-separated list, without blanks.
    pub(super) fn items(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The values of a comma-separated list, with a problem for each item that can't be used.
    pub(super) fn list<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut values = Vec::new();
        for item in self.items(name) {
            match parse(&item) {
                Some(value) => values.push(value),
                None => self.problem(name, &item, expected),
            }
        }
        values
    }

    pub(super) fn networks(&mut self, name: &str) -> Vec<IpNet> {
        self.list(name, NETWORKS, network)
    }

    /// The items of a comma-separated list that must not be printed, or the lines of the file that is set instead.
    pub(super) fn secrets(&mut self, name: &str) -> Secrets {
        let file_setting = format!("{name}_FILE");
        let (list, path) = (self.given(name), self.given(&file_setting));
        let values: Vec<_> = self.items(name).into_iter().map(Secret::new).collect();
        let texts = |values: &[Secret<String>]| values.iter().any(|value| quotes::enclose(value.expose()));
        let Some(path) = path else {
            let quoted = texts(&values) || list.is_some_and(|list| quotes::enclose(&list));
            let warnings = quoted.then(|| quotes::warning(name)).into_iter().collect();
            return Secrets { values, variable: name.to_owned(), warnings };
        };
        if list.is_some() {
            self.problem(&file_setting, &path, &format!("nothing where {name} is set: the secrets come from one of them"));
        }
        let SecretFile { secrets, warning } = SecretFile::read(Path::new(&path)).unwrap_or_else(|why| {
            self.problem(&file_setting, &path, &format!("{SECRET_FILE}, but {why}"));
            SecretFile { secrets: values, warning: None }
        });
        let quoted = texts(&secrets).then(|| quotes::warning(&file_setting));
        let has_blanks = secrets.iter().any(|secret| secret.expose().trim() != secret.expose());
        let blanks = has_blanks.then(|| {
            Sentence::new(
                format!(
                    "A line of {path}, which {file_setting} names, begins or ends with a blank, which counts as a part of the secret"
                ),
                format!("{file_setting} 所指的文件 {path} 中有一行以空白开头或结尾，空白也算作密钥的一部分"),
            )
        });
        let warnings = warning.into_iter().chain(quoted).chain(blanks).collect();
        Secrets { values: secrets, warnings, variable: file_setting }
    }

    /// The address of a listener, if somebody has set it; `example` is part of the problem where it can't be used.
    pub(super) fn given_addr(&mut self, name: &str, example: &str) -> Option<SocketAddr> {
        self.given(name)?;
        self.optional(name, &format!("an IP address and a port, e.g. {example}"), listening_addr)
    }

    pub(super) fn default_addr(&self, name: &str) -> SocketAddr {
        on_this_machine(self.default(name, |text| text.parse().ok()))
    }
}

fn field(fields: &BTreeMap<String, Option<String>>, name: &str) -> Option<String> {
    let field = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_ascii_lowercase();
    fields.get(&field).unwrap_or_else(|| panic!("{name} is a setting")).clone()
}
