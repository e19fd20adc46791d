//! What is taken over from a database: the rows of one realm.

use std::collections::{BTreeMap, BTreeSet};

use super::credential::CoturnUser;
use super::database::Rows;
use super::facts::Facts;
use super::names::shown_name;
use super::outcome::Outcome;
use super::setting_values::{of_realm_option, peers};
use super::translate::Translation;
use crate::cli::escape::printable_part;
use crate::config::NOT_SHOWN;

/// Users of other realms whose names are shown.
const MAX_SHOWN: usize = 20;

/// The realms of the rows, without those that have the default one.
pub(super) fn realms(rows: &Rows) -> BTreeSet<&str> {
    let users = rows.users.iter().map(|user| user.realm.as_str());
    let secrets = rows.secrets.iter().map(|(realm, _)| realm.as_str());
    let options = rows.realm_options.iter().map(|option| option.realm.as_str());
    users.chain(secrets).chain(options).filter(|realm| !realm.is_empty()).collect()
}

/// Adds the rows of `realm` to a translation. Each line says what becomes of a row.
pub(super) fn take(
    rows: Rows,
    realm: &str,
    facts: &Facts,
    has_config: bool,
    translation: &mut Translation,
) -> Vec<(String, Outcome)> {
    let is_ours = |other: &str| other.is_empty() || other == realm;
    let mut lines = Vec::new();
    let with_secrets = facts.has_secrets_alone();
    for (other, secret) in rows.secrets.iter().filter(|(other, _)| is_ours(other)) {
        let source = format!("secret of realm {other:?}");
        lines.push((
            source,
            match (has_config && !with_secrets, secret.expose().contains(',')) {
                (true, _) => {
                    Outcome::Nothing("turnserver uses it with use-auth-secret alone, which the options don't have.".to_owned())
                }
                (false, true) => Outcome::ByHand(
                    "CASTWAY_STATIC_AUTH_SECRET_FILE",
                    "It has a comma, which separates secrets: write all secrets into a file, one a line.".to_owned(),
                ),
                (false, false) => Outcome::set("CASTWAY_STATIC_AUTH_SECRET", secret.expose().as_str()),
            },
        ));
    }
    for peer in rows.peers.iter().filter(|peer| is_ours(&peer.realm)) {
        let (kind, variable) = match peer.is_allowed {
            true => ("allowed", "CASTWAY_ALLOWED_PEER_IP"),
            false => ("denied", "CASTWAY_DENIED_PEER_IP"),
        };
        let outcome = peers(&peer.range, variable).unwrap_or_else(|expected| Outcome::Unusable(expected.into_owned()));
        lines.push((format!("{kind} peer {}", peer.range), outcome));
    }
    for option in rows.realm_options.iter().filter(|option| is_ours(&option.realm)) {
        let assignment = of_realm_option(&option.name, &option.value);
        // Of a row that is none of coturn's, nobody knows what it holds.
        let name = if assignment.is_some() { &*option.name } else { shown_name(&option.name, true).unwrap_or(NOT_SHOWN) };
        let value = if assignment.is_some() { &*option.value } else { NOT_SHOWN };
        let outcome = match assignment {
            Some(assignment) => Outcome::Set(vec![assignment], None),
            None => Outcome::Nothing("Nothing here serves the same purpose.".to_owned()),
        };
        lines.push((format!("{name}={value} of realm {:?}", option.realm), outcome));
    }
    translation.add(&mut lines);
    lines.extend(without_counterpart(&rows, realm));
    take_users(rows.users, realm, has_config && with_secrets, translation, &mut lines);
    lines
}

fn take_users(
    users: Vec<CoturnUser>,
    realm: &str,
    are_ignored: bool,
    translation: &mut Translation,
    lines: &mut Vec<(String, Outcome)>,
) {
    let (ours, others): (Vec<_>, Vec<_>) = users.into_iter().partition(|user| user.realm.is_empty() || user.realm == realm);
    if are_ignored && !ours.is_empty() {
        let why = "turnserver ignores users beside a secret, so they are not taken over. Without --config they are.";
        lines.push((names(&ours), Outcome::Nothing(why.to_owned())));
    } else if !ours.is_empty() {
        lines.push((names(&ours), Outcome::Users(format!("with the keys of realm {realm:?}"))));
        // Users of the configuration file hide those of the database.
        translation.users.splice(0..0, ours);
    }
    let mut by_realm: BTreeMap<String, Vec<CoturnUser>> = BTreeMap::new();
    for user in others {
        by_realm.entry(user.realm.clone()).or_default().push(user);
    }
    for (other, users) in by_realm {
        let why = format!(
            "Their keys hold in the realm {other:?} alone, and this server has the realm {realm:?}. Choose the other one with --realm \
             and without --config, run a second server for it, or give them passwords with `castway user add`."
        );
        lines.push((names(&users), Outcome::Nothing(why)));
    }
}

fn without_counterpart(rows: &Rows, realm: &str) -> Vec<(String, Outcome)> {
    let mut lines = Vec::new();
    let mut push = |source: String, why: &str| lines.push((source, Outcome::Nothing(why.to_owned())));
    if !rows.unusable.is_empty() {
        push(shown("user", rows.unusable.iter().map(String::as_str)), "The key is not one of 32 or 64 hexadecimal digits.");
    }
    if !rows.admins.is_empty() {
        let why = "Their passwords can't be taken over: add operators with `castway user add --operator NAME`.";
        push(shown("administrator", rows.admins.iter().map(String::as_str)), why);
    }
    let others = rows.secrets.iter().filter(|(other, _)| !other.is_empty() && other != realm).count();
    if others > 0 {
        push(format!("{others} secrets of other realms"), "The server has one realm.");
    }
    if rows.oauth_keys > 0 {
        push(format!("{} keys for OAuth", rows.oauth_keys), "Third-party authorization (RFC 7635) is not supported.");
    }
    if rows.origins > 0 {
        push(format!("{} origins", rows.origins), "The server has one realm, whatever a client sends as ORIGIN.");
    }
    lines
}

fn names(users: &[CoturnUser]) -> String {
    shown("user", users.iter().map(|user| user.name.as_str()))
}

/// A few names, and how many more there are.
pub(super) fn shown<'a>(kind: &str, names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let some: Vec<&str> = names.take(MAX_SHOWN).collect();
    let plural = if count == 1 { "" } else { "s" };
    let more = if count > some.len() { format!(" and {} more", count - some.len()) } else { String::new() };
    printable_part(&format!("{count} {kind}{plural} ({}{more})", some.join(", ")))
}
