//! The steps of the schema, which the program carries: `migrations/` has a file for each.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Number, name and SQL of each step, in order. A step that has been released never changes: databases remember its checksum.
const STEPS: [(i64, &str, &str); 9] = [
    (1, "users", include_str!("../../../migrations/0001_users.sql")),
    (2, "admins", include_str!("../../../migrations/0002_admins.sql")),
    (3, "server", include_str!("../../../migrations/0003_server.sql")),
    (4, "scopes", include_str!("../../../migrations/0004_scopes.sql")),
    (5, "typed_keys", include_str!("../../../migrations/0005_typed_keys.sql")),
    (6, "checks", include_str!("../../../migrations/0006_checks.sql")),
    (7, "operators", include_str!("../../../migrations/0007_operators.sql")),
    (8, "usage", include_str!("../../../migrations/0008_usage.sql")),
    (9, "known_keys", include_str!("../../../migrations/0009_known_keys.sql")),
];

/// Runs the steps that a database does not have yet.
pub(super) fn migrator() -> Migrator {
    let migration = |(number, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(STEPS.map(migration).into())
}

/// The number of the last step.
pub(super) const fn newest() -> i64 {
    STEPS[STEPS.len() - 1].0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_file_is_a_step() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files: BTreeSet<_> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let steps: BTreeSet<_> = STEPS.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql")).collect();
        assert_eq!(files, steps);
    }
}
