//! `castway sessions`: what runs now, as tables or JSON.

mod list;
mod tables;

use std::collections::HashSet;

use clap::Args;
use serde_json::{Map, Value, json};

use self::list::{Kind, List};
use super::asking::AskedServer;
use super::error::CliError;
use super::installation::Installation;
use super::output::{Json, is_colored, print_json, print_styled, terminal_width};

const HELP_NOTE: &str = "\
The first column has the id that `castway end` takes. Without a kind, the list of allocations has only those with the most bytes. \
Characters of clients that steer a terminal or show nothing are printed as their numbers.";

/// Allocations that are shown where no kind was asked for.
const SHORT_LIST: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = HELP_NOTE)]
pub(super) struct Arguments {
    /// What to list [default: all kinds]
    kind: Option<Kind>,
    /// Only rows that contain this text in a name, an address or the id
    #[arg(long, value_name = "TEXT", default_value = "")]
    search: String,
    #[command(flatten)]
    json: Json,
}

pub(super) fn run(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let mut server = AskedServer::find(installation)?;
    let kinds: &[Kind] = arguments.kind.as_ref().map_or(&Kind::ALL, std::slice::from_ref);
    let is_short = arguments.kind.is_none() && !arguments.json.json;
    let mut lists = Vec::new();
    for kind in kinds {
        let most = if is_short && *kind == Kind::Allocations { SHORT_LIST } else { usize::MAX };
        lists.push(rows(&mut server, *kind, &arguments.search, most)?);
    }
    if arguments.json.json {
        let lists: Map<_, _> = lists.into_iter().map(|list| (list.kind.name().to_owned(), list.rows.into())).collect();
        return print_json(&lists);
    }
    let (width, colored) = (terminal_width(), is_colored());
    let shown: Vec<_> = lists.iter().map(|list| tables::shown(list, width, colored)).collect();
    print_styled(shown.join("\n\n"))
}

/// The rows of all pages, until there are `most`.
fn rows(server: &mut AskedServer, kind: Kind, search: &str, most: usize) -> Result<List, CliError> {
    let mut list = List { kind, rows: Vec::new(), total: 0 };
    // The lists change between two pages, so that a row may come twice.
    let mut seen = HashSet::new();
    let mut offset = 0;
    loop {
        let limit = most.saturating_sub(offset).min(crate::operator::rows::MAX_PAGE_ROWS);
        let question = json!({ "ask": "sessions", "kind": kind.name(), "search": search, "offset": offset, "limit": limit });
        let mut answer = server.ask(question)?;
        list.total = answer["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
        let Value::Array(page) = answer["rows"].take() else { break };
        offset += page.len();
        let is_last = page.is_empty() || offset >= list.total.min(most);
        list.rows.extend(page.into_iter().filter(|row| seen.insert(row["id"].as_str().unwrap_or_default().to_owned())));
        if is_last {
            break;
        }
    }
    Ok(list)
}
