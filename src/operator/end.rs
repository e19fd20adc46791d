//! Ends what an operator names: a row by its id, the cast of a code, or all that a user has.

use std::collections::BTreeMap;

use super::error::ActError;
use super::handle::Operator;
use super::ids;
use super::rows::{CallRow, CastRow, PartyRow};
use super::sessions::{cast_error, sentence};
use crate::cast::model::OperatorRefusal;
use crate::sentence::Sentence;
use crate::turn::Scope;
use crate::users::scope_name;

/// Characters of the longest target; the longest username of TURN has as many bytes.
const MAX_TARGET_CHARS: usize = 512;
/// The ids of one scope that a refusal names.
const MAX_NAMED_IDS: usize = 8;

/// A row that has ended.
struct EndedRow {
    sentence: String,
    /// For the log: a code or a room with its middle hidden, or a user.
    name: String,
}

/// What a user has in one scope. A name that others sign in another scope is another user.
#[derive(Debug, Default)]
struct Held {
    allocations: Vec<u64>,
    casts: Vec<u64>,
    calls: Vec<u64>,
}

/// What has ended of a user.
#[derive(Debug, Default)]
struct Ended {
    allocations: usize,
    casts: usize,
    calls: usize,
}

impl Operator {
    /// Ends what `target` names: the id of a row, the code of a TV (its cast), or the name of a user (its allocations, and the casts and
    /// calls that it signed in to), if there is something of this name in one scope alone. Returns a sentence that says what was ended.
    /// `by`: the operator's name.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn end(&self, target: &str, by: &str) -> Result<String, ActError> {
        let target = target.trim();
        if target.is_empty() || target.chars().count() > MAX_TARGET_CHARS {
            return Err(ActError::Refused(Sentence::new(
                "name an id such as cast-3, the code of a TV, or a user",
                "请给出 cast-3 这样的编号、电视的投屏码或用户",
            )));
        }
        if let Some(ended) = self.end_row(target).await {
            let EndedRow { sentence, name } = ended?;
            tracing::info!(by, id = target, name, "operator ended a session");
            return Ok(sentence);
        }
        match self.0.cast.end_cast_of_code(target) {
            Ok(code) => {
                tracing::info!(by, name = code, "operator ended the cast of a code");
                return Ok("Ended the cast of this code.".to_owned());
            }
            Err(OperatorRefusal::NoTv) => {}
            Err(refusal) => return Err(ActError::Refused(sentence(refusal))),
        }
        // As `castway block` writes a user.
        let target = target.strip_prefix("user:").unwrap_or(target);
        let ended = self.end_user(target).await?.in_words().ok_or_else(|| {
            ActError::NotFound(format!(
                "{target:?} is neither an id nor the code of a TV, and no user of this name has an allocation, a cast or a call"
            ))
        })?;
        tracing::info!(by, user = target, ended, "operator ended what a user has");
        Ok(format!("Ended {ended} of the user {target:?}."))
    }

    /// Ends the row with this id; `None`: this is no id.
    async fn end_row(&self, id: &str) -> Option<Result<EndedRow, ActError>> {
        let gone = || ActError::NotFound(format!("there is no {id} (any more)"));
        let row = |sentence: String| move |name| EndedRow { sentence, name };
        let number = |kind| ids::number(id, kind);
        if let Some(number) = number(ids::CAST) {
            return Some(
                self.0
                    .cast
                    .end_cast(number)
                    .map(row(format!("Ended the cast {id}.")))
                    .map_err(|refusal| cast_error(refusal, "cast", id)),
            );
        }
        if let Some(number) = number(ids::CALL) {
            return Some(self.0.apprtc.close_call(number).map(row(format!("Closed the call {id}."))).ok_or_else(gone));
        }
        if let Some(number) = number(ids::ROOM) {
            return Some(self.0.multiconnection.close_room(number).map(row(format!("Closed the room {id}."))).ok_or_else(gone));
        }
        let number = number(ids::ALLOCATION)?;
        let list = self.0.allocations.list().await;
        let found = list.allocations.iter().find(|(_, allocation)| allocation.number == number);
        Some(match found {
            Some(found) if self.0.allocations.end([found]).await == 1 => {
                let user = found.1.user();
                Ok(EndedRow { sentence: format!("Ended the allocation {id} of the user {user:?}."), name: user.to_owned() })
            }
            None if !list.complete => Err(ActError::Failed("a thread of the relay does not answer; try again".to_owned())),
            Some(_) | None => Err(gone()),
        })
    }

    /// Ends everything of the user with this name.
    async fn end_user(&self, name: &str) -> Result<Ended, ActError> {
        let list = self.0.allocations.list().await;
        let of_name = || list.allocations.iter().filter(|(_, allocation)| allocation.user() == name);
        let mut held: BTreeMap<Scope, Held> = BTreeMap::new();
        for (_, allocation) in of_name() {
            held.entry(allocation.scope()).or_default().allocations.push(allocation.number);
        }
        let (casts, calls) = (self.casts_of(name), self.calls_of(name));
        if !(casts.is_empty() && calls.is_empty()) {
            // Only users of the database sign in.
            let is_of = |scope: &Scope| self.directory().has_user(*scope, name);
            let scope = [Scope::Clients, Scope::Anyone].into_iter().find(is_of).unwrap_or(Scope::Anyone);
            let in_scope = held.entry(scope).or_default();
            (in_scope.casts, in_scope.calls) = (casts, calls);
        }
        if held.len() > 1 {
            return Err(ActError::Refused(several(name, &held)));
        }
        let Held { casts, calls, .. } = held.into_values().next().unwrap_or_default();
        let casts = casts.into_iter().filter(|number| self.0.cast.end_cast(*number).is_ok()).count();
        let calls = calls.into_iter().filter(|number| self.0.apprtc.close_call(*number).is_some()).count();
        Ok(Ended { allocations: self.0.allocations.end(of_name()).await, casts, calls })
    }

    /// The numbers of the casts that a user has signed in to.
    fn casts_of(&self, name: &str) -> Vec<u64> {
        let has = |row: &CastRow| row.caster.as_ref().is_some_and(|caster| is_of(caster, name) || is_of(&row.tv, name));
        self.casts().iter().filter(|row| has(row)).filter_map(|row| ids::number(&row.id, ids::CAST)).collect()
    }

    /// The numbers of the calls that a user has signed in to.
    fn calls_of(&self, name: &str) -> Vec<u64> {
        let has = |row: &CallRow| row.members.iter().any(|member| is_of(member, name));
        self.calls().iter().filter(|row| has(row)).filter_map(|row| ids::number(&row.id, ids::CALL)).collect()
    }
}

fn is_of(party: &PartyRow, name: &str) -> bool {
    party.user.as_deref() == Some(name)
}

/// A name is several users: the operator has to choose.
fn several(name: &str, held: &BTreeMap<Scope, Held>) -> Sentence {
    let parts = |more: fn(usize) -> String| {
        let part = |(scope, held): (&Scope, &Held)| format!("{}: {}", scope_name(*scope), held.ids(more));
        held.iter().map(part).collect::<Vec<_>>().join("; ")
    };
    Sentence::new(
        format!(
            "{name:?} is a user in several scopes, who are not the same: end what you mean by its id ({}); castway sessions has all of them",
            parts(|more| format!(" and {more} more"))
        ),
        format!(
            "{name:?} 在多个范围内各是不同的用户：请用编号结束您所指的（{}）；castway sessions 会列出全部",
            parts(|more| format!(" 等，另有 {more} 个"))
        ),
    )
}

impl Held {
    /// The ids of the rows, at most [`MAX_NAMED_IDS`]. `more`: how the number of the others is said.
    fn ids(&self, more: fn(usize) -> String) -> String {
        let kinds = [(ids::CAST, &self.casts), (ids::CALL, &self.calls), (ids::ALLOCATION, &self.allocations)];
        let mut all = kinds.into_iter().flat_map(|(kind, numbers)| numbers.iter().map(move |number| format!("{kind}{number}")));
        let named = all.by_ref().take(MAX_NAMED_IDS).collect::<Vec<_>>().join(", ");
        let others = all.count();
        if others == 0 { named } else { named + &more(others) }
    }
}

impl Ended {
    /// `None`: nothing has ended.
    fn in_words(&self) -> Option<String> {
        let counts = [(self.allocations, "allocation"), (self.casts, "cast"), (self.calls, "call")];
        let words = counts.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = words.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" })).collect();
        match words.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_a_list() {
        let words = |allocations, casts, calls| Ended { allocations, casts, calls }.in_words();
        assert_eq!((words(0, 0, 0), words(1, 0, 0)), (None, Some("1 allocation".to_owned())));
        assert_eq!(words(3, 1, 2).as_deref(), Some("3 allocations, 1 cast and 2 calls"));
    }

    #[test]
    fn a_name_of_several_scopes_is_refused_with_the_ids_to_choose_from() {
        let held = BTreeMap::from([
            (Scope::Anyone, Held { allocations: (1..=8).collect(), casts: vec![3], calls: vec![] }),
            (Scope::Clients, Held { allocations: vec![9], ..Held::default() }),
        ]);
        let Sentence { en, zh } = several("anna", &held);
        for text in [en, zh] {
            assert!(text.contains("cast-3, alloc-1, ") && text.contains("alloc-7") && !text.contains("alloc-8"), "{text}");
            assert!(text.contains("clients: alloc-9") && text.contains("\"anna\""), "{text}");
        }
    }
}
