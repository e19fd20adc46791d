//! What commands ask about an operator's lists and acts, through the control socket; one question in each file.

mod bans;
mod end;
mod field;
mod new_code;
mod sessions;
mod status;
mod usage;

use super::handle::Operator;
use crate::control::Ask;

/// All questions.
#[must_use]
pub fn all(operator: &Operator) -> Vec<Box<dyn Ask>> {
    vec![
        Box::new(status::StatusAsk(operator.clone())),
        Box::new(sessions::SessionsAsk(operator.clone())),
        Box::new(end::EndAsk(operator.clone())),
        Box::new(new_code::NewCodeAsk(operator.clone())),
        Box::new(usage::UsageAsk(operator.clone())),
        Box::new(bans::BlockAsk(operator.clone())),
        Box::new(bans::UnblockAsk(operator.clone())),
        Box::new(bans::ThrottledAsk(operator.clone())),
    ]
}
