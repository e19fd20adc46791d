//! `usage`: what was relayed today and in this month, as it is now. Former days and months are in the database.

use serde_json::{Value, json};

use super::field::text;
use crate::control::{Answer, Ask};
use crate::operator::Operator;
use crate::users::usage::{day_name, month_name, month_of};

/// Bytes of the rows of an answer, which may have 1 MiB.
const MAX_PAGE_BYTES: usize = 900 * 1024;

/// `{"ask": "usage", "user": "", "offset": 0}`, answered by `{"day": "2026-11-29", "month": "2026-11", "rows": [{"scope", "name", "today",
/// "month"}], "total": 3}`. `user` empty: all users. The next page begins at `offset` and the number of rows.
pub(super) struct UsageAsk(pub(super) Operator);

impl Ask for UsageAsk {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn answer(&self, question: &Value) -> Answer {
        let (user, offset) = (text(question, "user"), question["offset"].as_u64().unwrap_or(0));
        let (day, current) = self.0.directory().usage().current();
        let mut rows: Vec<_> = current.into_iter().filter(|(owner, _)| user.is_empty() || owner.name() == &*user).collect();
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let total = rows.len();
        let page = rows.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).map(|(owner, totals)| {
            json!({ "scope": owner.scope_name(), "name": owner.name(), "today": totals.today, "month": totals.month })
        });
        let mut bytes = 0;
        let page = page.take_while(|row: &Value| {
            bytes += row.to_string().len() + 1;
            bytes <= MAX_PAGE_BYTES
        });
        let answer = json!({
            "day": day_name(day),
            "month": month_name(month_of(day)),
            "rows": page.collect::<Vec<_>>(),
            "total": total,
        });
        Box::pin(std::future::ready(Ok(answer)))
    }
}
