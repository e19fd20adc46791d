-- Times are Unix seconds. Never edit a step that was released: add the next one.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    -- Argon2id as a PHC string.
    password_hash TEXT    NOT NULL,
    -- The TURN keys H(A1) = hash(name ":" realm ":" SASLprep(password)) hold in the realm they were made for alone.
    realm         TEXT    NOT NULL,
    h_a1_md5      BLOB    NOT NULL CHECK (length(h_a1_md5) = 16),
    h_a1_sha256   BLOB    NOT NULL CHECK (length(h_a1_sha256) = 32),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- What signs time-limited credentials: the highest id signs, the others verify until a longest ttl after they were retired.
CREATE TABLE secrets (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    value      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

-- Removed users, kept until no credentials issued to them can still be valid.
CREATE TABLE revoked (
    name       TEXT    PRIMARY KEY,
    revoked_at INTEGER NOT NULL
) STRICT;

-- Keys that the server makes for itself, e.g. for resume tokens.
CREATE TABLE keys (
    name       TEXT    PRIMARY KEY,
    value      BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
