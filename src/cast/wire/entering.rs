//! The arguments of opening and joining that both dialects have in common.

use serde_json::Value;

use super::arguments::{Arguments, optional_text};
use super::auth;
use super::failure::Failure;
use super::request::{CODE_CHANGED, CheckArguments, EntryEvent, JoinArguments, OpenArguments, Request};
use crate::cast::code::CODE_LENGTH;
use crate::cast::model::Dialect;

/// The names of the code in front ends, in the order in which they are looked for.
const CODE_NAMES: [&str; 4] = ["projCode", "code", "roomId", "room"];

/// What dialect A's casters send.
const CODE_EXPECTED: &str = "the code, a string, or {code}";

/// Besides its own arguments each opening event may have `{understands: ["TV_CODE_CHANGED"], live?, casting?}`, as its last argument or
/// within the first one.
pub(super) fn open(
    event: EntryEvent,
    code: Option<String>,
    token: Option<String>,
    arguments: &Arguments<'_>,
) -> Result<OpenArguments, Failure> {
    let given = [arguments.value(0), arguments.value(1)];
    let is_set = |name| given.iter().any(|value| value.get(name) == Some(&Value::Bool(true)));
    let mut understood = given.iter().filter_map(|value| value.get("understands")?.as_array()).flatten();
    let understands_new_codes = understood.any(|event| event == CODE_CHANGED);
    Ok(OpenArguments {
        event,
        code,
        token,
        shows_picture: is_set("live"),
        casting: is_set("casting"),
        understands_new_codes,
        details: None,
        proof: auth::read(arguments)?,
    })
}

/// `JOIN_ROOM`: the code, then perhaps `{resumeToken?, username?}`; or `{code, resumeToken?, username?}`. `CONNECT_TO_TV`:
/// `{username, projCode}`. Each event also accepts the other's form, and the names that other front ends have for the code. Front ends may
/// add an authentication of their own, of which only strings by these names are read.
pub(super) fn join(event: EntryEvent, arguments: &Arguments<'_>) -> Result<Request, Failure> {
    let expected = match event.dialect() {
        Dialect::A => CODE_EXPECTED,
        Dialect::B => "{username, projCode}",
    };
    let CasterArguments { code, token, username } = caster_arguments(arguments, expected)?;
    let proof = auth::read(arguments)?;
    Ok(Request::Join(JoinArguments { event, code, token, username, proof }))
}

/// `CHECK_CODE`: the arguments of `JOIN_ROOM`.
pub(super) fn check(arguments: &Arguments<'_>) -> Result<Request, Failure> {
    let CasterArguments { code, token, .. } = caster_arguments(arguments, CODE_EXPECTED)?;
    Ok(Request::Check(CheckArguments { code, token, proof: auth::read(arguments)? }))
}

struct CasterArguments {
    code: String,
    token: Option<String>,
    username: Option<String>,
}

fn caster_arguments(arguments: &Arguments<'_>, expected: &str) -> Result<CasterArguments, Failure> {
    let (first, second) = (arguments.value(0), arguments.value(1));
    let (code, extras) = match first.as_object() {
        Some(members) => (CODE_NAMES.iter().find_map(|name| code_of(members.get(*name)?)), &first),
        None => (code_of(&first), &second),
    };
    let code = optional_text(code, expected)?.ok_or_else(|| Failure::malformed(expected))?;
    let text = |name: &str| optional_text(extras[name].as_str().map(str::to_owned), "strings of at most 512 characters");
    let (token, username) = (text("resumeToken")?, text("username")?);
    Ok(CasterArguments { code, token, username })
}

/// A front end that parsed its input sends a code of digits as a number, which has lost its leading zeros.
fn code_of(value: &Value) -> Option<String> {
    match value {
        Value::String(code) => Some(code.clone()),
        Value::Number(code) => code.as_u64().map(|code| format!("{code:0width$}", width = CODE_LENGTH)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
