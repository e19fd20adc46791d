//! Quotes around the values of settings: a shell, systemd, Docker Compose and `.env` take them away, and `docker run --env-file` keeps them.

use crate::sentence::Sentence;

/// Also those that texts on web pages have.
const QUOTES: [char; 13] = [
    '"', '\'', '`', '\u{B4}', '\u{AB}', '\u{BB}', '\u{2018}', '\u{2019}', '\u{201A}', '\u{201C}', '\u{201D}', '\u{201E}',
    '\u{FF02}',
];

/// Settings whose values are any text, by field: quotes around them may be meant.
const TEXTS: [&str; 4] = ["static_auth_secret", "api_keys", "webhook_secret", "realm"];
/// Settings whose values are paths, by field: a quote at one end may be meant.
const PATHS: [&str; 7] =
    ["data_dir", "cert", "pkey", "acme_ca", "static_auth_secret_file", "api_keys_file", "webhook_secret_file"];

/// The value of a setting without the quotes around it or around the items of its list; `None`: it has none, or they may be meant.
pub(super) fn without(field: &str, text: &str) -> Option<String> {
    if TEXTS.contains(&field) {
        return None;
    }
    if PATHS.contains(&field) {
        return enclose(text).then(|| text.trim_matches(QUOTES).to_owned());
    }
    let bare: Vec<_> = text.split(',').map(|item| item.trim().trim_matches(QUOTES).trim()).collect();
    let has_quotes = text.split(',').any(|item| item.trim().starts_with(QUOTES) || item.trim().ends_with(QUOTES));
    has_quotes.then(|| bare.join(","))
}

/// Whether values of the field are any text or paths, and so no URLs.
pub(super) fn is_text_or_path(field: &str) -> bool {
    TEXTS.contains(&field) || PATHS.contains(&field)
}

/// Whether `text` begins and ends with a quote.
pub(super) fn enclose(text: &str) -> bool {
    text.chars().nth(1).is_some() && text.starts_with(QUOTES) && text.ends_with(QUOTES)
}

/// A warning about a value whose quotes may be meant.
pub(super) fn warning(variable: &str) -> Sentence {
    Sentence::new(
        format!(
            "The value of {variable} begins and ends with a quote, which counts as a part of it. `docker run --env-file` keeps \
             quotes: if they are not meant, write the value without them"
        ),
        format!("{variable} 的值首尾都有引号，引号也算作值的一部分。docker run --env-file 会保留引号：如果不需要引号，请去掉"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    #[test]
    fn every_setting_says_what_quotes_are_for_it() {
        let fields: Vec<String> = Settings::default().fields().into_keys().collect();
        for field in TEXTS.iter().chain(&PATHS).chain(&Settings::SECRETS) {
            assert!(fields.iter().any(|known| known == field), "{field}");
        }
        assert!(Settings::SECRETS.iter().all(|secret| TEXTS.contains(secret)), "no secret is printed");
        for field in &fields {
            let read = |value: &str| {
                let variable = crate::config::variable_of(field);
                Config::read(&Settings::from_variables([(variable.as_str(), value)]))
            };
            for quoted in ["\"7\"", "'7'", "`7`", "\u{201C}7\u{201D}", "\u{201E}7\u{201C}", "\u{AB}7\u{BB}"] {
                let problems = read(quoted).map(drop).map_err(|problems| problems.to_string());
                let refused = problems.is_err_and(|problems| problems.contains("has quotes in its value"));
                assert_eq!(refused, !TEXTS.contains(&field.as_str()), "{field}={quoted}");
            }
        }
    }

    #[test]
    fn quotes_are_taken_away_from_each_item() {
        for (field, text, bare) in [
            ("external_ip", "\"203.0.113.7\"", Some("203.0.113.7")),
            ("external_ip", "203.0.113.7,\"2001:db8::7\"", Some("203.0.113.7,2001:db8::7")),
            ("external_ip", "'203.0.113.7, relay.example.org'", Some("203.0.113.7,relay.example.org")),
            ("turn_addr", "\"0.0.0.0:3478", Some("0.0.0.0:3478")),
            ("takeover", "\u{2018}true\u{2019}", Some("true")),
            ("external_ip", "203.0.113.7", None),
            ("data_dir", "\"/data\"", Some("/data")),
            ("data_dir", "/srv/tv'", None),
            ("realm", "\"castway\"", None),
        ] {
            assert_eq!(without(field, text).as_deref(), bare, "{field}={text}");
        }
    }

    #[test]
    fn a_quoted_address_is_named_with_what_to_write() {
        let settings =
            Settings { external_ip: Some("\"203.0.113.7\"".into()), grace: Some("'soon'".into()), ..Settings::default() };
        let problems = Config::read(&settings).expect_err("quotes").0;
        assert_eq!(
            problems[0],
            "CASTWAY_EXTERNAL_IP=\"203.0.113.7\" has quotes in its value: write CASTWAY_EXTERNAL_IP=203.0.113.7. \
             `docker run --env-file` keeps quotes as a part of the value"
        );
        assert_eq!(problems.len(), 3, "what else is wrong is told at once: {problems:#?}");
    }

    #[test]
    fn quotes_around_a_text_are_kept_with_a_warning() {
        let warns = |settings: &Settings| {
            let config = Config::read(settings).expect("it may be meant");
            let warnings = config.warnings();
            assert!(
                warnings.iter().all(|warning| !warning.en.contains("0123456789") && !warning.zh.contains("0123456789")),
                "{warnings:?}"
            );
            (config.relay.realm, config.credentials.static_auth_secrets.len(), warnings.len())
        };
        let of = |realm: &str, secret: &str| Settings {
            realm: Some(realm.into()),
            static_auth_secret: Some(secret.into()),
            ..Settings::default()
        };
        assert_eq!(warns(&of("'tv'", "0123456789abcdef")), ("'tv'".to_owned(), 1, 1));
        assert_eq!(warns(&of("tv", "\"0123456789abcdef\"")), ("tv".to_owned(), 1, 1));
        assert_eq!(warns(&of("tv", "\"0123456789abcdef,south-0123456789\"")), ("tv".to_owned(), 2, 1));
        assert_eq!(warns(&of("tv's", "\"0123456789abcdef,south-0123456789")), ("tv's".to_owned(), 2, 0));
    }
}
