-- What the server was last started with, as a JSON object of settings, so that the command line beside it agrees with it. Written
-- anew at every start.
CREATE TABLE server (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    settings   TEXT    NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;
