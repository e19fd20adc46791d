//! The start with so many users in the database, and the removal of one of them.

use std::time::SystemTime;

use castway::config::{Config, Settings};
use castway::turn::Scope;
use castway::users::{Directory, ImportedKey, PasswordKeys, Store};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::allocations::user;
use crate::engine::REALM;
use crate::measure::millis;
use crate::results::{Kind, Results};

/// A directory that follows its database.
pub(crate) struct Users {
    runtime: Runtime,
    store: Store,
    pub(crate) directory: Directory,
    count: u32,
    _folder: TempDir,
}

impl Users {
    /// Fills a database, and counts the time that a start takes to read it.
    pub(crate) fn make(count: u32, results: &mut Results) -> anyhow::Result<Self> {
        let (runtime, folder) = (Runtime::new()?, tempfile::tempdir()?);
        runtime.block_on(fill(&folder, count))?;
        let config = Config::read(&Settings::default())?.credentials;
        let mut read = None;
        let took = millis(|| {
            read = Some(runtime.block_on(async {
                let store = Store::open(folder.path(), SystemTime::now()).await?;
                let directory = Directory::open(&store, &config).await?;
                anyhow::Ok((store, directory))
            }));
        });
        results.add("users read at the start", Kind::Once, count, vec![took]);
        let (store, directory) = read.expect("it has just run")?;
        anyhow::ensure!(directory.is_allowed(&user(count - 1)), "the last user is missing");
        runtime.spawn(directory.clone().follow(store.clone()));
        // The follower reads everything once more when it begins.
        runtime.block_on(directory.catch_up());
        Ok(Self { runtime, store, directory, count, _folder: folder })
    }

    /// Removes a user, and counts the time until the removal is in force.
    pub(crate) fn remove(&self, number: u32, results: &mut Results) -> anyhow::Result<()> {
        let name = user(number).parse()?;
        let mut removed = Ok(());
        let took = millis(|| {
            self.runtime.block_on(async {
                removed = self.store.remove(&name, SystemTime::now()).await;
                self.directory.catch_up().await;
            });
        });
        removed?;
        anyhow::ensure!(self.directory.is_refused(Scope::Anyone, name.as_str()), "{name} is still known");
        results.add("a user removed from the database and the snapshot", Kind::Once, self.count, vec![took]);
        Ok(())
    }
}

/// Adds one user as the command line does, and copies of it in one transaction.
async fn fill(folder: &TempDir, count: u32) -> anyhow::Result<()> {
    let store = Store::open(folder.path(), SystemTime::now()).await?;
    let keys = PasswordKeys::imported(REALM, ImportedKey::Md5([7; 16]));
    store.add(&user(0).parse()?, &keys, Scope::Anyone, SystemTime::now()).await?;
    store.close().await;
    let mut connection = SqliteConnectOptions::new().filename(folder.path().join("castway.db")).connect().await?;
    let copies = sqlx::query(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < ?1)
         INSERT INTO users (name, password_hash, realm, h_a1_md5, h_a1_sha256, typed_h_a1_md5, typed_h_a1_sha256, created_at,
                            updated_at, scope, known_keys)
         SELECT 'user' || number, password_hash, realm, h_a1_md5, h_a1_sha256, typed_h_a1_md5, typed_h_a1_sha256, created_at,
                updated_at, scope, known_keys
         FROM users, numbers",
    );
    let copied = copies.bind(count).execute(&mut connection).await?;
    anyhow::ensure!(copied.rows_affected() == u64::from(count - 1), "{} users were added", copied.rows_affected());
    Ok(())
}
