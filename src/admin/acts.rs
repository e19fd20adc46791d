//! What the API does. Each act leaves a line in the log, with the operator's name.

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use qrcode::QrCode;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, JsonBody, Refusal};
use super::handle::Admin;
use super::sessions::SignedIn;
use crate::http::client_info::ClientInfo;
use crate::operator::ActError;
use crate::sentence::Sentence;
use crate::users::BanTarget;
use crate::users::credentials::unix_seconds;

type Answer = Result<Response, Refusal>;
type By = Extension<SignedIn>;

/// The changes. All of them need a session and its token.
pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/api/end", post(end))
        .route("/admin/api/new-code", post(new_code))
        .route("/admin/api/block", post(block))
        .route("/admin/api/unblock", post(unblock))
        .route("/admin/api/users/enable", post(|admin, by, body| set_enabled(admin, by, body, true)))
        .route("/admin/api/users/disable", post(|admin, by, body| set_enabled(admin, by, body, false)))
        .route("/admin/api/users/password", post(new_password))
        .route("/admin/api/users/quota", post(set_quota))
        .route("/admin/api/checks/key", post(check_key))
}

#[derive(Deserialize)]
struct Row {
    id: String,
}

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Block {
    target: String,
    seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Quota {
    #[serde(default)]
    scope: String,
    name: String,
    bytes: Option<u64>,
}

async fn end(State(admin): State<Admin>, Extension(by): By, JsonBody(row): JsonBody<Row>) -> Answer {
    let done = admin.operator()?.end(&row.id, &by.operator).await;
    done_answer(&admin, done).await
}

async fn new_code(State(admin): State<Admin>, Extension(by): By, JsonBody(row): JsonBody<Row>) -> Answer {
    let done = admin.operator()?.new_code(&row.id, &by.operator);
    done_answer(&admin, done).await
}

async fn block(
    State(admin): State<Admin>,
    Extension(by): By,
    Extension(client): Extension<ClientInfo>,
    JsonBody(block): JsonBody<Block>,
) -> Answer {
    let own = client.address.to_canonical();
    if block.target.parse().is_ok_and(|target| matches!(target, BanTarget::Network(network) if network.contains(&own))) {
        let target = &block.target;
        let why = Sentence::new(
            format!("{target} has your own address, {own}; only the command line could let you in again"),
            format!("{target} 包含您自己的地址 {own}；封禁后只有命令行才能让您重新进入"),
        );
        return done_answer(&admin, Err(ActError::Refused(why))).await;
    }
    let time = block.seconds.map(Duration::from_secs);
    let done = admin.operator()?.block(&block.target, time, &by.operator).await;
    done_answer(&admin, done).await
}

async fn unblock(State(admin): State<Admin>, Extension(by): By, JsonBody(block): JsonBody<Block>) -> Answer {
    let done = admin.operator()?.unblock(&block.target, &by.operator).await;
    done_answer(&admin, done).await
}

async fn set_enabled(State(admin): State<Admin>, Extension(by): By, JsonBody(user): JsonBody<User>, enabled: bool) -> Answer {
    let done = admin.operator()?.set_enabled(&user.name, enabled, &by.operator).await;
    done_answer(&admin, done).await
}

async fn set_quota(State(admin): State<Admin>, Extension(by): By, JsonBody(quota): JsonBody<Quota>) -> Answer {
    let done = admin.operator()?.set_quota(&quota.scope, &quota.name, quota.bytes, &by.operator).await;
    done_answer(&admin, done).await
}

async fn new_password(State(admin): State<Admin>, Extension(by): By, JsonBody(user): JsonBody<User>) -> Answer {
    let password = admin.operator()?.new_password(&user.name, &by.operator).await?;
    Ok(answer::json(&json!({"password": password})))
}

async fn check_key(State(admin): State<Admin>, Extension(by): By) -> Answer {
    let key = admin.0.parts.checks.new_key();
    tracing::info!(operator = by.operator, "operator made a key for a check");
    let expires = unix_seconds(SystemTime::now()) + key.lifetime.as_secs();
    Ok(answer::json(&json!({"key": key.key, "url": key.url, "expires": expires, "qr": qr_image(&key.url)})))
}

async fn done_answer(admin: &Admin, done: Result<String, ActError>) -> Answer {
    let sentence = done?;
    if let Some(views) = admin.0.views() {
        views.forget().await;
    }
    Ok(answer::json(&json!({"done": sentence})))
}

/// A QR code as SVG without styles, which the policy of the pages forbids. `None`: the text is too long for one.
fn qr_image(text: &str) -> Option<String> {
    const MARGIN: usize = 4;
    let code = QrCode::new(text).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let dark = colors.iter().enumerate().filter(|(_, color)| **color == qrcode::Color::Dark);
    let squares: String = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + MARGIN, at / width + MARGIN)).collect();
    let size = width + 2 * MARGIN;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{size}v{size}h-{size}z\"/><path fill=\"#000\" d=\"{squares}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_shows_the_modules_of_the_code() {
        let url = "https://cast.example.org/check?k=7F3K";
        let image = qr_image(url).unwrap();
        let dark = QrCode::new(url).unwrap().to_colors().iter().filter(|color| **color == qrcode::Color::Dark).count();
        assert_eq!(image.matches("h1v1h-1z").count(), dark);
        assert!(image.starts_with("<svg ") && !image.contains("style") && image.contains("M4 4h1v1h-1z"), "{image}");
        assert_eq!(qr_image(&"x".repeat(5000)), None);
    }
}
