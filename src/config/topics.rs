//! [`Config`]: all settings, checked, a struct for each topic.

use std::path::PathBuf;
use std::time::Duration;

use super::api::ApiConfig;
use super::apprtc::AppRtcConfig;
use super::cast::CastConfig;
use super::credentials::CredentialsConfig;
use super::hooks::HooksConfig;
use super::http::{HttpConfig, report_one_port};
use super::log::LogConfig;
use super::multiconnection::MultiConnectionConfig;
use super::port_conflicts::RequiredPorts;
use super::problems::Problems;
use super::quotes;
use super::reader::Reader;
use super::relay::RelayConfig;
use super::secret::Secret;
use super::settings::Settings;
use super::tls::TlsConfig;
use crate::sentence::Sentence;

/// Everything the program needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// As given, for [`Settings::server_record`].
    pub settings: Secret<Settings>,
    pub data_dir: PathBuf,
    pub http: HttpConfig,
    pub tls: TlsConfig,
    pub relay: RelayConfig,
    pub credentials: CredentialsConfig,
    pub api: ApiConfig,
    pub cast: CastConfig,
    pub apprtc: AppRtcConfig,
    pub multiconnection: MultiConnectionConfig,
    pub hooks: HooksConfig,
    /// How long a stop waits for clients and relayed streams.
    pub drain: Duration,
    pub log: LogConfig,
}

impl Config {
    /// Checks `settings` as a whole.
    ///
    /// # Errors
    /// [`Problems`] with one line for each setting that can't be used.
    pub fn read(settings: &Settings) -> Result<Self, Problems> {
        let mut reader = Reader::new(settings);
        let config = Self::read_topics(settings, &mut reader);
        reader.finish(config)
    }

    /// The same for a server, whose listeners must not exclude each other. The record of a running one names the ports that it has got.
    ///
    /// # Errors
    /// [`Problems`] with one line for each setting that can't be used.
    pub fn read_to_serve(settings: &Settings) -> Result<Self, Problems> {
        let (config, problems) = Self::examine(settings);
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// What a server would read, in which a setting that can't be used has its default, and a line for each such setting.
    #[must_use]
    pub fn examine(settings: &Settings) -> (Self, Vec<String>) {
        let mut reader = Reader::new(settings);
        let config = Self::read_topics(settings, &mut reader);
        config.required_ports().report(&mut reader);
        report_one_port(&mut reader);
        (config, reader.problems())
    }

    fn read_topics(settings: &Settings, reader: &mut Reader) -> Self {
        let http = HttpConfig::read(reader);
        let relay = RelayConfig::read(reader);
        let credentials = CredentialsConfig::read(reader);
        Self {
            settings: Secret::new(settings.clone()),
            data_dir: reader.value("CASTWAY_DATA_DIR", "a folder", |text| Some(PathBuf::from(text))),
            tls: TlsConfig::read(reader, &http, relay.addr),
            http,
            relay,
            api: ApiConfig::read(reader, !credentials.api_keys.is_empty()),
            credentials,
            cast: CastConfig::read(reader),
            apprtc: AppRtcConfig::read(reader),
            multiconnection: MultiConnectionConfig::read(reader),
            hooks: HooksConfig::read(reader),
            drain: reader.seconds("CASTWAY_DRAIN", 0..=3600),
            log: LogConfig::read(reader),
        }
    }

    /// The TCP ports that the server must have.
    #[must_use]
    pub fn required_ports(&self) -> RequiredPorts {
        RequiredPorts::new(&self.http, &self.tls, &self.apprtc, &self.relay)
    }

    /// What is allowed and probably not meant, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<Sentence> {
        let realm = quotes::enclose(&self.relay.realm).then(|| quotes::warning("CASTWAY_REALM"));
        self.credentials.warnings().into_iter().chain(self.hooks.warnings.iter().cloned()).chain(realm).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen::on_this_machine;
    use super::super::{Listen, TurnAccess};
    use super::*;

    #[test]
    fn defaults_need_no_setting() {
        let config = Config::read(&Settings::default()).expect("defaults are valid");
        assert_eq!(config.http.listen, [Listen::exactly(on_this_machine("[::]:8080".parse().unwrap()))]);
        assert_eq!(config.relay.addr, on_this_machine("[::]:3478".parse().unwrap()));
        assert_eq!(config.credentials.access, TurnAccess::Open);
    }

    #[test]
    fn all_problems_are_reported_together_and_by_name() {
        let settings = Settings {
            http_addr: Some("nonsense".into()),
            min_port: Some("70000".into()),
            turn_access: Some("everyone".into()),
            denied_peer_ip: Some("10.0.0.0/33".into()),
            grace: Some("-1".into()),
            ..Settings::default()
        };
        let problems = Config::read(&settings).expect_err("five settings are wrong").0;
        for name in ["CASTWAY_HTTP_ADDR", "CASTWAY_MIN_PORT", "CASTWAY_TURN_ACCESS", "CASTWAY_DENIED_PEER_IP", "CASTWAY_GRACE"] {
            assert_eq!(problems.iter().filter(|problem| problem.starts_with(name)).count(), 1, "{name} in {problems:#?}");
        }
        assert_eq!(problems.len(), 5);
    }

    #[test]
    fn a_secret_is_never_part_of_a_problem() {
        let settings = Settings { static_auth_secret: Some("abc".into()), ..Settings::default() };
        let problems = Config::read(&settings).expect_err("too short").to_string();
        assert!(problems.contains("CASTWAY_STATIC_AUTH_SECRET"));
        assert!(!problems.contains("abc"));
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        let settings = Settings { public_url: Some(String::new()), max_port: Some("  ".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_ok());
    }
}
