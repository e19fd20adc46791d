//! Users and passwords in URLs, which no text may show.

const HIDDEN: &str = "(not shown)";

/// A text with the user and the password of each URL in it hidden. A URL that can't be read may have a slash or a comma in its password, so
/// this rather hides too much.
pub(super) fn hidden(text: &str) -> String {
    let mut parts = text.split("://").enumerate().map(|(index, part)| match part.rsplit_once('@') {
        // Before the first scheme, an e-mail address has no password.
        Some((userinfo, rest)) if index > 0 || userinfo.contains(':') => format!("{HIDDEN}@{rest}"),
        _ => part.to_owned(),
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |text, part| format!("{text}://{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings, quotes};

    #[test]
    fn users_and_passwords_are_hidden_and_the_rest_is_shown() {
        for (text, shown) in [
            ("https://user:hunter2@cast.example.org/x", "https://(not shown)@cast.example.org/x"),
            ("https://hunter2@cast.example.org", "https://(not shown)@cast.example.org"),
            ("user:hunter2@cast.example.org", "(not shown)@cast.example.org"),
            ("https://user:hun/ter2,hunter2@x.org", "https://(not shown)@x.org"),
            ("https://user:hunter2@ter2@x.org", "https://(not shown)@x.org"),
            ("https://a:hunter2@x.org,http://b:hunter2@y.org", "https://(not shown)@x.org,http://(not shown)@y.org"),
            ("https://x.org,https://y.org/a:b", "https://x.org,https://y.org/a:b"),
            ("me@example.org", "me@example.org"),
            ("[::]:8443", "[::]:8443"),
            ("", ""),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn no_setting_shows_a_password_in_a_url() {
        let url = "https://user:hunter2@example.org/";
        for (field, _) in Settings::default().fields() {
            if quotes::is_text_or_path(&field) {
                continue;
            }
            for value in [url.to_owned(), format!("\"{url}\""), format!("user:hunter2@example.org,{url}")] {
                let variable = crate::config::variable_of(&field);
                let settings = Settings::from_variables([(variable.as_str(), value.as_str())]);
                let (config, problems) = Config::examine(&settings);
                let shown = format!("{problems:?} {:?} {:?}", settings.rows(), config.warnings());
                assert!(!shown.contains("hunter2"), "{variable}: {shown}");
            }
        }
    }
}
