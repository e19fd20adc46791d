//! The codes that were changed lately, which no other TV gets. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{HashMap, VecDeque};

use crate::cast::code::Code;
use crate::cast::model::NewCodeReason;

/// Retired codes that are remembered.
const MAX_RETIRED_CODES: usize = 1 << 16;

/// Bounded: the oldest code is forgotten for a new one.
#[derive(Default)]
pub(super) struct RetiredCodes {
    reasons: HashMap<Code, NewCodeReason>,
    order: VecDeque<Code>,
}

impl RetiredCodes {
    /// Why a code was changed; `None`: it was not, or that is forgotten.
    pub(super) fn reason(&self, code: &Code) -> Option<NewCodeReason> {
        self.reasons.get(code).copied()
    }

    pub(super) fn insert(&mut self, code: Code, reason: NewCodeReason) {
        if self.reasons.insert(code, reason).is_none() {
            self.order.push_back(code);
        }
        if self.order.len() > MAX_RETIRED_CODES
            && let Some(oldest) = self.order.pop_front()
        {
            self.reasons.remove(&oldest);
        }
    }
}
