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
use super::views::{MAX_SESSION_ROWS, View};
use crate::operator::pages::SessionList;
use crate::operator::rows::PageRequest;
use crate::operator::{Operator, log};
use crate::sentence::Sentence;

/// Characters of a search, and of a user's name in a query.
const MAX_SEARCH_CHARS: usize = 300;

type Answer = Result<Response, Refusal>;
type Asked<T> = Result<Query<T>, QueryRejection>;

/// The lists. All of them need a session.
pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/api/now", get(now))
        .route("/admin/api/casts", get(|admin, query| sessions(admin, query, SessionList::Casts)))
        .route("/admin/api/calls", get(|admin, query| sessions(admin, query, SessionList::Calls)))
        .route("/admin/api/rooms", get(|admin, query| sessions(admin, query, SessionList::Rooms)))
        .route("/admin/api/allocations", get(|admin, query| sessions(admin, query, SessionList::Allocations)))
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

async fn now(State(admin): State<Admin>) -> Answer {
    let json = admin.0.views().ok_or(Refusal::Busy)?.json(View::Now).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response())
}

async fn sessions(State(admin): State<Admin>, request: Asked<PageRequest>, list: SessionList) -> Answer {
    Ok(answer::json(&admin.operator()?.sessions(list, &page(request)?, answer::MAX_ROW_BYTES).await))
}

async fn users(State(admin): State<Admin>, request: Asked<PageRequest>) -> Answer {
    Ok(answer::page(admin.operator()?.users(&page(request)?).await?))
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
    Ok(answer::first_rows(admin.operator()?.usage(user.as_deref(), months).await?))
}

async fn bans(State(admin): State<Admin>) -> Answer {
    Ok(answer::rows(&admin.operator()?.bans().await?))
}

async fn throttled(State(admin): State<Admin>) -> Answer {
    Ok(answer::first_rows(admin.operator()?.throttled()))
}

async fn checks(State(admin): State<Admin>) -> Answer {
    Ok(answer::first_rows(admin.operator()?.checks().await?))
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
        return Err(Refusal::BadRequest(Sentence::new("The search is too long.", "搜索内容太长。")));
    }
    request.limit = if request.limit == 0 { MAX_SESSION_ROWS } else { request.limit.min(MAX_SESSION_ROWS) };
    Ok(request)
}

fn wrong(_: QueryRejection) -> Refusal {
    Refusal::BadRequest(Sentence::new("The query does not have the form that this request needs.", "请求的参数格式不正确。"))
}
