//! Settings that want one TCP port: found before anything is bound. UDP ports are the relay's alone.

use std::net::SocketAddr;

use super::apprtc::AppRtcConfig;
use super::http::{HttpConfig, overlap};
use super::reader::Reader;
use super::relay::RelayConfig;
use super::tls::TlsConfig;

const TURN: &str = "CASTWAY_TURN_ADDR";
const SECOND: &str = "CASTWAY_ALT_LISTENING_PORT";

/// The TCP ports that the server must have, by the setting that names each one.
#[derive(Debug, Clone)]
pub struct RequiredPorts(Vec<(&'static str, SocketAddr)>);

impl RequiredPorts {
    pub(super) fn new(http: &HttpConfig, tls: &TlsConfig, apprtc: &AppRtcConfig, relay: &RelayConfig) -> Self {
        let tls = [("CASTWAY_HTTPS_ADDR", &tls.https), ("CASTWAY_TURNS_ADDR", &tls.turns)];
        let tls = tls.into_iter().filter_map(|(setting, listen)| Some((setting, listen.as_ref()?)));
        let listens = http.listen.iter().map(|listen| (http.listen_setting, listen)).chain(tls);
        let listens = listens.filter(|(_, listen)| listen.required).map(|(setting, listen)| (setting, listen.addrs[0]));
        let collider = apprtc.collider.map(|addr| ("CASTWAY_COLLIDER_ADDR", addr));
        let second = relay.alternate_port.map(|port| (SECOND, SocketAddr::new(relay.addr.ip(), port)));
        let turn = [Some((TURN, relay.addr)), second].into_iter().flatten().filter(|_| relay.tcp);
        Self(listens.chain(collider).chain(turn).collect())
    }

    /// The setting, other than `except`, whose port keeps a listener from `addr`.
    #[must_use]
    pub fn holder(&self, addr: SocketAddr, except: &str) -> Option<&'static str> {
        self.0.iter().find(|(setting, taken)| *setting != except && overlap(*taken, addr)).map(|(setting, _)| *setting)
    }

    /// A problem for each setting that wants the port of one before it.
    pub(super) fn report(&self, reader: &mut Reader) {
        for (index, (setting, addr)) in self.0.iter().enumerate() {
            let earlier = self.0[..index].iter().find(|(other, taken)| other != setting && overlap(*taken, *addr));
            if let Some((other, taken)) = earlier {
                let hint = hint(setting, addr.port());
                let expected = format!("another TCP port than that of {other}={taken}, which this server has too. {hint}");
                reader.problem(setting, &addr.to_string(), &expected);
            }
        }
    }
}

fn hint(setting: &str, port: u16) -> String {
    if setting == TURN || setting == SECOND {
        format!("TURN over TLS is served there as well, so CASTWAY_NO_TCP=true leaves UDP {port} to TURN")
    } else {
        format!("The protocols of {setting} are served there as well, so {setting} can be left out")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Settings};

    fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::read_to_serve(&Settings::from_variables(variables.iter().copied())).map_err(|problems| problems.0)
    }

    #[test]
    fn settings_that_want_one_port_are_named_together() {
        for (variables, wrong, other) in [
            (&[("CASTWAY_TURN_ADDR", "[::]:443"), ("CASTWAY_HTTPS_ADDR", "0.0.0.0:443")][..], "TURN_ADDR", "HTTPS_ADDR"),
            (&[("CASTWAY_TURN_ADDR", "0.0.0.0:443"), ("CASTWAY_DOMAIN", "tv.example.org")], "TURN_ADDR", "HTTPS_ADDR"),
            (&[("CASTWAY_TURN_ADDR", "127.0.0.1:8080")], "TURN_ADDR", "HTTP_ADDR"),
            (&[("CASTWAY_HTTPS_ADDR", "0.0.0.0:3478")], "TURN_ADDR", "HTTPS_ADDR"),
            (&[("CASTWAY_ALT_LISTENING_PORT", "443"), ("CASTWAY_HTTPS_ADDR", "[::]:443")], "ALT_LISTENING_PORT", "HTTPS_ADDR"),
            (
                &[("CASTWAY_HTTP_ADDR", "0.0.0.0:80,0.0.0.0:8089"), ("CASTWAY_COLLIDER_ADDR", "[::]:8089")],
                "COLLIDER_ADDR",
                "HTTP_ADDR",
            ),
            (&[("CASTWAY_HTTPS_ADDR", "10.0.0.1:443"), ("CASTWAY_TURNS_ADDR", "10.0.0.1:443")], "TURNS_ADDR", "HTTPS_ADDR"),
        ] {
            let problems = read(variables).expect_err(wrong);
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert!(problems[0].starts_with(&format!("CASTWAY_{wrong}=")), "{problems:?}");
            assert!(problems[0].contains(&format!("that of CASTWAY_{other}=")), "{problems:?}");
            let settings = Settings::from_variables(variables.iter().copied());
            assert!(Config::read(&settings).is_ok(), "a command binds nothing");
        }
        let several = read(&[("CASTWAY_TURN_ADDR", "0.0.0.0:8080"), ("CASTWAY_GRACE", "soon")]).expect_err("two problems");
        assert_eq!(several.len(), 2, "{several:#?}");
    }

    #[test]
    fn ports_that_can_be_bound_side_by_side_are_no_problem() {
        for variables in [
            &[][..],
            &[("CASTWAY_TURN_ADDR", "0.0.0.0:443"), ("CASTWAY_HTTPS_ADDR", "0.0.0.0:443"), ("CASTWAY_NO_TCP", "true")],
            &[("CASTWAY_TURN_ADDR", "10.0.0.1:443"), ("CASTWAY_HTTPS_ADDR", "10.0.0.2:443")],
            &[("CASTWAY_TURN_ADDR", "0.0.0.0:0"), ("CASTWAY_HTTPS_ADDR", "0.0.0.0:0"), ("CASTWAY_HTTP_ADDR", "0.0.0.0:0")],
            // A default that is not needed makes way.
            &[("CASTWAY_TURN_ADDR", "0.0.0.0:5349")],
            &[("CASTWAY_HTTP_ADDR", "0.0.0.0:8443")],
        ] {
            assert!(read(variables).is_ok(), "{variables:?}");
        }
        let config = read(&[("CASTWAY_TURN_ADDR", "0.0.0.0:5349")]).expect("valid");
        let default = config.tls.turns.as_ref().expect("TLS is on").addrs[0];
        assert_eq!(config.required_ports().holder(default, "CASTWAY_TURNS_ADDR"), Some("CASTWAY_TURN_ADDR"));
    }
}
