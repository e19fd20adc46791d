//! Lists of sessions in parts that fit an answer, whatever strangers have written into their rows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Operator;
use super::rows::{MAX_PAGE_ROWS, Page, PageRequest};

/// A list of what goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionList {
    Casts,
    Calls,
    Rooms,
    Allocations,
}

impl Operator {
    /// The part of a list that is asked for. It may have fewer rows than `limit`, so that they fit in `max_bytes`; the next part begins at
    /// `offset` and the number of its rows.
    pub async fn sessions(&self, list: SessionList, request: &PageRequest, max_bytes: usize) -> Page<Value> {
        let request = request.clone();
        match list {
            SessionList::Casts => in_parts(self.casts(), request, max_bytes).await,
            SessionList::Calls => in_parts(self.calls(), request, max_bytes).await,
            SessionList::Rooms => in_parts(self.rooms(), request, max_bytes).await,
            SessionList::Allocations => fitting(self.allocations(&request).await, max_bytes),
        }
    }
}

/// Thousands of rows take long enough that other tasks of this thread would wait.
async fn in_parts<T: Serialize + Send + 'static>(rows: Vec<T>, request: PageRequest, max_bytes: usize) -> Page<Value> {
    tokio::task::spawn_blocking(move || fitting(page(rows, &request), max_bytes)).await.unwrap_or_default()
}

/// The rows that contain the text of the request, in the part that it asks for.
fn page<T: Serialize>(mut rows: Vec<T>, request: &PageRequest) -> Page<T> {
    let search = request.search.trim().to_lowercase();
    rows.retain(|row| search.is_empty() || serde_json::to_value(row).is_ok_and(|row| contains(&row, &search)));
    let total = rows.len();
    let limit = if request.limit == 0 { MAX_PAGE_ROWS } else { request.limit.min(MAX_PAGE_ROWS) };
    Page { rows: rows.into_iter().skip(request.offset).take(limit).collect(), total }
}

/// Whether a text of the row, its id and addresses among them, contains `search`, which is in lower case.
fn contains(value: &Value, search: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(search),
        Value::Array(values) => values.iter().any(|value| contains(value, search)),
        Value::Object(fields) => fields.values().any(|value| contains(value, search)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The first rows of a part, as many as fit in `max_bytes` of JSON, but at least one: a list that shows none of its rows would have no next
/// part.
pub fn fitting<T: Serialize>(page: Page<T>, max_bytes: usize) -> Page<Value> {
    let mut bytes = 0;
    let fits = |(at, row): &(usize, Value)| {
        bytes += row.to_string().len() + 1;
        *at == 0 || bytes <= max_bytes
    };
    let rows = page.rows.iter().filter_map(|row| serde_json::to_value(row).ok()).enumerate().take_while(fits);
    Page { rows: rows.map(|(_, row)| row).collect(), total: page.total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::rows::{CastRow, PartyRow};

    const MAX_BYTES: usize = 256 * 1024;

    fn rows(count: usize, agent: &str) -> Vec<CastRow> {
        let tv = PartyRow { agent: Some(agent.to_owned()), ..PartyRow::default() };
        (0..count).map(|number| CastRow { id: format!("cast-{number}"), tv: tv.clone(), ..CastRow::default() }).collect()
    }

    #[test]
    fn pages_of_the_longest_rows_fit_an_answer_and_together_have_every_row() {
        // Each of these characters takes six bytes in JSON.
        let rows = rows(1500, &"\u{1}".repeat(4000));
        let mut request = PageRequest { limit: MAX_PAGE_ROWS, ..PageRequest::default() };
        let mut seen = Vec::new();
        while seen.len() < rows.len() {
            let part = fitting(page(rows.clone(), &request), MAX_BYTES);
            assert!(serde_json::to_string(&part).unwrap().len() < MAX_BYTES + 100);
            assert_eq!(part.total, rows.len());
            assert!((1..MAX_PAGE_ROWS).contains(&part.rows.len()));
            seen.extend(part.rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            request.offset = seen.len();
        }
        assert!(seen.iter().zip(&rows).all(|(id, row)| *id == row.id));
    }

    #[test]
    fn a_row_that_is_longer_than_an_answer_is_shown_nevertheless() {
        let part = fitting(Page { rows: rows(3, &"x".repeat(MAX_BYTES)), total: 3 }, MAX_BYTES);
        assert_eq!((part.rows.len(), part.total), (1, 3));
    }

    #[test]
    fn a_search_looks_at_values_and_not_at_names_of_fields() {
        let rows = rows(12, "Tizen");
        let total = |search: &str| page(rows.clone(), &PageRequest { search: search.to_owned(), ..PageRequest::default() }).total;
        assert_eq!((total(" TIZEN"), total("cast-11"), total("agent"), total("")), (12, 1, 0, 12));
    }
}
