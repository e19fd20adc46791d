//! The settings of several places, merged into one.

use serde_json::{Map, Value};

use super::reader::VARIABLE_PREFIX;
use super::settings::Settings;

impl Settings {
    /// The settings among `variables`; other variables are skipped.
    pub fn from_variables<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields = variables.into_iter().filter_map(|(name, value)| {
            let field = name.strip_prefix(VARIABLE_PREFIX)?.to_ascii_lowercase();
            Some((field, value.to_owned()))
        });
        from_fields(fields)
    }

    /// The settings of `self`, and those of `other` that `self` does not have. An empty value counts as not set, so it hides nothing.
    /// Secrets and the file that has them hide each other.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let own: Vec<(String, String)> = self.set_fields().collect();
        let secrets =
            |field: &str| Self::SECRETS.into_iter().find(|secret| field.strip_suffix("_file").unwrap_or(field) == *secret);
        let hides = |field: &str| own.iter().any(|(own, _)| secrets(own).is_some() && secrets(own) == secrets(field));
        let others: Vec<(String, String)> = other.set_fields().filter(|(field, _)| !hides(field)).collect();
        from_fields(others.into_iter().chain(own))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.set_fields().next().is_none()
    }
}

/// Of two fields with one name, the later one counts.
fn from_fields(fields: impl Iterator<Item = (String, String)>) -> Settings {
    let fields: Map<String, Value> = fields.map(|(field, text)| (field, Value::String(text))).collect();
    serde_json::from_value(Value::Object(fields)).expect("each setting is a text, and other names are skipped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_variables(variables.iter().copied())
    }

    #[test]
    fn variables_become_settings() {
        let settings = settings(&[("CASTWAY_REALM", "tv"), ("HOME", "/root"), ("CASTWAY_NO_SUCH", "x"), ("CASTWAY_TTL", "60")]);
        assert_eq!((settings.realm.as_deref(), settings.ttl.as_deref(), settings.data_dir), (Some("tv"), Some("60"), None));
    }

    #[test]
    fn a_set_value_hides_a_lower_one_and_an_empty_value_does_not() {
        let above = settings(&[("CASTWAY_REALM", "tv"), ("CASTWAY_TTL", " ")]);
        let merged = above.or(&settings(&[("CASTWAY_REALM", "castway"), ("CASTWAY_TTL", "60"), ("CASTWAY_GRACE", "7")]));
        let expected = [Some("tv"), Some("60"), Some("7")];
        assert_eq!([merged.realm.as_deref(), merged.ttl.as_deref(), merged.grace.as_deref()], expected);
        for (own, others) in [("API_KEYS", "API_KEYS_FILE"), ("STATIC_AUTH_SECRET_FILE", "STATIC_AUTH_SECRET")] {
            let names = [own, others].map(|name| format!("CASTWAY_{name}"));
            let merged = settings(&[(&names[0], "x")]).or(&settings(&[(&names[1], "y"), ("CASTWAY_CERT", "z")]));
            assert_eq!(merged, settings(&[(&names[0], "x"), ("CASTWAY_CERT", "z")]));
        }
        assert!(settings(&[("CASTWAY_TTL", "")]).is_empty() && !merged.is_empty());
    }
}
