//! What each option becomes here: [`Translation`].

use std::collections::BTreeMap;

use super::config_file::{GivenOption, WITH_VALUE};
use super::coturn_options::{self, Counterpart};
use super::credential::{self, CoturnUser, EXPECTED_USER};
use super::env_value::{BY_HAND, written};
use super::facts::{Facts, flag};
use super::names::closest;
use super::outcome::{Assignment, Outcome};
use super::setting_values;
use crate::config::{Config, Settings, variable_of};

/// Settings whose values are lists, to which each option adds.
const LISTS: &[&str] = &[
    "CASTWAY_EXTERNAL_IP",
    "CASTWAY_RELAY_IP",
    "CASTWAY_ALLOWED_PEER_IP",
    "CASTWAY_DENIED_PEER_IP",
    "CASTWAY_STATIC_AUTH_SECRET",
    "CASTWAY_ALTERNATE_SERVER",
];
/// What templates of files have in the place of values.
const PLACEHOLDERS: [&str; 3] = ["${", "$(", "{{"];
/// Settings that can be used with each other alone.
const PAIRED: [&str; 4] = ["CASTWAY_CERT", "CASTWAY_PKEY", "CASTWAY_MIN_PORT", "CASTWAY_MAX_PORT"];

/// What the options of a turnserver become.
#[derive(Default)]
pub(super) struct Translation {
    /// What each option becomes, in their order.
    pub(super) outcomes: Vec<(GivenOption, Outcome)>,
    /// The settings that differ from the defaults, by variable.
    pub(super) settings: BTreeMap<&'static str, String>,
    pub(super) users: Vec<CoturnUser>,
}

impl Translation {
    pub(super) fn new(options: Vec<GivenOption>, facts: &Facts) -> Self {
        let mut translation = Self::default();
        for option in options {
            let outcome = translation.outcome(&option, facts);
            let outcome = usable(outcome);
            if let Outcome::Set(assignments, _) = &outcome {
                assignments.iter().for_each(|assignment| translation.set(assignment));
            }
            translation.outcomes.push((option, outcome));
        }
        translation.name_defaults();
        translation
    }

    /// Adds what other sources set.
    pub(super) fn add(&mut self, lines: &mut [(String, Outcome)]) {
        for (_, outcome) in lines {
            *outcome = usable(outcome.clone());
            if let Outcome::Set(assignments, _) = outcome {
                assignments.iter().for_each(|assignment| self.set(assignment));
            }
        }
    }

    /// Adds to a list, or replaces another value.
    fn set(&mut self, Assignment { variable, value }: &Assignment) {
        let former = self.settings.entry(variable).or_default();
        if LISTS.contains(variable) && !former.is_empty() {
            if !former.split(',').any(|item| item == value) {
                former.push(',');
                former.push_str(value);
            }
        } else {
            former.clone_from(value);
        }
    }

    fn outcome(&mut self, option: &GivenOption, facts: &Facts) -> Outcome {
        let Some(known) = coturn_options::find(&option.name) else {
            return Outcome::Unknown(closest(&option.name));
        };
        if let Some(place) = facts.replaced_by(option) {
            return Outcome::Replaced(place);
        }
        let is_read = matches!(known.becomes, Counterpart::Setting(_)) || known.name == "user";
        if is_read && PLACEHOLDERS.iter().any(|placeholder| option.value.contains(placeholder)) {
            return Outcome::Unusable("expected a file whose placeholders have been filled in".to_owned());
        }
        let is_flag = !WITH_VALUE.contains(&known.name);
        match known.becomes {
            Counterpart::Setting(variable) => setting_values::outcome(option, variable, facts)
                .unwrap_or_else(|expected| Outcome::Unusable(expected.into_owned())),
            Counterpart::ByHand(_, _) | Counterpart::None(_) if is_flag && flag(option.bare()) == Some(false) => {
                Outcome::Nothing("It is off.".to_owned())
            }
            Counterpart::None(_) if known.name == "rest-api-separator" && option.bare() == ":" => {
                Outcome::Nothing("It is the only one here.".to_owned())
            }
            Counterpart::ByHand(variable, sentence) => Outcome::ByHand(variable, sentence.to_owned()),
            Counterpart::Users(_) if known.name == "user" => self.user(option, facts),
            Counterpart::Users(sentence) => Outcome::Users(sentence.to_owned()),
            Counterpart::Always(sentence) | Counterpart::None(sentence) => Outcome::Nothing(sentence.to_owned()),
        }
    }

    fn user(&mut self, option: &GivenOption, facts: &Facts) -> Outcome {
        if facts.has_secrets_alone() {
            return Outcome::Nothing("turnserver ignores users beside a secret, so this one is not taken over.".to_owned());
        }
        match credential::user(&option.value) {
            Some(user) => {
                let words = credential::words(&user);
                self.users.push(user);
                Outcome::Users(words)
            }
            None => Outcome::Unusable(EXPECTED_USER.to_owned()),
        }
    }

    /// Settings that have their defaults need not be set.
    fn name_defaults(&mut self) {
        let defaults: BTreeMap<String, String> =
            Settings::defaults().set_fields().map(|(field, text)| (variable_of(&field), text)).collect();
        self.settings.retain(|variable, value| defaults.get(*variable) != Some(value));
        for (_, outcome) in &mut self.outcomes {
            let Outcome::Set(assignments, note) = outcome else { continue };
            if let [assignment] = assignments.as_slice()
                && !self.settings.contains_key(assignment.variable)
            {
                *outcome = Outcome::Default(assignment.clone(), note.take());
            }
        }
    }

    /// The value that the options give a setting, also where it is the default.
    pub(super) fn value(&self, variable: &str) -> Option<&str> {
        let mut assignments = self.outcomes.iter().rev().flat_map(|(_, outcome)| outcome.assignments());
        assignments.find(|assignment| assignment.variable == variable).map(|assignment| assignment.value.as_str())
    }

    /// What is wrong with the settings together.
    pub(super) fn problems(&self) -> Vec<String> {
        let variables = self.settings.iter().map(|(name, value)| (*name, value.as_str()));
        Config::read(&Settings::from_variables(variables)).err().map(|problems| problems.0).unwrap_or_default()
    }
}

/// An outcome whose settings can't be used, or not be written into a file, says so.
fn usable(outcome: Outcome) -> Outcome {
    let Outcome::Set(assignments, _) = &outcome else { return outcome };
    if let Some(unwritten) = assignments.iter().find(|assignment| written(&assignment.value).is_none()) {
        return Outcome::ByHand(unwritten.variable, BY_HAND.to_owned());
    }
    let variables = assignments.iter().filter(|assignment| !PAIRED.contains(&assignment.variable));
    let settings = Settings::from_variables(variables.map(|assignment| (assignment.variable, assignment.value.as_str())));
    match Config::read(&settings) {
        Ok(_) => outcome,
        Err(problems) => Outcome::Unusable(problems.0.join("; ")),
    }
}
