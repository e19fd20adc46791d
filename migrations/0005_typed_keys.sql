-- The TURN keys of the password as it was typed: clients send it so, without SASLprep. NULL: the password was set before these columns
-- existed, and only its SASLprep form is known.
ALTER TABLE users ADD COLUMN typed_h_a1_md5 BLOB CHECK (length(typed_h_a1_md5) = 16);
ALTER TABLE users ADD COLUMN typed_h_a1_sha256 BLOB CHECK (length(typed_h_a1_sha256) = 32);
