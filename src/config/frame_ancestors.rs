//! [`FrameAncestors`]: which sites may show the pages in a frame.

use std::fmt;

use super::origins::AllowedOrigin;
use super::reader::Reader;

const SETTING: &str = "CASTWAY_FRAME_ANCESTORS";
const EXPECTED_ALONE: &str = "none without other items, since it forbids all frames; or the list without it";
const EXPECTED_NAMED: &str = "the sites by name, such as https://portal.example.org: in a frame of any site, visitors could be made to click on \
                              what they don't see";
const EXPECTED_HOST: &str =
    "a site with a host name or an IPv4 address, such as https://portal.example.org: browsers compare no others";

/// The source list of the directive `frame-ancestors` (CSP Level 3 §6.4.2), for example `'self' https://portal.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameAncestors(String);

impl Default for FrameAncestors {
    fn default() -> Self {
        Self("'self'".to_owned())
    }
}

impl FrameAncestors {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let items = reader.items(SETTING);
        if let [item] = items.as_slice()
            && item == "none"
        {
            return Self("'none'".to_owned());
        }
        let mut sources = Vec::new();
        for item in items {
            match source(&item) {
                Ok(source) => sources.push(source),
                Err(expected) => reader.problem(SETTING, &item, expected),
            }
        }
        if sources.is_empty() { Self::default() } else { Self(sources.join(" ")) }
    }
}

impl fmt::Display for FrameAncestors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn source(item: &str) -> Result<String, &'static str> {
    match item {
        "self" => return Ok("'self'".to_owned()),
        "none" => return Err(EXPECTED_ALONE),
        "*" => return Err(EXPECTED_NAMED),
        _ => {}
    }
    let source = match AllowedOrigin::read(item)? {
        AllowedOrigin::Exact(origin) => origin,
        AllowedOrigin::Subdomain { scheme, parent } => format!("{scheme}://*{parent}"),
    };
    // URLs may have hosts with a semicolon, which would begin another directive.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:*".contains(&byte);
    let has_host =
        source.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.starts_with('.') && host.bytes().all(plain));
    if has_host { Ok(source) } else { Err(EXPECTED_HOST) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn read(value: &str) -> Result<String, String> {
        let settings = Settings { frame_ancestors: Some(value.into()), ..Settings::default() };
        Config::read(&settings).map(|config| config.http.frame_ancestors.to_string()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_list_is_that_of_the_policy() {
        for (value, policy) in [
            ("", "'self'"),
            ("self", "'self'"),
            ("none", "'none'"),
            ("https://portal.example.org", "https://portal.example.org"),
            ("self, HTTPS://Portal.Example.ORG:443/", "'self' https://portal.example.org"),
            ("https://*.example.org,http://192.0.2.7:8080", "https://*.example.org http://192.0.2.7:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(read(value), Ok(policy.to_owned()), "{value}");
        }
    }

    #[test]
    fn what_no_browser_compares_is_an_error() {
        for (item, expected) in [
            ("none", EXPECTED_ALONE),
            ("*", EXPECTED_NAMED),
            ("null", EXPECTED_HOST),
            ("file://", EXPECTED_HOST),
            ("app://.", EXPECTED_HOST),
            ("http://[2001:db8::7]:8080", EXPECTED_HOST),
            ("https://a.org;sandbox", EXPECTED_HOST),
            ("https://*.a.org;sandbox", EXPECTED_HOST),
            ("https://a.org;", EXPECTED_HOST),
            ("portal.example.org", "an origin with its scheme"),
            ("https://portal.example.org/page", "an origin and nothing more"),
            ("https://a.org;script-src x", "an origin with a host that can exist"),
        ] {
            let problems = read(&format!("https://good.example,{item}")).expect_err(item);
            assert!(problems.contains(&format!("{SETTING}={item:?}: expected {expected}")), "{item}: {problems}");
        }
    }
}
