//! The tables of sessions. A row of another version of the server may lack a field, which is then empty.

use std::time::SystemTime;

use serde_json::Value;

use super::list::{Kind, List};
use crate::cli::escape::printable_part;
use crate::cli::figures;
use crate::cli::output::bold;
use crate::cli::table::{Column, fitted_table, shortened};
use crate::operator::rows::{AllocationRow, CallRow, CastRow, MediaRow, PartyRow, RoomRow};
use crate::users::credentials::unix_seconds;

/// What is shown of a client's name.
const NAME_COLUMNS: usize = 12;

/// The heading of a list and its table, in lines of at most `width` columns.
pub(super) fn shown(list: &List, width: usize, colored: bool) -> String {
    let now = unix_seconds(SystemTime::now());
    let (title, nothing) = match list.kind {
        Kind::Casts => ("Casts", "No TV has a code now."),
        Kind::Calls => ("Calls", "Nobody is in a call of AppRTC now."),
        Kind::Rooms => ("Rooms", "RTCMultiConnection has no rooms now."),
        Kind::Allocations => ("Allocations", "The relay has no allocations now."),
    };
    if list.rows.is_empty() {
        return format!("{}\n{nothing}", bold(title, colored));
    }
    let table = match list.kind {
        Kind::Casts => casts(&read(&list.rows), now, width),
        Kind::Calls => calls(&read(&list.rows), now, width),
        Kind::Rooms => rooms(&read(&list.rows), now, width),
        Kind::Allocations => allocations(&read(&list.rows), width),
    };
    let title = bold(&format!("{title} ({})", list.total), colored);
    let more = list.total.saturating_sub(list.rows.len());
    let rest = if more > 0 { format!("\n… and {more} more: castway sessions {}", list.kind.name()) } else { String::new() };
    format!("{title}\n{table}{rest}")
}

fn read<T: serde::de::DeserializeOwned>(rows: &[Value]) -> Vec<T> {
    rows.iter().filter_map(|row| T::deserialize(row).ok()).collect()
}

fn casts(rows: &[CastRow], now: u64, width: usize) -> String {
    let columns = [
        Column::whole("ID"),
        Column::whole("CODE"),
        Column::whole("SINCE"),
        Column::text("TV", 12),
        Column::text("CASTER", 12),
        Column::whole("PATH"),
        Column::whole("KBIT/S"),
    ];
    let row = |row: &CastRow| {
        let (path, rate) = media(&row.media);
        let caster = row.caster.as_ref().map_or_else(|| "-".to_owned(), party);
        [row.id.clone(), row.code.clone(), age(row.since, now), party(&row.tv), caster, path, rate]
    };
    fitted_table(columns, &rows.iter().map(row).collect::<Vec<_>>(), width)
}

fn calls(rows: &[CallRow], now: u64, width: usize) -> String {
    let columns = [
        Column::whole("ID"),
        Column::text("ROOM", 8),
        Column::whole("SINCE"),
        Column::text("MEMBERS", 16),
        Column::whole("PATH"),
        Column::whole("KBIT/S"),
    ];
    let row = |row: &CallRow| {
        let (path, rate) = media(&row.media);
        [row.id.clone(), row.room.clone(), age(row.since, now), parties(&row.members), path, rate]
    };
    fitted_table(columns, &rows.iter().map(row).collect::<Vec<_>>(), width)
}

fn rooms(rows: &[RoomRow], now: u64, width: usize) -> String {
    let columns = [
        Column::whole("ID"),
        Column::text("ROOM", 8),
        Column::whole("SINCE"),
        Column::whole("COUNT"),
        Column::text("MEMBERS", 16),
    ];
    let row = |row: &RoomRow| {
        [row.id.clone(), row.room.clone(), age(row.since, now), row.member_count.to_string(), parties(&row.members)]
    };
    fitted_table(columns, &rows.iter().map(row).collect::<Vec<_>>(), width)
}

fn allocations(rows: &[AllocationRow], width: usize) -> String {
    let columns = [
        Column::whole("ID"),
        Column::text("USER", 8),
        Column::text("CLIENT", 12),
        Column::whole("VIA"),
        Column::text("RELAYED", 12),
        Column::whole("PEERS"),
        Column::whole("BYTES"),
        Column::whole("EXPIRES"),
    ];
    let row = |row: &AllocationRow| {
        let relayed: Vec<_> = row.relayed.iter().map(ToString::to_string).collect();
        [
            row.id.clone(),
            row.user.clone(),
            row.client.to_string(),
            row.transport.clone(),
            relayed.join(" "),
            row.peer_count.to_string(),
            figures::bytes(row.sent.saturating_add(row.received)),
            figures::time(row.expires_in),
        ]
    };
    fitted_table(columns, &rows.iter().map(row).collect::<Vec<_>>(), width)
}

fn age(since: u64, now: u64) -> String {
    figures::time(now.saturating_sub(since))
}

/// The path, and the rate in kbit/s.
fn media(media: &MediaRow) -> (String, String) {
    let rate = media.kbps.map(|rate| format!("{rate:.0}"));
    (media.path.clone().unwrap_or_default(), rate.unwrap_or_default())
}

/// The name first, since the address of an IPv6 client fills a column alone. What a client called itself is in quotes and cut, so that it
/// neither passes for an address nor hides one.
fn party(party: &PartyRow) -> String {
    let address = party.address.map_or_else(|| "away".to_owned(), |address| address.to_string());
    let given = party.name.as_ref().or(party.agent.as_ref()).map(|name| format!("\"{}\"", cut(name)));
    match party.user.as_ref().map(|user| cut(user)).or(given) {
        Some(name) => format!("{name} {address}"),
        None => address,
    }
}

fn cut(name: &str) -> String {
    shortened(&printable_part(name), NAME_COLUMNS)
}

fn parties(members: &[PartyRow]) -> String {
    members.iter().map(party).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn rows_of_hostile_texts_fit_eighty_columns_and_steer_nothing() {
        let hostile = "\u{1b}]0;x\u{7}\u{202e}evil\n\r\u{200b}客厅的电视机客厅的电视机客厅的电视机";
        let party = json!({ "address": "2001:db8:1111:2222:3333:4444:5555:6666", "name": hostile, "agent": hostile });
        let media = json!({ "path": "relay/udp", "kbps": 123_456.7 });
        let allocation = json!({
            "id": "alloc-1234567", "user": hostile, "scope": "clients", "client": "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            "transport": "tls", "relayed": ["203.0.113.7:49152", "[2001:db8::1]:49153"], "peers": [], "peerCount": 1234, "since": 0,
            "sent": 312_000_000, "received": 1, "expiresIn": 600,
        });
        for (kind, row) in [
            (
                Kind::Casts,
                json!({ "id": "cast-12345", "code": "E3•••Z", "since": 0, "tv": party, "caster": party, "media": media }),
            ),
            (Kind::Calls, json!({ "id": "call-1", "room": hostile, "since": 0, "members": [party, party], "media": media })),
            (Kind::Rooms, json!({ "id": "room-1", "room": hostile, "since": 0, "members": [party], "memberCount": 1 })),
            (Kind::Allocations, allocation),
        ] {
            let shown = shown(&List { kind, rows: vec![row.clone(), row], total: 2 }, 80, false);
            assert_eq!(shown.lines().count(), 4, "{shown:?}");
            assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r', '\u{200b}']), "{shown:?}");
            assert!(shown.contains("\\u{1b}") || kind != Kind::Allocations, "{shown}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let list = List { kind: Kind::Casts, rows: vec![json!({ "id": "cast-1" })], total: 41 };
        assert!(shown(&list, 80, false).ends_with("… and 40 more: castway sessions casts"));
    }
}
