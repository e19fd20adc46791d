//! [`BasePath`]: the path under which a proxy publishes this server, for example `/cast` for `https://example.org/cast/`.
//!
//! A proxy forwards the path as it is or removes the base path from it, and the server can't know which. So no base path is allowed with
//! which a request could mean two things.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// The first parts of this server's own paths that have further parts.
const FOLDERS: [&str; 13] =
    [".well-known", "admin", "api", "assets", "bye", "check", "join", "leave", "message", "r", "report", "socket.io", "v1alpha"];
/// This server's own paths of one part that are read with GET and are no pages.
const PATHS: [&str; 8] = ["healthz", "metrics", "params", "readyz", "robots.txt", "status", "turn", "ws"];
/// The longest base path.
const MAX_BYTES: usize = 128;

pub(super) const EXPECTED_CHARACTERS: &str = "a path whose parts have letters, digits and the characters - _ . ~ only, 128 at most, e.g. \
                                              https://example.org/castway/";
pub(super) const EXPECTED_FOREIGN: &str = "a path that begins with none of this server's own (.well-known, admin, api, assets, bye, check, \
     healthz, join, leave, message, metrics, params, r, readyz, report, robots.txt, socket.io, status, turn, v1alpha, ws), e.g. \
     https://example.org/castway/";

/// Empty, or parts that each begin with a slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Reads the path of a URL. The error says what is expected instead.
    pub(super) fn read(path: &str) -> Result<Self, &'static str> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let is_plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
        };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if path.len() > MAX_BYTES || !path.starts_with('/') || !parts.iter().all(|part| is_plain(part)) {
            return Err(EXPECTED_CHARACTERS);
        }
        if FOLDERS.contains(&parts[0]) || (parts.len() == 1 && PATHS.contains(&parts[0])) {
            return Err(EXPECTED_FOREIGN);
        }
        Ok(Self(path.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only part of a base path that has one.
    #[must_use]
    pub fn only_part(&self) -> Option<&str> {
        self.0.strip_prefix('/').filter(|part| !part.contains('/'))
    }

    /// What follows the base path in the path of a request: nothing, or something that begins with a slash. `None`: the path doesn't begin
    /// with the base path. Doubled slashes and escapes that nobody needs make no difference.
    #[must_use]
    pub fn rest_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut rest = path;
        for part in self.0.split('/').skip(1) {
            let begin = rest.trim_start_matches('/');
            let end = begin.find('/').unwrap_or(begin.len());
            if begin.len() == rest.len() || percent_decode_str(&begin[..end]).ne(part.bytes()) {
                return None;
            }
            rest = &begin[end..];
        }
        Some(rest)
    }

    /// A path with the base path in front.
    #[must_use]
    pub fn at<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{self}{path}")) }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(path: &str) -> BasePath {
        BasePath::read(path).expect(path)
    }

    #[test]
    fn a_base_path_has_plain_parts_and_no_name_of_the_servers_own() {
        for (path, read) in [
            ("", ""),
            ("/", ""),
            ("/cast/", "/cast"),
            ("/cast", "/cast"),
            ("/tv", "/tv"),
            ("/a/b/", "/a/b"),
            ("/a", "/a"),
            ("/turn/x", "/turn/x"),
            ("/Apps/cast-2.0_~", "/Apps/cast-2.0_~"),
        ] {
            assert_eq!(base(path).as_str(), read, "{path}");
        }
        let long = format!("/{}", "x".repeat(MAX_BYTES));
        for path in ["//", "/a//b", "//a", "/a//", "/%C3%A9", "/a b", "/a%2Fb", "/a:b", "/a;b", "/a'b", "/a@b", &long] {
            assert_eq!(BasePath::read(path), Err(EXPECTED_CHARACTERS), "{path}");
        }
        for part in FOLDERS {
            for path in [format!("/{part}"), format!("/{part}/x/")] {
                assert_eq!(BasePath::read(&path), Err(EXPECTED_FOREIGN), "{path}");
            }
        }
        for part in PATHS {
            assert_eq!(BasePath::read(&format!("/{part}/")), Err(EXPECTED_FOREIGN), "{part}");
        }
        for part in FOLDERS.iter().chain(&PATHS) {
            let named = |separator: &str| EXPECTED_FOREIGN.contains(&format!("{part}{separator}"));
            assert!(named(", ") || named(")"), "the problem names {part}");
        }
    }

    #[test]
    fn every_route_of_the_server_is_known_here() {
        let source = |path: &str| std::fs::read_to_string(format!("{}/src/{path}", env!("CARGO_MANIFEST_DIR"))).expect(path);
        let files = ["api/router.rs", "apprtc/room_server.rs", "apprtc/collider.rs", "check/routes.rs", "http/pages/mod.rs"];
        let mut found = 0;
        for file in files {
            for route in source(file).split(".route(\"/").skip(1) {
                let part: String = route.chars().take_while(|c| !"/\"{".contains(*c)).collect();
                // Nobody reads `/a` with GET.
                assert!(part.is_empty() || part == "a" || FOLDERS.contains(&&*part) || PATHS.contains(&&*part), "{file}: {part}");
                found += 1;
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn the_rest_of_a_path_is_what_follows_the_base_path() {
        for (at, path, rest) in [
            ("/cast", "/cast", Some("")),
            ("/cast", "/cast/", Some("/")),
            ("/cast", "/cast/tv", Some("/tv")),
            ("/cast", "//cast//tv//", Some("//tv//")),
            ("/cast", "/%63%61st/r/%E4%BC%9A", Some("/r/%E4%BC%9A")),
            ("/cast", "/cast/cast/x", Some("/cast/x")),
            ("/a/b", "/a/b", Some("")),
            ("/a/b", "/a//b/c", Some("/c")),
            ("/cast", "/castle", None),
            ("/cast", "/Cast/tv", None),
            ("/cast", "/", None),
            ("/cast", "cast/tv", None),
            ("/cast", "*", None),
            ("/cast", "/tv/cast", None),
            ("/cast", "/cast%2Ftv", None),
            ("/a/b", "/a", None),
            ("/a/b", "/a/", None),
            ("/a/b", "/a/bc", None),
            ("", "/tv", Some("/tv")),
        ] {
            assert_eq!(base(at).rest_of(path), rest, "{path} under {at}");
        }
    }
}
