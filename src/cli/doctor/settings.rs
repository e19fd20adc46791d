//! Which settings count, and whether the server runs.

use std::path::Path;
use std::time::SystemTime;

use super::inputs::Inputs;
use super::line::{Line, Topic};
use crate::cli::data_folder::{DataFolder, NoAnswer, Record};
use crate::cli::installation::Installation;
use crate::config::secret::Secret;
use crate::config::{CertificateSource, Config, Settings, variable_of};
use crate::control::facts::{CertificateFacts, ServerFacts};
use crate::tls::{CertificateKind, PublicCertificate, acme_certificate_file};
use crate::users::credentials::unix_seconds;

/// Where the service's unit may be.
const UNITS: [&str; 3] =
    ["/etc/systemd/system/castway.service", "/usr/lib/systemd/system/castway.service", "/lib/systemd/system/castway.service"];

/// Reads the settings, and asks the server.
pub(super) fn look(installation: &Installation, folder: Result<&mut DataFolder, &mut anyhow::Error>) -> (Inputs, Vec<Line>) {
    let (facts, unanswered, record, mut lines) = match folder {
        Ok(folder) => ask(folder),
        Err(error) => (None, false, None, vec![Line::failed(Topic::Settings, format!("{error:#}"))]),
    };
    lines.extend(malformed(installation));
    let config = match config(installation, record.as_ref(), facts.as_ref()) {
        Ok(config) => Some(config),
        Err(problems) => {
            lines.push(Line::failed(Topic::Settings, problems));
            None
        }
    };
    let from = installation.sources_in_words(record.is_some()).unwrap_or_else(|| "defaults".to_owned());
    let data = installation.data_dir().display();
    if let Some(facts) = &facts {
        let text = format!("{from}; data folder {data}; server {} runs (process {})", facts.version, facts.pid);
        lines.insert(0, Line::ok(Topic::Settings, text));
        lines.extend(edited(installation, facts));
        lines.extend(other_version(facts));
    }
    (Inputs { config, facts, unanswered, now: unix_seconds(SystemTime::now()), ..Inputs::default() }, lines)
}

/// What can't be read in the files of settings. A server does not start with such a `.env`, and the service starts without such lines.
fn malformed(installation: &Installation) -> impl Iterator<Item = Line> {
    let of_env = installation.malformed().iter().map(|line| Line::failed(Topic::Settings, &*line.sentence));
    let of_service = installation.malformed_of_service().iter().map(|line| Line::warning(Topic::Settings, &*line.sentence));
    of_env.chain(of_service)
}

/// Also tells whether a server runs and gives no answer.
fn ask(folder: &mut DataFolder) -> (Option<ServerFacts>, bool, Option<Secret<String>>, Vec<Line>) {
    let (mut lines, mut unanswered) = (Vec::new(), false);
    let facts = match folder.facts() {
        Ok(facts) => Some(facts),
        Err(NoAnswer::NotRunning) => {
            let text = format!(
                "no server runs with the data folder {}: start it, or name the folder of the one that runs with --data-dir DIR",
                folder.path().display()
            );
            lines.push(of_unit(Line::failed(Topic::Settings, text), "start"));
            None
        }
        Err(NoAnswer::Because(why)) => {
            unanswered = true;
            lines.push(Line::unknown(Topic::Settings, format!("the server can't be asked: {why}")));
            None
        }
    };
    let record = match folder.record() {
        Ok(Record::Settings(record)) => Some(record),
        Ok(Record::None) => None,
        Err(error) => {
            lines.push(Line::failed(Topic::Settings, format!("the database can't be read: {error:#}")));
            None
        }
    };
    (facts, unanswered, record, lines)
}

/// The settings of the server's last start, if it has one, or else those that were found.
fn config(installation: &Installation, record: Option<&Secret<String>>, facts: Option<&ServerFacts>) -> Result<Config, String> {
    let mut settings = match record {
        Some(record) => Settings::from_server_record(record)
            .map_err(|error| format!("what the server recorded of its settings can't be read ({error}): restart it"))?,
        None => installation.settings(),
    };
    if record.is_some() && facts.is_none() {
        // The next start goes by what the files say now.
        settings = installation.settings().or(&settings);
    }
    // A file that the record names is for the server's owner to read, and doctor may be root.
    if record.is_some() {
        (settings.static_auth_secret_file, settings.api_keys_file) = (None, None);
        // Without their secret, which doctor may not read either, the URLs would be a problem.
        (settings.webhook_url, settings.authorize_url, settings.webhook_secret_file) = (None, None, None);
    }
    let mut config = Config::read(&settings).map_err(|problems| problems.to_string())?;
    config.data_dir = installation.data_dir().to_owned();
    Ok(config)
}

/// The certificate of `CASTWAY_CERT` or the kept one of the authority, as the owner of the data folder reads it; a running server says
/// more about its own.
pub(super) fn certificate(inputs: &Inputs, folder: &mut DataFolder) -> Option<Result<CertificateFacts, String>> {
    let config = inputs.config.as_ref().filter(|_| inputs.facts.is_none())?;
    let (file, kind, trusted) = match &config.tls.source {
        CertificateSource::SelfSigned => return None,
        CertificateSource::Files { cert, trusted, .. } => (cert.clone(), CertificateKind::Files, *trusted),
        // Whoever has chosen a directory trusts its authority.
        CertificateSource::Acme(acme) => (acme_certificate_file(acme), CertificateKind::Acme, Some(true)),
    };
    let text = match folder.read(&file) {
        Ok(None) if kind == CertificateKind::Acme => return None,
        Ok(None) => return Some(Err(format!("there is no file {}", file.display()))),
        Ok(Some(text)) => Ok(text),
        Err(error) => Err(error),
    };
    let facts = text.and_then(|text| PublicCertificate::from_pem(text.as_bytes(), SystemTime::now())).map(|read| {
        let trusted = trusted.unwrap_or(read.untrusted_because.is_none());
        CertificateFacts {
            kind: if trusted { kind } else { CertificateKind::UntrustedFiles }.name().to_owned(),
            names: read.names,
            issuer: read.issuer,
            not_before: unix_seconds(read.not_before),
            not_after: unix_seconds(read.not_after),
            trusted,
            problem: None,
        }
    });
    Some(facts.map_err(|error| format!("{error:#}")))
}

/// Settings of the service that were edited after its start.
fn edited(installation: &Installation, facts: &ServerFacts) -> Option<Line> {
    let (file, now) = installation.service()?;
    let now = now.set_fields().filter(|(field, _)| !Settings::is_hidden(field) && field != "data_dir");
    let now = now.map(|(field, value)| (variable_of(&field), value));
    let changed = now.filter(|(name, value)| facts.settings.get(name).map(|running| running.trim()) != Some(value.trim()));
    let changed: Vec<_> = changed.map(|(name, _)| name).collect();
    (!changed.is_empty()).then(|| {
        let text =
            format!("{} was edited after the start of the server, which runs without: {}", file.display(), changed.join(", "));
        of_unit(Line::warning(Topic::Settings, text), "restart")
    })
}

fn other_version(facts: &ServerFacts) -> Option<Line> {
    let own = env!("CARGO_PKG_VERSION");
    (facts.version != own).then(|| {
        let text = format!("this program is {own} and the server that runs is {}: restart the server", facts.version);
        of_unit(Line::warning(Topic::Settings, text), "restart")
    })
}

/// With the command that has systemd do it, where systemd knows the service.
fn of_unit(line: Line, verb: &str) -> Line {
    let has_unit = UNITS.iter().any(|unit| Path::new(unit).exists());
    if has_unit { line.with_command(format!("sudo systemctl {verb} castway")) } else { line }
}
