-- Bytes of payload that were relayed, by user. Scope and name are empty in the row of all users without a row of their own.
CREATE TABLE usage_days (
    -- Days since 1970, UTC.
    day   INTEGER NOT NULL,
    scope TEXT    NOT NULL CHECK (scope IN ('anyone', 'clients', '')),
    name  TEXT    NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (day, scope, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_months (
    -- Months since January 1970, UTC.
    month INTEGER NOT NULL,
    scope TEXT    NOT NULL CHECK (scope IN ('anyone', 'clients', '')),
    name  TEXT    NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (month, scope, name)
) STRICT, WITHOUT ROWID;

-- Bytes that a user may relay in a month.
CREATE TABLE quotas (
    scope TEXT    NOT NULL CHECK (scope IN ('anyone', 'clients')),
    name  TEXT    NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
