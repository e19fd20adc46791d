//! Users and passwords in URLs, which no text may show.

/// What stands in place of anything that is not shown.
pub(crate) const NOT_SHOWN: &str = "(not shown)";
/// Settings whose values are e-mail addresses.
const EMAILS: [&str; 1] = ["CASTWAY_ACME_EMAIL"];

/// The value of a setting, without the users and passwords in it. An e-mail address has none.
pub(super) fn hidden_in(variable: &str, text: &str) -> String {
    let is_bare = |text: &str| !text.contains([':', '/', ',']) && text.matches('@').count() == 1;
    if EMAILS.contains(&variable) && is_bare(text) { text.to_owned() } else { hidden(text) }
}

/// A text with the user and the password of each URL in it hidden. A URL that can't be read may have a slash, a comma or another URL in its
/// password, so this rather hides too much.
pub(crate) fn hidden(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::with_capacity(text.len());
    while !rest.is_empty() {
        let scheme = scheme_len(rest);
        let (start, url) = rest.split_at(scheme);
        let end = end_of_url(url);
        let (url, behind) = url.split_at(end);
        shown.push_str(start);
        match url.rsplit_once('@') {
            Some((_, host)) => shown.extend([NOT_SHOWN, "@", host]),
            None => shown.push_str(url),
        }
        rest = behind;
    }
    shown
}

/// The length of the scheme with its `://`, at the start; 0: there is none.
fn scheme_len(text: &str) -> usize {
    let Some((scheme, _)) = text.split_once("://") else { return 0 };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    if is_scheme { scheme.len() + "://".len() } else { 0 }
}

/// Where a URL begins behind this one, whose own scheme is no part of `url`. What may be a password ends at no URL that is a part of it.
fn end_of_url(url: &str) -> usize {
    let starts = url.char_indices().filter(|(_, character)| is_separator(*character));
    let mut starts = starts.map(|(at, character)| at + character.len_utf8()).filter(|at| scheme_len(&url[*at..]) > 0);
    starts.find(|at| url[..*at].contains('@') || is_host(&url[..*at])).unwrap_or(url.len())
}

/// What stands between URLs, and around them where their quotes are kept.
fn is_separator(character: char) -> bool {
    character == ',' || character == ';' || character.is_whitespace() || "\"'`".contains(character)
}

/// Whether the text in front of another URL begins with a host and perhaps a port, and so with no user and password.
fn is_host(text: &str) -> bool {
    let authority = text.split(|character| "/?#".contains(character) || is_separator(character)).next().unwrap_or_default();
    let port = match authority.strip_prefix('[') {
        Some(ip) => ip.split_once(']').map_or(ip, |(_, port)| port.trim_start_matches(':')),
        None => authority.split_once(':').map_or("", |(_, port)| port),
    };
    port.chars().all(|digit| digit.is_ascii_digit() || digit == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings, quotes, variable_of};

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
            ("https://u:hunter2://x@h/", "https://(not shown)@h/"),
            ("https://u:hunter2,https://x@h/", "https://(not shown)@h/"),
            ("https://u:hunter2://x@h, https://u:hunter2://y@i", "https://(not shown)@h, https://(not shown)@i"),
            ("https://x.org:8443 https://u:hunter2@h", "https://x.org:8443 https://(not shown)@h"),
            ("https://[::1]:8443,https://u:hunter2@h", "https://[::1]:8443,https://(not shown)@h"),
            ("\"https://u:hunter2@h\"", "\"https://(not shown)@h\""),
            ("hunter2@h", "(not shown)@h"),
            ("//hunter2@h", "(not shown)@h"),
            ("https:/u:hunter2@h", "(not shown)@h"),
            ("u:hunter2://x@h", "(not shown)@h"),
            ("https://x.org/a://b", "https://x.org/a://b"),
            ("[::]:8443", "[::]:8443"),
            ("", ""),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn an_email_address_is_shown_where_one_is_expected() {
        for (variable, text, shown) in [
            ("CASTWAY_ACME_EMAIL", "me@example.org", "me@example.org"),
            ("CASTWAY_ACME_EMAIL", "u:hunter2@example.org", "(not shown)@example.org"),
            ("CASTWAY_ACME_EMAIL", "hunter@2@example.org", "(not shown)@example.org"),
            ("CASTWAY_DOMAIN", "me@example.org", "(not shown)@example.org"),
        ] {
            assert_eq!(hidden_in(variable, text), shown, "{variable}={text}");
        }
        assert!(EMAILS.iter().all(|email| Settings::default().fields().into_keys().any(|field| variable_of(&field) == *email)));
    }

    #[test]
    fn no_setting_shows_a_password_in_a_url() {
        let url = "https://user:hunter2@example.org/";
        for (field, _) in Settings::default().fields() {
            if quotes::is_text_or_path(&field) {
                continue;
            }
            let variable = variable_of(&field);
            let mut values = vec![url.to_owned(), format!("\"{url}\""), format!("user:hunter2@example.org,{url}")];
            values.extend(["https://u:hunter2://x@h/", "//u:hunter2@h", "u:hunter2://x@h"].map(str::to_owned));
            // Nothing tells an e-mail address from a password alone.
            values.extend((!EMAILS.contains(&variable.as_str())).then(|| "hunter2@h".to_owned()));
            for value in values {
                let settings = Settings::from_variables([(variable.as_str(), value.as_str())]);
                let (config, problems) = Config::examine(&settings);
                let shown = format!("{problems:?} {:?} {:?}", settings.rows(), config.warnings());
                assert!(!shown.contains("hunter2"), "{variable}: {shown}");
            }
        }
    }
}
