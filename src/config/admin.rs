//! From where operators may use `/admin`.

use ipnet::IpNet;

use super::network::{NETWORKS, network};
use super::reader::Reader;

const ALLOW: &str = "CASTWAY_ADMIN_ALLOW";

#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// `None`: from everywhere.
    pub allow: Option<Vec<IpNet>>,
    /// The server is published under a path, whose origin other applications share, and no setting allows that.
    pub shares_origin: bool,
}

impl AdminConfig {
    pub(super) fn read(reader: &mut Reader, has_path: bool) -> Self {
        let is_any = reader.text(ALLOW).as_deref() == Some("any");
        let allow = (!is_any).then(|| reader.list(ALLOW, &format!("any, or {NETWORKS}"), network));
        let allowed = reader.flag("CASTWAY_ADMIN_UNDER_PATH");
        Self { allow, shares_origin: has_path && !allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Settings};

    #[test]
    fn networks_and_the_path_decide_where_admin_is_served() {
        let read = |allow: Option<&str>, url: &str, under: Option<&str>| {
            let text = |text: &str| text.to_owned();
            let settings = Settings {
                admin_allow: allow.map(text),
                public_url: Some(url.to_owned()),
                admin_under_path: under.map(text),
                ..Settings::default()
            };
            Config::read(&settings).map(|config| config.http.admin).map_err(|problems| problems.to_string())
        };
        let (origin, path) = ("https://cast.example.org", "https://example.org/castway/");
        let default = read(None, origin, None).unwrap();
        assert!(default.allow.is_none() && !default.shares_origin);
        assert_eq!(read(Some("any"), origin, None).unwrap().allow, None);
        let networks = ["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
        assert_eq!(read(Some("::ffff:10.0.0.0/104, 127.0.0.1"), origin, None).unwrap().allow, Some(networks.to_vec()));
        assert!(read(None, path, None).unwrap().shares_origin && !read(None, path, Some("true")).unwrap().shares_origin);
        for wrong in ["any, 10.0.0.0/8", "none", "10.0.0.0/33"] {
            let problem = read(Some(wrong), origin, None).expect_err(wrong);
            assert!(problem.contains("CASTWAY_ADMIN_ALLOW") && problem.contains("expected any, or addresses"), "{problem}");
        }
    }
}
