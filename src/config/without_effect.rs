//! Settings that change nothing because of others: allowed, and probably not meant.

use super::external::Public;
use super::tls::CertificateSource;
use super::topics::Config;
use crate::turn::Scope;

/// Settings that have no effect where `is_idle` says so.
struct Rule {
    fields: &'static [&'static str],
    is_idle: fn(&Config) -> bool,
    because: &'static str,
}

const RULES: [Rule; 9] = [
    Rule {
        fields: &[
            "https_addr",
            "turns_addr",
            "cert",
            "pkey",
            "cert_trusted",
            "acme_email",
            "acme_directory",
            "acme_ca",
            "plain_api",
        ],
        is_idle: |config| config.tls.https.is_none(),
        because: "CASTWAY_NO_TLS is true",
    },
    Rule {
        fields: &["acme_email", "acme_directory", "acme_ca"],
        is_idle: |config| config.tls.https.is_some() && !matches!(config.tls.source, CertificateSource::Acme(_)),
        because: "only CASTWAY_DOMAIN gets certificates from an authority",
    },
    Rule {
        fields: &["stun_servers"],
        is_idle: |config| config.relay.external.addresses.iter().all(|address| address.public != Public::Auto),
        because: "only CASTWAY_EXTERNAL_IP=auto asks them",
    },
    Rule { fields: &["turn_http"], is_idle: |config| !config.relay.tcp, because: "CASTWAY_NO_TCP is true" },
    Rule {
        fields: &["clients_peer_ip", "clients_lifetime", "clients_allocations", "clients_capacity", "clients_bps"],
        is_idle: |config| config.relay.scope == Some(Scope::Anyone),
        because: "with CASTWAY_RELAY_SCOPE=anyone no allocation is of scope clients",
    },
    Rule {
        fields: &["min_port", "max_port", "allowed_peer_ip"],
        is_idle: |config| config.relay.scope == Some(Scope::Clients),
        because: "with CASTWAY_RELAY_SCOPE=clients no relayed address has a port of this machine",
    },
    Rule {
        fields: &["admin_under_path"],
        is_idle: |config| config.http.base_path.is_empty(),
        because: "CASTWAY_PUBLIC_URL has no path",
    },
    Rule {
        fields: &["authorize", "authorize_down"],
        is_idle: |config| config.hooks.authorize.is_none(),
        because: "CASTWAY_AUTHORIZE_URL is not set",
    },
    Rule {
        fields: &["webhook_secret", "webhook_secret_file", "hooks_private"],
        is_idle: |config| config.hooks.webhooks.is_empty() && config.hooks.authorize.is_none(),
        because: "neither CASTWAY_WEBHOOK_URL nor CASTWAY_AUTHORIZE_URL is set",
    },
];

impl Config {
    /// The fields that are set and change nothing, each with the reason.
    pub fn without_effect(&self) -> Vec<(String, &'static str)> {
        let set: Vec<_> = self.settings.expose().set_fields().map(|(field, _)| field).collect();
        let idle = RULES.iter().filter(|rule| (rule.is_idle)(self));
        let fields = idle.flat_map(|rule| rule.fields.iter().map(|field| ((*field).to_owned(), rule.because)));
        fields.filter(|(field, _)| set.contains(field)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn idle(variables: &[(&str, &str)]) -> Vec<String> {
        let settings = Settings::from_variables(variables.iter().copied());
        let config = Config::read(&settings).expect("it can be used");
        config.without_effect().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn a_setting_that_another_one_makes_useless_is_named() {
        for (variables, field) in [
            (&[("CASTWAY_NO_TLS", "true"), ("CASTWAY_HTTPS_ADDR", "[::]:443")][..], "https_addr"),
            (&[("CASTWAY_NO_TLS", "true"), ("CASTWAY_ACME_EMAIL", "a@example.org")], "acme_email"),
            (&[("CASTWAY_ACME_EMAIL", "a@example.org")], "acme_email"),
            (&[("CASTWAY_STUN_SERVERS", "stun.example.org"), ("CASTWAY_EXTERNAL_IP", "203.0.113.7")], "stun_servers"),
            (&[("CASTWAY_RELAY_SCOPE", "anyone"), ("CASTWAY_CLIENTS_BPS", "1000000")], "clients_bps"),
            (&[("CASTWAY_RELAY_SCOPE", "clients"), ("CASTWAY_MIN_PORT", "50000")], "min_port"),
            (&[("CASTWAY_ADMIN_UNDER_PATH", "true"), ("CASTWAY_PUBLIC_URL", "https://example.org")], "admin_under_path"),
            (&[("CASTWAY_AUTHORIZE_DOWN", "allow")], "authorize_down"),
            (&[("CASTWAY_HOOKS_PRIVATE", "true")], "hooks_private"),
        ] {
            assert_eq!(idle(variables), [field], "{variables:?}");
        }
    }

    #[test]
    fn a_setting_that_counts_is_not_named() {
        for variables in [
            &[][..],
            &[("CASTWAY_HTTPS_ADDR", "[::]:443"), ("CASTWAY_MIN_PORT", "50000"), ("CASTWAY_CLIENTS_BPS", "1000000")],
            &[("CASTWAY_DOMAIN", "a.example.org"), ("CASTWAY_ACME_EMAIL", "a@example.org")],
            &[("CASTWAY_STUN_SERVERS", "stun.example.org"), ("CASTWAY_EXTERNAL_IP", "auto")],
            &[("CASTWAY_ADMIN_UNDER_PATH", "true"), ("CASTWAY_PUBLIC_URL", "https://example.org/castway/")],
        ] {
            assert_eq!(idle(variables), [""; 0], "{variables:?}");
        }
    }

    #[test]
    fn every_rule_names_settings() {
        let fields = Settings::default().fields();
        let named = RULES.iter().flat_map(|rule| rule.fields);
        assert!(named.into_iter().all(|field| fields.contains_key(*field)));
    }
}
