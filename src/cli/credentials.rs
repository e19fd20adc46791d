//! `castway credentials`.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use clap::Args;

use super::database::with_store;
use super::error::CliError;
use super::installation::Installation;
use super::output::{print_json, print_warning};
use super::running_server;
use super::scope::scope_parser;
use super::shared_settings::SharedSetting;
use crate::addresses::external::ExternalAddresses;
use crate::addresses::ice_servers::{AdvertisedPort, IceServers};
use crate::addresses::interfaces;
use crate::api::turn_credentials::TurnReply;
use crate::config::{CertificateSource, Config, TurnAccess};
use crate::tls::Certificates;
use crate::turn::Scope;
use crate::users::{Directory, Store, check_requested, scope_name};
use crate::whole_number;

const HELP_NOTE: &str = "\
The credentials are valid for CASTWAY_TTL seconds; --ttl SECONDS asks for a shorter lifetime. Their URLs name \
CASTWAY_EXTERNAL_IP, or the host of CASTWAY_PUBLIC_URL or CASTWAY_DOMAIN, or else this machine's address.

Secrets, TTL, ports and addresses are those that the server was last started with. A turns: URL is included with a CASTWAY_CERT \
that clients trust, and with CASTWAY_DOMAIN once Castway has obtained its certificate.";

#[derive(Debug, Args)]
#[command(after_help = HELP_NOTE)]
pub(super) struct Arguments {
    /// The user's name; unless CASTWAY_TURN_ACCESS is users, any name
    user: String,
    /// Which peers the credentials reach: clients (relayed addresses of this server) or anyone [default: the user's scope, or anyone]
    #[arg(long, value_name = "SCOPE", value_parser = scope_parser())]
    scope: Option<Scope>,
}

/// `requested_ttl` is the `--ttl` of the command line, in seconds.
pub(super) async fn run(
    arguments: &Arguments,
    requested_ttl: Option<String>,
    installation: &Installation,
) -> Result<(), CliError> {
    let user = arguments.user.as_str();
    check_requested(user).map_err(|error| CliError::Usage(error.to_string()))?;
    let ttl = requested_ttl.map(|text| read_ttl(&text)).transpose()?;
    let opened = with_store(installation, &[SharedSetting::Secrets], async |store: &Store, config: &Config| {
        let signing = match config.credentials.static_auth_secrets.first() {
            Some(secret) => Some(secret.clone()),
            None => store.secrets().await?.into_iter().next().map(|secret| secret.value),
        };
        Ok((Directory::open(store, &config.credentials).await?, config.clone(), signing))
    });
    let (directory, config, signing) = opened.await?;
    if let Some(ttl) = ttl.filter(|ttl| *ttl > config.credentials.ttl) {
        let (requested, longest) = (ttl.as_secs(), config.credentials.ttl.as_secs());
        print_warning(&format!(
            "--ttl {requested} is above CASTWAY_TTL={longest}; the credentials are good for {longest} seconds"
        ));
    }
    let scope = check_access(&directory, config.credentials.access, user, arguments.scope)?;
    let issued = directory.issue(user, scope, ttl, SystemTime::now());
    if let Some(secret) = signing {
        running_server::warn_of_another_secret(&config.data_dir, user, scope, &secret);
    }
    let relay = &config.relay;
    let ports = [Some(relay.addr.port()), relay.alternate_port];
    let advertised = AdvertisedPort::at(ports.into_iter().flatten(), relay.udp, relay.tcp);
    let external = ExternalAddresses::new(&relay.external, interfaces::relay_ips_at_start(relay), None);
    external.look_up_at_start().await;
    let https_port =
        config.tls.https.as_ref().and_then(|listen| listen.addrs.first()).map(SocketAddr::port).filter(|port| *port > 0);
    let public_url = config.http.public_url.clone().or_else(|| config.tls.source.origin(https_port?));
    let mut ice = IceServers::new(public_url.as_ref(), advertised, relay.addr.ip(), external);
    if let Some((certificates, port)) = certificates(&config).zip(https_port) {
        ice = ice.with_tls(certificates, port);
    }
    print_json(&TurnReply::new(&issued, ice.uris(None)))
}

fn certificates(config: &Config) -> Option<Certificates> {
    let kept = Certificates::in_files(&config.tls.source, &config.data_dir).unwrap_or_else(|error| {
        print_warning(&format!("without turns:, since the certificate can't be used: {error:#}"));
        None
    });
    // A setting that says so needs no warning.
    let found_out = matches!(config.tls.source, CertificateSource::Files { trusted: None, .. });
    if found_out && kept.as_ref().is_some_and(|kept| !kept.current().is_trusted()) {
        print_warning(
            "without turns:, since clients don't trust the certificate; if they know its authority, set \
             CASTWAY_CERT_TRUSTED=true",
        );
    }
    kept
}

fn read_ttl(text: &str) -> Result<Duration, CliError> {
    let seconds = whole_number::read(text).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let expected = whole_number::expected_from(1, "of seconds");
    seconds.ok_or_else(|| CliError::Usage(format!("--ttl {text:?}: expected {expected}")))
}

/// The scope of the credentials, unless the relay would refuse them.
fn check_access(directory: &Directory, access: TurnAccess, user: &str, asked: Option<Scope>) -> anyhow::Result<Scope> {
    if directory.is_operator(user) {
        return Err(anyhow!("{user:?} is an operator, who has no credentials for the relay"));
    }
    if directory.is_banned(user) {
        return Err(anyhow!("{user:?} is blocked; unblock it with: castway unblock user:{user}"));
    }
    if directory.is_disabled(user) {
        return Err(anyhow!("the user {user:?} is disabled; enable it with: castway user enable {user}"));
    }
    let needs_user = access == TurnAccess::Users && !directory.is_allowed(user);
    let Some(scope) = directory.trusted_scope(user).filter(|_| !needs_user) else {
        return Err(anyhow!("there is no user {user:?}; add it with: castway user add {user}"));
    };
    let scope = asked.unwrap_or(scope);
    if directory.is_refused(scope, user) {
        let name = scope_name(scope);
        return Err(anyhow!("the user {user:?} is not of scope {name}; change that with: castway user scope {user} {name}"));
    }
    Ok(scope)
}
