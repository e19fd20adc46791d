-- Who may sign in at /admin. Operators have no keys for the relay. No user has the name of an operator.
CREATE TABLE operators (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    -- Argon2id as a PHC string.
    password_hash TEXT    NOT NULL,
    -- Another random number with each password, and each time that the operator is disabled or enabled: sessions of before end.
    stamp         INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- Who is not served: an address, a network or user:NAME.
CREATE TABLE bans (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT    NOT NULL UNIQUE,
    since  INTEGER NOT NULL,
    -- NULL: until somebody ends it.
    until  INTEGER,
    by     TEXT    NOT NULL
) STRICT;
