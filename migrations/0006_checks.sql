-- What checks of devices, and failed casts and calls, have reported to the operator: the newest 50 of each kind.
CREATE TABLE checks (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('check', 'cast', 'call')),
    address TEXT    NOT NULL,
    -- A JSON object.
    result  TEXT    NOT NULL CHECK (length(result) <= 16384)
) STRICT;
