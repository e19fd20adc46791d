//! Ends what an operator names: a row by its id, the cast of a code, or all that a user has.

use super::allocations;
use super::error::ActError;
use super::handle::Operator;
use super::rows::PartyRow;

/// What the ids of casts, calls and rooms begin with.
const CAST_PREFIX: &str = "cast-";
const CALL_PREFIX: &str = "call-";
const ROOM_PREFIX: &str = "room-";
/// Characters of the longest target: a user's name has at most 512.
const MAX_TARGET_CHARS: usize = 512;

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
            return Err(ActError::Refused("a target is an id such as cast-3, the code of a TV, or the name of a user".to_owned()));
        }
        if let Some(number) = number(target, CAST_PREFIX) {
            self.end_cast(number)?;
            return Ok(done(by, target, format!("Ended the cast {target}.")));
        }
        if let Some(number) = number(target, CALL_PREFIX) {
            self.close_call(number)?;
            return Ok(done(by, target, format!("Closed the call {target}.")));
        }
        if let Some(number) = number(target, ROOM_PREFIX) {
            self.close_room(number)?;
            return Ok(done(by, target, format!("Closed the room {target}.")));
        }
        if let Some(number) = number(target, allocations::ID_PREFIX) {
            let user = self.end_allocation(number).await?;
            return Ok(done(by, target, format!("Ended the allocation {target} of the user {user:?}.")));
        }
        if self.end_cast_of_code(target)? {
            // A whole code in the log would let the log's readers cast.
            return Ok(done(by, "the cast of a code", "Ended the cast of this code.".to_owned()));
        }
        match self.end_user(target).await {
            Some(ended) => Ok(done(by, target, format!("Ended {} of the user {target:?}.", ended.in_words()))),
            None => Err(ActError::NotFound(format!(
                "there is no cast, call, room or allocation {target:?}, nor a TV with this code or a user of this name who has \
                 anything open"
            ))),
        }
    }

    /// Ends an allocation, and returns the name of its user.
    async fn end_allocation(&self, number: u64) -> Result<String, ActError> {
        let list = self.0.allocations.list().await;
        let found = list.allocations.iter().find(|(_, allocation)| allocation.number == number);
        match found {
            Some(found) if self.0.allocations.end([found]).await == 1 => Ok(found.1.user().to_owned()),
            None if !list.complete => Err(ActError::Failed("a shard of the relay does not answer, so this was not done".to_owned())),
            Some(_) | None => {
                Err(ActError::NotFound(format!("there is no allocation {}{number} (any more)", allocations::ID_PREFIX)))
            }
        }
    }

    /// Ends everything of the users with this name, whatever the scope of their credentials. `None`: they have nothing.
    async fn end_user(&self, name: &str) -> Option<Ended> {
        let mut ended = Ended::default();
        let is_users = |party: &PartyRow| party.user.as_deref() == Some(name);
        for cast in self.casts() {
            if cast.caster.as_ref().is_some_and(|caster| is_users(caster) || is_users(&cast.tv))
                && number(&cast.id, CAST_PREFIX).is_some_and(|number| self.end_cast(number).is_ok())
            {
                ended.casts += 1;
            }
        }
        for call in self.calls() {
            if call.members.iter().any(is_users)
                && number(&call.id, CALL_PREFIX).is_some_and(|number| self.close_call(number).is_ok())
            {
                ended.calls += 1;
            }
        }
        let list = self.0.allocations.list().await;
        ended.allocations = self.0.allocations.end(list.allocations.iter().filter(|(_, it)| it.user() == name)).await;
        (ended.allocations + ended.casts + ended.calls > 0).then_some(ended)
    }

    fn end_cast(&self, number: u64) -> Result<(), ActError> {
        Err(ActError::NotFound(format!("there is no cast {CAST_PREFIX}{number} (any more)")))
    }

    /// Ends the cast to the TV with this code; false: no TV has it.
    fn end_cast_of_code(&self, _code: &str) -> Result<bool, ActError> {
        Ok(false)
    }

    fn close_call(&self, number: u64) -> Result<(), ActError> {
        Err(ActError::NotFound(format!("there is no call {CALL_PREFIX}{number} (any more)")))
    }

    fn close_room(&self, number: u64) -> Result<(), ActError> {
        Err(ActError::NotFound(format!("there is no room {ROOM_PREFIX}{number} (any more)")))
    }
}

impl Ended {
    fn in_words(&self) -> String {
        let counts = [(self.allocations, "allocation"), (self.casts, "cast"), (self.calls, "call")];
        let words = counts.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = words.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" })).collect();
        match words.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }
}

/// The number in an id.
fn number(id: &str, prefix: &str) -> Option<u64> {
    let digits = id.strip_prefix(prefix)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Leaves a line in the log, and returns the sentence.
fn done(by: &str, what: &str, sentence: String) -> String {
    tracing::info!(by, what, "an operator has ended something");
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_digits_alone() {
        assert_eq!(number("cast-17", CAST_PREFIX), Some(17));
        for other in ["cast-", "cast-+1", "cast- 1", "cast-x", "Cast-1", "call-1", "cast-99999999999999999999"] {
            assert_eq!(number(other, CAST_PREFIX), None, "{other}");
        }
    }

    #[test]
    fn what_has_ended_is_a_list() {
        assert_eq!(Ended { allocations: 1, ..Ended::default() }.in_words(), "1 allocation");
        assert_eq!(Ended { allocations: 3, casts: 1, calls: 2 }.in_words(), "3 allocations, 1 cast and 2 calls");
    }
}
