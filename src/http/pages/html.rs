//! Changes to built pages.

use crate::config::BasePath;

/// A page for a server that is published under `base`: its URLs begin with the base path, and a meta element tells it to the scripts.
pub(super) fn under(base: &BasePath, page: &str) -> String {
    // Every value of an attribute that begins with a slash is a URL of this server, unless a second slash makes it one of another host.
    let mut parts = page.split("=\"/");
    let mut html = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let foreign = part.starts_with('/');
        html.push_str("=\"");
        html.push_str(if foreign { "" } else { base.as_str() });
        html.push('/');
        html.push_str(part);
    }
    html.replacen("<head>", &format!("<head>\n    <meta name=\"castway-base\" content=\"{base}\" />"), 1)
}

/// A page with its canonical URL, for link previews. `path` needs no escapes in HTML.
pub(super) fn with_canonical(page: &str, path: &str) -> String {
    page.replacen("</head>", &format!("<link rel=\"canonical\" href=\"{path}\" /></head>"), 1)
}

#[cfg(test)]
mod tests {
    use super::super::files::FILES;
    use super::*;
    use crate::config::{Config, Settings};

    fn castway() -> BasePath {
        let public_url = Some("https://example.org/castway/".to_owned());
        Config::read(&Settings { public_url, ..Settings::default() }).unwrap().http.base_path
    }

    #[test]
    fn urls_of_this_server_get_the_base_path_and_others_do_not() {
        let page = concat!(
            "<html><head><link href=\"/assets/a.css\"></head><a href=\"/\">/</a><a href=\"//other.example/\"></a><a href=\"#x\"></a>",
            "<a href=\"https://other.example/\"></a><script src=\"/assets/a.js\" data-entry=\"/assets/b.js\"></script></html>"
        );
        let expected = concat!(
            "<html><head>\n    <meta name=\"castway-base\" content=\"/castway\" /><link href=\"/castway/assets/a.css\"></head>",
            "<a href=\"/castway/\">/</a><a href=\"//other.example/\"></a><a href=\"#x\"></a><a href=\"https://other.example/\"></a>",
            "<script src=\"/castway/assets/a.js\" data-entry=\"/castway/assets/b.js\"></script></html>"
        );
        assert_eq!(under(&castway(), page), expected);
    }

    #[test]
    fn every_built_page_is_rewritten_whole() {
        let pages: Vec<_> = FILES.iter().filter(|(name, _)| name.ends_with(".html")).collect();
        assert!(pages.len() >= 5, "{pages:?}");
        for (name, file) in pages {
            let built = String::from_utf8(file.plain().to_vec()).unwrap();
            let html = under(&castway(), &built);
            assert!(html.contains("content=\"/castway\"") && html.contains(" src=\"/castway/assets/"), "{name}: {html}");
            for (at, _) in html.match_indices(['"', '\'']) {
                let rest = &html[at + 1..];
                let own =
                    rest.starts_with('/') && !rest.starts_with("//") && rest.bytes().nth(1).is_some_and(|byte| byte != b' ');
                assert!(!own || rest.starts_with("/castway"), "{name}: {}", rest.chars().take(60).collect::<String>());
            }
            // The other URLs of the pages are those of scripts and styles.
            assert!(!built.contains("srcset=") && !built.contains("style=\""), "{name} has URLs that are not found");
        }
    }

    #[test]
    fn the_canonical_url_is_in_the_head() {
        let expected = "<head><link rel=\"canonical\" href=\"/r/x\" /></head><body></head>";
        assert_eq!(with_canonical("<head></head><body></head>", "/r/x"), expected);
    }
}
