//! `sessions`: the lists of casts, calls, rooms and allocations, in pages that fit an answer.

use serde::Serialize;
use serde_json::{Value, json};

use crate::control::{Answer, Ask};
use crate::operator::Operator;
use crate::operator::rows::{MAX_PAGE_ROWS, Page, PageRequest};

/// Bytes of the rows of a page; an answer may have 1 MiB.
const MAX_PAGE_BYTES: usize = 900 * 1024;

/// `{"ask": "sessions", "kind": "casts", "search": "", "offset": 0, "limit": 0}`, answered by `{"rows": […], "total": 3}`. `kind` is `casts`,
/// `calls`, `rooms` or `allocations`. A page may have fewer rows than `limit`; the next one begins at `offset` and the number of its rows.
pub(super) struct SessionsAsk(pub(super) Operator);

impl Ask for SessionsAsk {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn answer(&self, question: &Value) -> Answer {
        let operator = self.0.clone();
        let mut request: PageRequest = serde_json::from_value(question.clone()).unwrap_or_default();
        if request.limit == 0 || request.limit > MAX_PAGE_ROWS {
            request.limit = MAX_PAGE_ROWS;
        }
        let kind = question["kind"].as_str().unwrap_or_default().to_owned();
        Box::pin(async move {
            match kind.as_str() {
                "casts" => fitting(page(&operator.casts(), &request)),
                "calls" => fitting(page(&operator.calls(), &request)),
                "rooms" => fitting(page(&operator.rooms(), &request)),
                "allocations" => fitting(values(operator.allocations(&request).await)),
                _ => Err(format!("the kind {kind:?} is none of casts, calls, rooms and allocations")),
            }
        })
    }
}

fn values<T: Serialize>(page: Page<T>) -> Page<Value> {
    let rows = page.rows.iter().filter_map(|row| serde_json::to_value(row).ok()).collect();
    Page { rows, total: page.total }
}

/// The rows that contain the text of the request, in the part that it asks for.
fn page<T: Serialize>(rows: &[T], request: &PageRequest) -> Page<Value> {
    let search = request.search.trim().to_lowercase();
    let rows = rows.iter().filter_map(|row| serde_json::to_value(row).ok());
    let found: Vec<Value> = rows.filter(|row| contains(row, &search)).collect();
    let total = found.len();
    Page { rows: found.into_iter().skip(request.offset).take(request.limit).collect(), total }
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

/// As many of the rows as an answer takes.
fn fitting(page: Page<Value>) -> Result<Value, String> {
    let mut bytes = 0;
    let fits = |row: &Value| {
        bytes += row.to_string().len() + 1;
        bytes <= MAX_PAGE_BYTES
    };
    let rows: Vec<Value> = page.rows.into_iter().take_while(fits).collect();
    Ok(json!({ "rows": rows, "total": page.total }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::rows::{CastRow, PartyRow};

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
            let answer = fitting(page(&rows, &request)).unwrap();
            assert!(answer.to_string().len() < 1024 * 1024);
            assert_eq!(answer["total"], rows.len());
            let part = answer["rows"].as_array().unwrap();
            assert!((1..MAX_PAGE_ROWS).contains(&part.len()));
            seen.extend(part.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            request.offset = seen.len();
        }
        assert!(seen.iter().zip(&rows).all(|(id, row)| *id == row.id));
    }

    #[test]
    fn a_search_looks_at_values_and_not_at_names_of_fields() {
        let rows = rows(12, "Tizen");
        let total = |search: &str| page(&rows, &PageRequest { search: search.to_owned(), ..PageRequest::default() }).total;
        assert_eq!((total(" TIZEN"), total("cast-11"), total("agent"), total("")), (12, 1, 0, 12));
    }
}
