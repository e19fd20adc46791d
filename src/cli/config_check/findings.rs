//! [`Findings`]: what there is to say about the settings of an installation.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::examine;
use crate::cli::data_folder::{DataFolder, NoAnswer};
use crate::cli::installation::Installation;
use crate::cli::sources::{Origin, Source};
use crate::cli::unknown_variables;
use crate::config::{Config, SETTING_GROUPS, SettingRow, Settings, VARIABLE_PREFIX, variable_of};

/// What the settings of an installation are, and what is wrong with them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    /// A server would start with them, as far as settings can tell.
    pub(super) ok: bool,
    /// The places that the settings come from, in words.
    pub(super) from: String,
    pub(super) data_dir: PathBuf,
    /// Each keeps a server from starting.
    pub(super) problems: Vec<Finding>,
    /// What is allowed and probably not meant.
    pub(super) warnings: Vec<Finding>,
    /// All of them, in the order of the help.
    pub(super) settings: Vec<FoundSetting>,
    pub(super) server: ServerFindings,
}

/// A sentence about a setting.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) text: String,
    /// `None`: nobody has set it, or it is about no setting.
    pub(super) origin: Option<Origin>,
}

/// A setting, its value and where that comes from.
#[derive(Debug, Serialize)]
pub(super) struct FoundSetting {
    #[serde(flatten)]
    pub(super) row: SettingRow,
    /// `None`: it has its default.
    pub(super) origin: Option<Origin>,
    /// Where else it is set, which does not count.
    pub(super) hidden: Vec<Origin>,
}

/// The server that runs with the data folder.
#[derive(Debug, Default, Serialize)]
pub(super) struct ServerFindings {
    /// `None`: it can't be found out.
    pub(super) runs: Option<bool>,
    /// Why not.
    pub(super) unknown_because: Option<String>,
    /// What it was started with, where that differs; secrets can't be compared.
    pub(super) differences: Vec<Difference>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) name: String,
    /// `None`: the default.
    pub(super) here: Option<String>,
    pub(super) running: Option<String>,
}

impl Findings {
    pub(super) fn of(installation: &Installation) -> Self {
        let (settings, places) = (installation.settings(), installation.places());
        let malformed = installation.malformed();
        let (config, problems) = examine(&settings, malformed, installation.server_folder(), Some(installation.data_dir()));
        let of_service = installation.malformed_of_service();
        let unusable: Vec<_> = malformed
            .iter()
            .chain(of_service)
            .filter_map(|line| line.name.clone())
            .chain(problems.iter().filter_map(|problem| setting_of(problem)))
            .collect();
        let mut warnings: Vec<_> = of_service.iter().map(|line| Finding { text: line.sentence.clone(), origin: None }).collect();
        warnings.extend(unknown(places));
        warnings.extend(of_config(&config, &unusable, places));
        warnings.extend(repeated(places));
        Self {
            ok: problems.is_empty(),
            from: installation.settings_in_words(false),
            data_dir: installation.data_dir().to_owned(),
            problems: problems.into_iter().map(|text| about(text, places)).collect(),
            warnings,
            settings: found(&settings, places),
            server: ServerFindings::of(installation.data_dir(), &settings),
        }
    }

    /// The installation was not found.
    pub(super) fn only(problem: String) -> Self {
        Self { problems: vec![Finding { text: problem, origin: None }], ..Self::default() }
    }
}

/// What is allowed and probably not meant. What a setting among the `unusable` ones would change is unknown.
fn of_config(config: &Config, unusable: &[String], places: &[Source]) -> Vec<Finding> {
    let is_certain = |text: &str| !unusable.iter().any(|name| text.contains(name.as_str()));
    let odd = config.warnings().into_iter().filter(|sentence| is_certain(&sentence.en));
    let idle = config.without_effect().into_iter().filter(|(_, because)| is_certain(because));
    let idle = idle.map(|(field, because)| format!("{} has no effect: {because}", variable_of(&field)));
    odd.map(|sentence| sentence.en).chain(idle).map(|text| about(text, places)).collect()
}

/// The settings in the order of the help.
fn found(settings: &Settings, places: &[Source]) -> Vec<FoundSetting> {
    let mut rows: BTreeMap<_, _> = settings.rows().into_iter().map(|row| (row.name.clone(), row)).collect();
    let fields = SETTING_GROUPS.iter().flat_map(|group| group.fields);
    let row = |field: &&str| {
        let row = rows.remove(&variable_of(field))?;
        let mut origins = places.iter().filter_map(|place| place.origin(field));
        let origin = if row.value.is_some() { origins.next() } else { None };
        Some(FoundSetting { row, origin, hidden: origins.collect() })
    };
    fields.filter_map(row).collect()
}

/// The variables of all settings.
fn variables() -> Vec<String> {
    Settings::default().rows().into_iter().map(|row| row.name).collect()
}

/// The variable of the setting with whose name a sentence begins, as those of [`Problems`](crate::config::Problems) do.
fn setting_of(text: &str) -> Option<String> {
    let name = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
    variables().into_iter().find(|known| known == name)
}

/// A sentence with the place of its setting.
fn about(text: String, places: &[Source]) -> Finding {
    let field = setting_of(&text).map(|name| name[VARIABLE_PREFIX.len()..].to_ascii_lowercase());
    let origin = field.and_then(|field| places.iter().find_map(|place| place.origin(&field)));
    Finding { text, origin }
}

/// Variables that look like settings and are none.
fn unknown(places: &[Source]) -> Vec<Finding> {
    let known = variables();
    let warn = |names: Vec<OsString>, origin: &dyn Fn(&str) -> Origin| {
        let warnings = unknown_variables::warnings(names.into_iter(), &known).into_iter();
        let finding = |text: String| {
            let origin = origin(text.split(' ').next().unwrap_or_default());
            Finding { text, origin: Some(origin) }
        };
        warnings.map(finding).collect::<Vec<_>>()
    };
    // A name that .env has set in this process is that file's.
    let in_files: Vec<_> = places.iter().flat_map(Source::variables).map(|variable| variable.name.as_str()).collect();
    let names = std::env::vars_os().map(|(name, _)| name).filter(|name| !in_files.iter().any(|known| name == known));
    let mut findings = warn(names.collect(), &|_| Origin::Environment);
    for (place, path) in places.iter().filter_map(|place| Some((place, place.path()?))) {
        let names = place.variables().iter().map(|variable| OsString::from(&variable.name)).collect();
        let line = |name: &str| place.variables().iter().find(|variable| variable.name == name).map_or(0, |found| found.line);
        findings.extend(warn(names, &|name| Origin::File { file: path.to_owned(), line: line(name) }));
    }
    findings
}

/// Settings that a file has twice.
fn repeated(places: &[Source]) -> Vec<Finding> {
    let known = variables();
    let mut findings = Vec::new();
    for (place, file) in places.iter().filter_map(|place| Some((place, place.path()?))) {
        for (index, variable) in place.variables().iter().enumerate().filter(|(_, variable)| known.contains(&variable.name)) {
            if let Some(counts) = place.variables()[..index].iter().find(|other| other.name == variable.name) {
                let text = format!("{} does not count here: it is set in line {}, too", variable.name, counts.line);
                findings.push(Finding { text, origin: Some(Origin::File { file: file.to_owned(), line: variable.line }) });
            }
        }
    }
    findings
}

impl ServerFindings {
    fn of(data_dir: &Path, settings: &Settings) -> Self {
        if !data_dir.exists() {
            return Self { runs: Some(false), ..Self::default() };
        }
        let answer = DataFolder::open(data_dir).map_err(|error| NoAnswer::Because(format!("{error:#}")));
        match answer.and_then(|mut folder| folder.facts()) {
            Ok(facts) => Self { runs: Some(true), differences: differences(settings, &facts.settings), ..Self::default() },
            Err(NoAnswer::NotRunning) => Self { runs: Some(false), ..Self::default() },
            Err(NoAnswer::Because(why)) => Self { unknown_because: Some(why), ..Self::default() },
        }
    }
}

/// What a server runs with by variable, where it differs from `settings`. Its own record lacks what is secret.
fn differences(settings: &Settings, running: &BTreeMap<String, String>) -> Vec<Difference> {
    let rows = settings.rows().into_iter().filter(|row| !row.secret && row.name != "CASTWAY_DATA_DIR");
    let differ = rows.filter_map(|row| {
        let theirs = running.get(&row.name).map(|value| value.trim().to_owned());
        let effective = |value: &Option<String>| value.clone().or_else(|| row.default.clone());
        (effective(&theirs) != effective(&row.value)).then_some(Difference { name: row.name, here: row.value, running: theirs })
    });
    differ.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_variables(variables.iter().copied())
    }

    #[test]
    fn a_problem_is_traced_to_its_line() {
        use crate::cli::env_file::Variable;

        let variable = |name: &str, value: &str, line| Variable { name: name.to_owned(), value: value.to_owned(), line };
        let variables =
            [variable("CASTWAY_GRACE", "soon", 3), variable("CASTWAY_REALN", "x", 5), variable("CASTWAY_GRACE", "7", 8)];
        let in_file = settings(&[("CASTWAY_GRACE", "soon")]);
        let places = [
            Source::flags(settings(&[("CASTWAY_TTL", "60")])),
            Source::environment(settings(&[("CASTWAY_TTL", "70"), ("CASTWAY_API_KEYS", "hunter2-0123456789")])),
            Source::file("/srv/.env".into(), in_file.clone(), &variables),
        ];
        let at = |line| Origin::File { file: "/srv/.env".into(), line };
        let merged = settings(&[("CASTWAY_TTL", "60"), ("CASTWAY_API_KEYS", "hunter2-0123456789")]).or(&in_file);
        let problem = Config::read(&merged).expect_err("grace").0.remove(0);
        assert_eq!(about(problem, &places).origin, Some(at(3)));
        assert_eq!(about("The file x can be read by others".to_owned(), &places).origin, None);
        let unknown: Vec<_> = unknown(&places).into_iter().filter(|found| found.text.contains("REALN")).collect();
        assert_eq!(unknown.len(), 1);
        assert_eq!(unknown[0].origin, Some(at(5)));
        assert!(unknown[0].text.contains("did you mean CASTWAY_REALM?"), "{unknown:?}");
        let repeated = repeated(&places);
        assert_eq!((repeated.len(), repeated[0].origin.clone()), (1, Some(at(8))));
        let found = found(&merged, &places);
        let of = |name: &str| found.iter().find(|found| found.row.name == name).unwrap();
        assert_eq!(of("CASTWAY_TTL").origin, Some(Origin::Flag { flag: "--ttl".to_owned() }));
        assert_eq!(of("CASTWAY_TTL").hidden, [Origin::Environment]);
        assert_eq!((of("CASTWAY_GRACE").row.value.as_deref(), of("CASTWAY_GRACE").origin.clone()), (Some("soon"), Some(at(3))));
        assert_eq!((of("CASTWAY_REALM").row.value.as_deref(), of("CASTWAY_REALM").origin.clone()), (None, None));
        assert!(!format!("{found:?}").contains("hunter2"), "secrets are not shown");
        assert_eq!(found.len(), super::variables().len());
    }

    /// The service starts without such a line, so that it is a warning.
    #[test]
    fn a_malformed_line_of_the_service_is_a_warning_without_its_value() {
        use crate::cli::command_line::CommandLine;
        use crate::cli::installation::StandardPaths;

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = StandardPaths { working_dir: at("here"), service_settings: at("castway.env"), service_data: at("lib") };
        std::fs::create_dir(&paths.working_dir).unwrap();
        std::fs::create_dir(&paths.service_data).unwrap();
        std::fs::write(&paths.service_settings, "CASTWAY_TTL=60\nexport CASTWAY_API_KEYS=hunter2-0123456789\n").unwrap();
        let line: Vec<OsString> = ["castway", "config", "check"].map(OsString::from).into();
        let found = Findings::of(&Installation::find(&paths, &CommandLine::parse(&line).unwrap().given()).unwrap());
        let begin = format!("{}, line 2 (CASTWAY_API_KEYS), is skipped: expected NAME=value", paths.service_settings.display());
        assert!(found.warnings.iter().any(|warning| warning.text.starts_with(&begin)), "{:?}", found.warnings);
        assert_eq!(found.problems.iter().map(|problem| problem.text.as_str()).collect::<Vec<_>>(), [""; 0]);
        assert!(found.ok && !serde_json::to_string(&found).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_warning_that_depends_on_an_unusable_setting_is_left_out() {
        let warnings = |variables: &[(&str, &str)]| {
            let (config, problems) = Config::examine(&settings(variables));
            let unusable: Vec<_> = problems.iter().filter_map(|problem| setting_of(problem)).collect();
            let found = of_config(&config, &unusable, &[]);
            (problems.len(), found.into_iter().map(|found| found.text).collect::<Vec<_>>())
        };
        let secret = ("CASTWAY_WEBHOOK_SECRET", "0123456789abcdef");
        let no_effect = "CASTWAY_WEBHOOK_SECRET has no effect: neither CASTWAY_WEBHOOK_URL nor CASTWAY_AUTHORIZE_URL is set";
        assert_eq!(warnings(&[secret, ("CASTWAY_GRACE", "soon")]), (1, vec![no_effect.to_owned()]));
        assert_eq!(warnings(&[secret, ("CASTWAY_WEBHOOK_URL", "ftp://example.org")]), (1, Vec::new()));
        let shared = ("CASTWAY_STATIC_AUTH_SECRET", "0123456789abcdef");
        assert_eq!(warnings(&[shared, ("CASTWAY_TURN_ACCESS", "everyone")]), (1, Vec::new()));
        assert_eq!(warnings(&[shared, ("CASTWAY_TURN_ACCESS", "open")]).1.len(), 1);
    }

    #[test]
    fn a_running_server_differs_by_what_counts() {
        let running = [("CASTWAY_GRACE", "60"), ("CASTWAY_REALM", "tv"), ("CASTWAY_TTL", "50"), ("CASTWAY_DATA_DIR", "/x")];
        let running = running.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let here =
            settings(&[("CASTWAY_REALM", "tv"), ("CASTWAY_TTL", "60"), ("CASTWAY_API_KEYS", "abc"), ("CASTWAY_DRAIN", "9")]);
        let difference = |name: &str, here: &str, running: Option<&str>| Difference {
            name: name.to_owned(),
            here: Some(here.to_owned()),
            running: running.map(str::to_owned),
        };
        // 60 is the default of CASTWAY_GRACE.
        let expected = [difference("CASTWAY_DRAIN", "9", None), difference("CASTWAY_TTL", "60", Some("50"))];
        assert_eq!(differences(&here, &running), expected);
    }
}
