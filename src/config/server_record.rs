//! What a server records of its own settings, for the commands that run beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::secret::Secret;
use super::settings::Settings;

impl Settings {
    /// The settings that the commands beside a server need to agree with it, as JSON. `turn` is where its relay listens, `https_port`
    /// where its HTTPS does; relative paths become absolute ones, from `folder`, its working folder.
    pub fn server_record(&self, turn: SocketAddr, https_port: Option<u16>, folder: &Path) -> Secret<String> {
        let absolute = |path: &Option<String>| {
            Some(folder.join(path.as_deref().map(str::trim).filter(|path| !path.is_empty())?).to_string_lossy().into_owned())
        };
        let recorded = Self {
            data_dir: None,
            turn_addr: Some(turn.to_string()),
            // Only the server itself knows which of several addresses it could bind.
            https_addr: https_port.map(|port| SocketAddr::new(turn.ip(), port).to_string()).or_else(|| self.https_addr.clone()),
            cert: absolute(&self.cert),
            pkey: absolute(&self.pkey),
            acme_ca: absolute(&self.acme_ca),
            static_auth_secret_file: absolute(&self.static_auth_secret_file),
            // No command checks a key, and an access mode with keys can't be read without them, nor the APIs of other providers. Like that
            // mode, "open" allows any name.
            api_keys: None,
            api_keys_file: None,
            provider_apis: None,
            turn_access: self.turn_access.as_ref().map(|mode| if mode.trim() == "key" { "open" } else { mode }.to_owned()),
            ice_access: None,
            // No command sends requests to them.
            webhook_url: None,
            webhook_secret: None,
            webhook_secret_file: None,
            authorize_url: None,
            ..self.clone()
        };
        let set: BTreeMap<String, String> = recorded.set_fields().collect();
        Secret::new(serde_json::to_string(&set).expect("texts are JSON"))
    }

    /// Reads a [`Settings::server_record`], perhaps that of another version: unknown names are skipped.
    ///
    /// # Errors
    /// The record is not such JSON.
    pub fn from_server_record(record: &Secret<String>) -> Result<Self, serde_json::Error> {
        serde_json::from_str(record.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_variables(variables.iter().copied())
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
            ("CASTWAY_PROVIDER_APIS", "twilio"),
            ("CASTWAY_CERT", "cert.pem"),
            ("CASTWAY_PKEY", "/etc/key.pem"),
        ]);
        let record = server.server_record("192.0.2.7:5000".parse().unwrap(), Some(444), Path::new("/srv"));
        assert!(!record.expose().contains("hunter2"));
        let read = Settings::from_server_record(&record).unwrap();
        assert_eq!(read.data_dir, None);
        assert_eq!((read.cert.as_deref(), read.pkey.as_deref()), (Some("/srv/cert.pem"), Some("/etc/key.pem")));
        let config = Config::read(&read).unwrap();
        assert_eq!((config.relay.realm.as_str(), config.relay.addr.port()), ("tv", 5000));
        assert_eq!(config.tls.https.unwrap().addrs[0].port(), 444);
        assert_eq!(config.credentials.static_auth_secrets.len(), 2);
    }

    #[test]
    fn a_record_of_another_version_is_read_as_far_as_it_is_known() {
        let read = Settings::from_server_record(&Secret::new(r#"{"realm": "tv", "of_tomorrow": {"x": 1}}"#.to_owned())).unwrap();
        assert_eq!(read.realm.as_deref(), Some("tv"));
        assert!(Settings::from_server_record(&Secret::new("realm=tv".to_owned())).is_err());
    }
}
