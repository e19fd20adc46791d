//! Settings of several places as one, and what a server records of its own for the commands beside it.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Settings, text};
use crate::config::secret::Secret;

const PREFIX: &str = "CASTWAY_";

impl Settings {
    /// The settings among `variables`; names of nothing here are skipped.
    pub fn from_variables<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields = variables.into_iter().filter_map(|(name, value)| {
            let field = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
            Some((field, Value::String(value.to_owned())))
        });
        from_fields(fields.collect())
    }

    /// The settings of `self`, and those of `other` that `self` does not have.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut fields = fields(other);
        fields.extend(fields_of(self));
        from_fields(fields)
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        fields_of(self).next().is_none()
    }

    /// What the commands beside a server that runs with these settings need to agree with it, as JSON. `turn` is where its relay
    /// listens, `https_port` where its HTTPS does; paths count from `folder`, its working folder.
    pub fn record(&self, turn: SocketAddr, https_port: Option<u16>, folder: &Path) -> Secret<String> {
        let absolute = |path: &Option<String>| Some(folder.join(text(path)?).to_string_lossy().into_owned());
        let recorded = Self {
            data_dir: None,
            turn_addr: Some(turn.to_string()),
            // Which of several addresses was free is known only here.
            https_addr: https_port.map(|port| SocketAddr::new(turn.ip(), port).to_string()).or_else(|| self.https_addr.clone()),
            cert: absolute(&self.cert),
            pkey: absolute(&self.pkey),
            acme_ca: absolute(&self.acme_ca),
            // No command asks for a key, and a mode that wants keys can't be read without them.
            api_keys: None,
            turn_access: self.turn_access.as_ref().map(|mode| if mode.trim() == "key" { "users" } else { mode }.to_owned()),
            ice_access: None,
            ..self.clone()
        };
        Secret::new(Value::Object(fields(&recorded)).to_string())
    }

    /// Reads what [`Settings::record`] wrote, be it of another version: names it does not know are skipped.
    ///
    /// # Errors
    /// Where it is no such JSON.
    pub fn recorded(record: &Secret<String>) -> Result<Self, serde_json::Error> {
        serde_json::from_str(record.expose())
    }
}

/// An empty value counts as not set, so that it hides nothing.
fn fields_of(settings: &Settings) -> impl Iterator<Item = (String, Value)> {
    let fields = match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.into_iter().filter(|(_, value)| value.as_str().is_some_and(|value| !value.trim().is_empty()))
}

fn fields(settings: &Settings) -> Map<String, Value> {
    fields_of(settings).collect()
}

fn from_fields(fields: Map<String, Value>) -> Settings {
    serde_json::from_value(Value::Object(fields)).expect("each setting is a text, and other names are skipped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_variables(variables.iter().copied())
    }

    #[test]
    fn variables_become_settings() {
        let settings = settings(&[("CASTWAY_REALM", "tv"), ("HOME", "/root"), ("CASTWAY_NO_SUCH", "x"), ("CASTWAY_TTL", "60")]);
        assert_eq!((settings.realm.as_deref(), settings.ttl.as_deref(), settings.data_dir), (Some("tv"), Some("60"), None));
    }

    #[test]
    fn what_is_set_hides_what_is_below_and_an_empty_value_does_not() {
        let above = settings(&[("CASTWAY_REALM", "tv"), ("CASTWAY_TTL", " ")]);
        let merged = above.or(&settings(&[("CASTWAY_REALM", "castway"), ("CASTWAY_TTL", "60"), ("CASTWAY_GRACE", "7")]));
        let expected = [Some("tv"), Some("60"), Some("7")];
        assert_eq!([merged.realm.as_deref(), merged.ttl.as_deref(), merged.grace.as_deref()], expected);
        assert!(settings(&[("CASTWAY_TTL", "")]).is_empty() && !merged.is_empty());
    }

    #[test]
    fn a_record_has_what_commands_need_and_no_api_keys() {
        let server = settings(&[
            ("CASTWAY_DATA_DIR", "/srv/castway"),
            ("CASTWAY_REALM", "tv"),
            ("CASTWAY_STATIC_AUTH_SECRET", "north,south"),
            ("CASTWAY_TURN_ACCESS", "key"),
            ("CASTWAY_ICE_ACCESS", "key"),
            ("CASTWAY_API_KEYS", "hunter2"),
            ("CASTWAY_CERT", "cert.pem"),
            ("CASTWAY_PKEY", "/etc/key.pem"),
        ]);
        let record = server.record("192.0.2.7:5000".parse().unwrap(), Some(444), Path::new("/srv"));
        assert!(!record.expose().contains("hunter2"));
        let read = Settings::recorded(&record).unwrap();
        assert_eq!(read.data_dir, None);
        assert_eq!((read.cert.as_deref(), read.pkey.as_deref()), (Some("/srv/cert.pem"), Some("/etc/key.pem")));
        let config = Config::read(&read).unwrap();
        assert_eq!((config.relay.realm.as_str(), config.relay.addr.port()), ("tv", 5000));
        assert_eq!(config.tls.https.unwrap().addrs[0].port(), 444);
        assert_eq!(config.credentials.static_auth_secrets.len(), 2);
    }

    #[test]
    fn a_record_of_another_version_is_read_as_far_as_it_is_known() {
        let read = Settings::recorded(&Secret::new(r#"{"realm": "tv", "of_tomorrow": {"x": 1}}"#.to_owned())).unwrap();
        assert_eq!(read.realm.as_deref(), Some("tv"));
        assert!(Settings::recorded(&Secret::new("realm=tv".to_owned())).is_err());
    }
}
