-- Which TURN keys of a user are known. A user who was imported from another server has the key that was kept there and no password hash;
-- the other keys are random, so that nothing matches them.
ALTER TABLE users ADD COLUMN known_keys TEXT NOT NULL DEFAULT 'all' CHECK (known_keys IN ('all', 'md5', 'sha256'));
