//! What the API shows.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Refusal};
use super::handle::Admin;
use super::views::View;
use crate::operator::rows::{MAX_PAGE_ROWS, PageRequest};
use crate::operator::{Operator, log};

/// Characters of a search, and of a user's name in a query.
const MAX_SEARCH_CHARS: usize = 300;

type Answer = Result<Response, Refusal>;
type Asked<T> = Result<Query<T>, QueryRejection>;

/// The lists. All of them need a session.
pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/api/now", get(|admin| view(admin, View::Now)))
        .route("/admin/api/casts", get(|admin| view(admin, View::Casts)))
        .route("/admin/api/calls", get(|admin| view(admin, View::Calls)))
        .route("/admin/api/rooms", get(|admin| view(admin, View::Rooms)))
        .route("/admin/api/allocations", get(allocations))
        .route("/admin/api/users", get(users))
        .route("/admin/api/usage", get(usage))
        .route("/admin/api/bans", get(bans))
        .route("/admin/api/throttled", get(throttled))
        .route("/admin/api/checks", get(checks))
        .route("/admin/api/log", get(lines))
        .route("/admin/api/settings", get(settings))
}

impl Admin {
    pub(super) fn operator(&self) -> Result<&Operator, Refusal> {
        self.0.operator().ok_or(Refusal::Busy)
    }
}

async fn view(State(admin): State<Admin>, view: View) -> Answer {
    let json = admin.0.views().ok_or(Refusal::Busy)?.json(view).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response())
}

async fn allocations(State(admin): State<Admin>, request: Asked<PageRequest>) -> Answer {
    Ok(answer::json(&admin.operator()?.allocations(&page(request)?).await))
}

async fn users(State(admin): State<Admin>, request: Asked<PageRequest>) -> Answer {
    Ok(answer::json(&admin.operator()?.users(&page(request)?).await?))
}

#[derive(Deserialize)]
struct UsageQuery {
    user: Option<String>,
    months: Option<String>,
}

async fn usage(State(admin): State<Admin>, query: Asked<UsageQuery>) -> Answer {
    let Query(UsageQuery { user, months }) = query.map_err(wrong)?;
    let user = user.filter(|user| !user.is_empty() && user.len() <= MAX_SEARCH_CHARS);
    let months = months.is_some_and(|months| months != "0");
    Ok(answer::rows(&admin.operator()?.usage(user.as_deref(), months).await?))
}

async fn bans(State(admin): State<Admin>) -> Answer {
    Ok(answer::rows(&admin.operator()?.bans().await?))
}

async fn throttled(State(admin): State<Admin>) -> Answer {
    Ok(answer::rows(&admin.operator()?.throttled()))
}

async fn checks(State(admin): State<Admin>) -> Answer {
    Ok(answer::rows(&admin.operator()?.checks().await?))
}

#[derive(Deserialize)]
struct LogQuery {
    #[serde(default)]
    after: u64,
}

async fn lines(query: Asked<LogQuery>) -> Answer {
    let Query(LogQuery { after }) = query.map_err(wrong)?;
    Ok(answer::json(&json!({"lines": log::kept().after(after)})))
}

async fn settings(State(admin): State<Admin>) -> Answer {
    Ok(answer::rows(&admin.0.parts.settings))
}

fn page(request: Asked<PageRequest>) -> Result<PageRequest, Refusal> {
    let Query(mut request) = request.map_err(wrong)?;
    if request.search.chars().count() > MAX_SEARCH_CHARS {
        return Err(Refusal::BadRequest("The search is too long.".to_owned()));
    }
    request.limit = if request.limit == 0 { MAX_PAGE_ROWS } else { request.limit.min(MAX_PAGE_ROWS) };
    Ok(request)
}

fn wrong(_: QueryRejection) -> Refusal {
    Refusal::BadRequest("The query does not have the form that this request needs.".to_owned())
}
