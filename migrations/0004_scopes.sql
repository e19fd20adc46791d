-- Which peers a user's allocations may reach: anyone, or only clients of this server.
ALTER TABLE users ADD COLUMN scope TEXT NOT NULL DEFAULT 'anyone' CHECK (scope IN ('anyone', 'clients'));

-- A user is a name in a scope: a stranger who calls himself alice is not alice. So a name is revoked in a scope, when its user is removed
-- or gets another scope.
ALTER TABLE revoked RENAME TO revoked_names;
CREATE TABLE revoked (
    name       TEXT    NOT NULL,
    scope      TEXT    NOT NULL CHECK (scope IN ('anyone', 'clients')),
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (name, scope)
) STRICT;
INSERT INTO revoked (name, scope, revoked_at) SELECT name, 'anyone', revoked_at FROM revoked_names;
DROP TABLE revoked_names;
