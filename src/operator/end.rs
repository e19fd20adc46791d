//! Ends what an operator names: a row by its id, the cast of a code, or all that a user has.

use super::error::ActError;
use super::handle::Operator;
use super::ids;
use super::rows::PartyRow;
use super::sessions::cast_error;
use crate::cast::model::OperatorRefusal;

/// Characters of the longest target; the longest username of TURN has as many bytes.
const MAX_TARGET_CHARS: usize = 512;

/// A row that has ended.
struct EndedRow {
    sentence: String,
    /// For the log: a code or a room with its middle hidden, or a user.
    name: String,
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
    /// calls that it signed in to). Returns a sentence that says what was ended. `by`: the operator's name.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn end(&self, target: &str, by: &str) -> Result<String, ActError> {
        let target = target.trim();
        if target.is_empty() || target.chars().count() > MAX_TARGET_CHARS {
            return Err(ActError::Refused("name an id such as cast-3, the code of a TV, or a user".to_owned()));
        }
        if let Some(ended) = self.end_row(target).await {
            let EndedRow { sentence, name } = ended?;
            tracing::info!(by, id = target, name, "an operator has ended something");
            return Ok(sentence);
        }
        match self.0.cast.end_cast_of_code(target) {
            Ok(code) => {
                tracing::info!(by, name = code, "an operator has ended the cast of a code");
                return Ok("Ended the cast of this code.".to_owned());
            }
            Err(OperatorRefusal::NoTv) => {}
            Err(refusal) => return Err(ActError::Refused(refusal.to_string())),
        }
        let ended = self.end_user(target).await.in_words().ok_or_else(|| {
            ActError::NotFound(format!(
                "{target:?} is neither an id nor the code of a TV, and no user of this name has an allocation, a cast or a call"
            ))
        })?;
        tracing::info!(by, user = target, ended, "an operator has ended what a user has");
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

    /// Ends everything of the users with this name, whatever the scope of their credentials.
    async fn end_user(&self, name: &str) -> Ended {
        let is_users = |party: &PartyRow| party.user.as_deref() == Some(name);
        let casts =
            self.casts().into_iter().filter(|row| row.caster.as_ref().is_some_and(|it| is_users(it) || is_users(&row.tv)));
        let casts = casts.filter_map(|row| self.0.cast.end_cast(ids::number(&row.id, ids::CAST)?).ok()).count();
        let calls = self.calls().into_iter().filter(|row| row.members.iter().any(is_users));
        let calls = calls.filter_map(|row| self.0.apprtc.close_call(ids::number(&row.id, ids::CALL)?)).count();
        let list = self.0.allocations.list().await;
        let allocations = self.0.allocations.end(list.allocations.iter().filter(|(_, it)| it.user() == name)).await;
        Ended { allocations, casts, calls }
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
}
