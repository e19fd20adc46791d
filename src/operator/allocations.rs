//! Allocations of the relay: the list, searched, sorted and in pages.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::handle::Operator;
use super::ids;
use super::rows::{AllocationRow, MAX_PAGE_ROWS, Page, PageRequest};
use crate::relay::AllocationList;
use crate::turn::ListedAllocation;
use crate::users::credentials::unix_seconds;
use crate::users::scope_name;

impl Operator {
    /// Allocations of the relay, those with the most bytes first.
    pub async fn allocations(&self, request: &PageRequest) -> Page<AllocationRow> {
        let (list, request) = (self.0.allocations.list().await, request.clone());
        // Ten thousand rows take long enough that other tasks of this thread would wait.
        tokio::task::spawn_blocking(move || page(&list, &request)).await.unwrap_or_default()
    }
}

fn page(list: &Arc<AllocationList>, request: &PageRequest) -> Page<AllocationRow> {
    let mut text = String::new();
    let search = request.search.trim().to_lowercase();
    let all = list.allocations.iter().map(|(_, allocation)| allocation);
    let mut found: Vec<_> = all.filter(|allocation| contains(allocation, &search, &mut text)).collect();
    found.sort_unstable_by_key(|allocation| (std::cmp::Reverse(bytes(allocation)), allocation.number));
    let limit = if request.limit == 0 { MAX_PAGE_ROWS } else { request.limit.min(MAX_PAGE_ROWS) };
    let (now, wall) = (Instant::now(), SystemTime::now());
    let rows = found.iter().skip(request.offset).take(limit).map(|allocation| row(allocation, now, wall)).collect();
    Page { rows, total: found.len() }
}

/// Whether the user, an address or the id contains `search`, which is in lower case. `text` is memory for the comparison.
fn contains(allocation: &ListedAllocation, search: &str, text: &mut String) -> bool {
    if search.is_empty() {
        return true;
    }
    text.clear();
    text.extend(allocation.user().chars().flat_map(char::to_lowercase));
    // Texts of a row are separated, so that nothing is found that begins in one and ends in another.
    let _ = write!(text, "\n{}{}\n{}", ids::ALLOCATION, allocation.number, allocation.client);
    allocation.relayed.iter().flatten().for_each(|address| _ = write!(text, "\n{address}"));
    allocation.peers.iter().flatten().for_each(|peer| _ = write!(text, "\n{peer}"));
    text.contains(search)
}

const fn bytes(allocation: &ListedAllocation) -> u64 {
    allocation.sent.saturating_add(allocation.received)
}

fn row(allocation: &ListedAllocation, now: Instant, wall: SystemTime) -> AllocationRow {
    let age = now.saturating_duration_since(allocation.since);
    let left = allocation.expires.saturating_duration_since(now);
    AllocationRow {
        id: format!("{}{}", ids::ALLOCATION, allocation.number),
        user: allocation.user().to_owned(),
        scope: scope_name(allocation.scope()).to_owned(),
        client: allocation.client,
        transport: allocation.transport.label().to_owned(),
        relayed: allocation.relayed.iter().flatten().copied().collect(),
        peers: allocation.peers.iter().flatten().copied().collect(),
        peer_count: allocation.peer_count,
        since: wall.checked_sub(age).map_or(0, unix_seconds),
        sent: allocation.sent,
        received: allocation.received,
        expires_in: left.as_secs(),
    }
}
