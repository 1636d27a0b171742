-- Submitters from elsewhere. Those removed keep their row: their jobs name them.
CREATE TABLE submitter (
    submitter BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    weight INTEGER NOT NULL,
    -- Null is no limit.
    jobs_max INTEGER,
    storage_bytes_max INTEGER,
    added_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT, WITHOUT ROWID;

-- A name is one submitter's as long as that one is on the list.
CREATE UNIQUE INDEX submitter_by_name ON submitter (name) WHERE removed_at IS NULL;

-- Whose jobs are; those without a row are the operator's.
CREATE TABLE job_owner (
    job INTEGER PRIMARY KEY REFERENCES job,
    submitter BLOB NOT NULL REFERENCES submitter
) STRICT;

-- What an invitation says beyond its end. Every invitation has its row; a null `uses_max` is any
-- number of workers.
CREATE TABLE invitation_terms (
    secret_hash BLOB PRIMARY KEY REFERENCES invitation,
    number INTEGER NOT NULL UNIQUE,
    note TEXT NOT NULL,
    uses_max INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO invitation_terms (secret_hash, number, note)
    SELECT secret_hash, row_number() OVER (ORDER BY created_at, secret_hash), '' FROM invitation;

CREATE INDEX member_by_invitation ON member (secret_hash);
