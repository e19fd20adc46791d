//! The table `bans`: who is not served.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::connection::Store;
use super::error::StoreError;
use super::rows::{KeptBan, seconds};
use crate::users::ban::{BanTarget, MAX_BANS};

impl Store {
    /// Bans `target` for `time`, or without an end, instead of an earlier ban of the same target.
    ///
    /// # Errors
    /// `TooManyBans`, `Database`.
    pub async fn ban(&self, target: &BanTarget, time: Option<Duration>, by: &str, now: SystemTime) -> Result<(), StoreError> {
        let mut transaction = self.begin_write().await?;
        let target = target.to_string();
        if count_others(&mut transaction, &target).await? >= MAX_BANS {
            // The clock may be ahead and be set back, so bans that are over by it go only when they are in the way.
            end_over(&mut transaction, now).await?;
            if count_others(&mut transaction, &target).await? >= MAX_BANS {
                return Err(StoreError::TooManyBans);
            }
        }
        let until = time.map(|time| seconds(now).saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
        let insert = sqlx::query(
            "INSERT INTO bans (target, since, until, by) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (target) DO UPDATE SET since = ?2, until = ?3, by = ?4",
        );
        insert.bind(target).bind(seconds(now)).bind(until).bind(by).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The bans that have not ended, the newest first.
    ///
    /// # Errors
    /// `Database`.
    pub async fn bans(&self, now: SystemTime) -> Result<Vec<KeptBan>, StoreError> {
        let mut bans = select_bans(&mut *self.pool.acquire().await?).await?;
        bans.retain(|ban| ban.is_in_force(now));
        Ok(bans)
    }

    /// Ends a ban. Returns its target; `None`: there is no such ban.
    ///
    /// # Errors
    /// `Database`.
    pub async fn unban_id(&self, id: i64, now: SystemTime) -> Result<Option<String>, StoreError> {
        let delete =
            sqlx::query_as::<_, (String, bool)>("DELETE FROM bans WHERE id = ?1 RETURNING target, until IS NULL OR until > ?2");
        let ended = delete.bind(id).bind(seconds(now)).fetch_optional(&mut *self.pool.acquire().await?).await?;
        Ok(ended.and_then(|(target, was_in_force)| was_in_force.then_some(target)))
    }

    /// Ends the ban of a target; `false`: there is none.
    ///
    /// # Errors
    /// `Database`.
    pub async fn unban(&self, target: &BanTarget, now: SystemTime) -> Result<bool, StoreError> {
        let delete = sqlx::query_scalar("DELETE FROM bans WHERE target = ?1 RETURNING until IS NULL OR until > ?2");
        let delete = delete.bind(target.to_string()).bind(seconds(now));
        Ok(delete.fetch_optional(&mut *self.pool.acquire().await?).await?.unwrap_or(false))
    }

    /// Forgets the bans that are over by a clock that is not ahead.
    ///
    /// # Errors
    /// `Database`.
    pub(in crate::users) async fn forget_ended_bans(&self, now: SystemTime) -> Result<(), StoreError> {
        Ok(end_over(&mut *self.pool.acquire().await?, now).await?)
    }
}

async fn end_over(connection: &mut SqliteConnection, now: SystemTime) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM bans WHERE until <= ?1").bind(seconds(now)).execute(connection).await?;
    Ok(())
}

/// The bans of other targets, those that are over included.
async fn count_others(connection: &mut SqliteConnection, target: &str) -> Result<usize, sqlx::Error> {
    let others = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM bans WHERE target <> ?1").bind(target);
    Ok(usize::try_from(others.fetch_one(connection).await?).unwrap_or(usize::MAX))
}

/// The newest first.
pub(super) async fn select_bans(connection: &mut SqliteConnection) -> Result<Vec<KeptBan>, sqlx::Error> {
    let select = "SELECT id, target, since, until, by FROM bans ORDER BY since DESC, id DESC";
    let rows = sqlx::query(select).fetch_all(connection).await?;
    let ban = |row: &SqliteRow| {
        Ok(KeptBan {
            id: row.try_get("id")?,
            target: row.try_get("target")?,
            since: row.try_get("since")?,
            until: row.try_get("until")?,
            by: row.try_get("by")?,
        })
    };
    rows.iter().map(ban).collect()
}

#[cfg(test)]
impl Store {
    /// As many bans as there may be, of 10.0.0.0 and the addresses that follow.
    pub(in crate::users) async fn fill_bans(&self, now: SystemTime) {
        let mut transaction = self.begin_write().await.unwrap();
        for number in 0..MAX_BANS {
            let target = std::net::Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(number).unwrap()).to_string();
            let insert = sqlx::query("INSERT INTO bans (target, since, by) VALUES (?1, ?2, 'anna')");
            insert.bind(target).bind(seconds(now)).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }
}
