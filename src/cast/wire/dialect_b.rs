//! The events of dialect B, that of the published front ends: wrapped payloads, and Chinese texts.

use serde::Deserialize;
use serde_json::json;

use super::arguments::{Arguments, optional_text};
use super::description;
use super::entering::{join, open};
use super::event::WireEvent;
use super::failure::Failure;
use super::request::{CANDIDATE_EVENT, EntryEvent, EventReader, Request};
use crate::cast::model::Signal;

/// The name that dialect B's front ends show for a caster who gave none.
const ANONYMOUS: &str = "匿名";

/// The reader of an event that only dialect B has.
pub(super) fn reader(event: &str) -> Option<EventReader> {
    Some(match event {
        "TV_REGISTER" => {
            EventReader::of_event(|arguments, _| open(EntryEvent::TvRegister, None, None, arguments).map(Request::Open))
        }
        "TV_GETINFO" => EventReader::of_event(|arguments, _| tv_get_info(arguments)),
        "VERIFY_FEEDBACK" => EventReader::of_event(|_, _| Ok(Request::Verify)),
        "CONFIG" => EventReader::of_event(|_, _| Ok(Request::Config)),
        "CONNECT_TO_TV" => EventReader::of_event(|arguments, _| join(EntryEvent::ConnectToTv, arguments)),
        "RTC_Client_Offer_To_Server" => EventReader::of_description(|arguments, attachments| {
            let offer = description::wrapped("offer", arguments, attachments)?;
            Ok(Request::Signal(Signal::Offer(offer)))
        }),
        "RTC_TV_Answer_To_Server" => EventReader::of_description(|arguments, attachments| {
            let answer = description::wrapped("answer", arguments, attachments)?;
            Ok(Request::Signal(Signal::Answer(answer)))
        }),
        _ => return None,
    })
}

/// `TV_GETINFO`: `{token, code}`, each a string or null, or nothing.
fn tv_get_info(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    #[derive(Default, Deserialize)]
    struct Info {
        token: Option<String>,
        code: Option<String>,
    }
    let expected = "{token, code}, two strings, or nothing";
    let malformed = || Failure::malformed(expected);
    let info = match arguments.first() {
        None => Info::default(),
        // serde would take an array for a struct.
        Some(json) if json.get().starts_with('{') => serde_json::from_str(json.get()).map_err(|_| malformed())?,
        Some(_) => return Err(malformed()),
    };
    let (code, token) = (optional_text(info.code, expected)?, optional_text(info.token, expected)?);
    open(EntryEvent::TvGetInfo, code, token, arguments).map(Request::Open)
}

/// The event that delivers a signal.
pub(super) const fn signal_event<P>(signal: &Signal<P>) -> &'static str {
    match signal {
        Signal::Offer(_) => "RTC_Client_Offer_To_TV",
        Signal::Answer(_) => "RTC_TV_Answer_To_Client",
        Signal::Candidate(_) => CANDIDATE_EVENT,
    }
}

pub(super) fn caster_joined(username: Option<&str>) -> WireEvent {
    WireEvent::new("NEW_CLIENT_JOIN", json!({"username": username.unwrap_or(ANONYMOUS)}))
}

pub(super) fn caster_left(username: Option<&str>) -> WireEvent {
    WireEvent::new("USER_OFFLINE", json!({"user": username.unwrap_or(ANONYMOUS)}))
}

/// Makes a dialect B caster stop.
pub(super) const fn tv_offline() -> WireEvent {
    WireEvent::bare("TV_OFFLINE")
}

/// The event by which dialect B names a refused entry; dialect A has none besides `CAST_ERROR`.
pub fn refusal(event: EntryEvent, failure: &Failure) -> Option<WireEvent> {
    let msg = match failure.code {
        "unknown_code" => "投屏码错误：不存在对应的投影主机",
        "cast_ended" => "投屏已被结束，再次连接即可重新投屏",
        "room_full" => "投影主机正在被使用",
        "server_full" => "服务器已满，请稍后重试",
        "sign_in_required" => "请先登录",
        "wrong_password" => "用户名或密码错误",
        "refused" => failure.reason.as_deref().unwrap_or("管理员不允许此操作"),
        "unavailable" => "暂时无法确认权限，请稍后重试",
        "too_many_attempts" | "rate_limited" => "尝试次数过多，请稍后重试",
        _ => failure.message.as_str(),
    };
    let (name, mut argument) = match event {
        EntryEvent::ConnectToTv => ("CONNECT_TO_TV_FAILED", json!({"msg": msg, "code": failure.code})),
        EntryEvent::TvGetInfo | EntryEvent::TvRegister => {
            ("TV_COMMAND", json!({"cmd": "error", "msg": msg, "code": failure.code}))
        }
        EntryEvent::TvInit | EntryEvent::JoinRoom => return None,
    };
    if let Some(seconds) = failure.retry_after {
        argument["retryAfter"] = seconds.into();
    }
    Some(WireEvent::new(name, argument))
}
