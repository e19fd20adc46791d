//! [`SettingRow`]: the settings as an operator reads them.

use serde::Serialize;

use super::quotes;
use super::reader::variable_of;
use super::settings::Settings;
use super::userinfo;

/// A setting and its value, which is hidden if it is a secret or may have one in it. A URL is shown without a user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// Its variable.
    pub name: String,
    /// `None`: it is not set. One that is hidden is `set`.
    pub value: Option<String>,
    pub default: Option<String>,
    /// Its value is hidden.
    pub secret: bool,
}

impl Settings {
    /// Whether values of this field are shown to nobody.
    #[must_use]
    pub fn is_hidden(field: &str) -> bool {
        Self::SECRETS.iter().chain(&Self::PRIVATE).any(|hidden| *hidden == field)
    }

    /// All settings by name.
    #[must_use]
    pub fn rows(&self) -> Vec<SettingRow> {
        let mut defaults = Self::defaults().fields();
        let row = |(field, value): (String, Option<String>)| {
            let secret = Self::is_hidden(&field);
            let name = variable_of(&field);
            SettingRow {
                value: value.map(|value| match secret {
                    true => "set".to_owned(),
                    false if quotes::is_text_or_path(&field) => value,
                    false => userinfo::hidden_in(&name, &value),
                }),
                default: defaults.remove(&field).flatten(),
                secret,
                name,
            }
        };
        self.fields().into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_everything_else_is_shown() {
        let text = |text: &str| Some(text.to_owned());
        let settings = Settings {
            api_keys: text("abcdefghijklmnopqrstuvwx"),
            webhook_url: text("https://hooks.example.org/abcdef"),
            authorize_url: text("https://app.example.org/abcdef"),
            grace: text("90"),
            ..Settings::default()
        };
        let rows = settings.rows();
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap().clone();
        let shown = |name: &str, value: Option<&str>, default: Option<&str>, secret| SettingRow {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            default: default.map(str::to_owned),
            secret,
        };
        assert_eq!(row("CASTWAY_GRACE"), shown("CASTWAY_GRACE", Some("90"), Some("60"), false));
        assert_eq!(row("CASTWAY_API_KEYS"), shown("CASTWAY_API_KEYS", Some("set"), None, true));
        assert_eq!(row("CASTWAY_STATIC_AUTH_SECRET"), shown("CASTWAY_STATIC_AUTH_SECRET", None, None, true));
        for name in ["CASTWAY_WEBHOOK_URL", "CASTWAY_AUTHORIZE_URL"] {
            assert_eq!(row(name), shown(name, Some("set"), None, true), "its path may be a secret");
        }
        assert!(!format!("{rows:?}").contains("abcdef"));
    }
}
