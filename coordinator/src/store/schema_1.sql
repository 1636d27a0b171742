-- Numbers of jobs, stages, units, attempts and items are those of the ids. Times are milliseconds
-- since the Unix epoch. Specifications and outcomes are MessagePack with named fields.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    job INTEGER PRIMARY KEY,
    submission BLOB NOT NULL UNIQUE,
    spec BLOB NOT NULL,
    submitted_at INTEGER NOT NULL,
    -- 'done', 'failed' or 'cancelled'; null while it runs.
    ended TEXT,
    failure TEXT,
    ended_at INTEGER
) STRICT;

-- The sums stand here so that a restart does not count the units of jobs that have ended.
CREATE TABLE stage (
    job INTEGER NOT NULL REFERENCES job,
    stage INTEGER NOT NULL,
    items INTEGER,
    done INTEGER NOT NULL DEFAULT 0,
    items_settled INTEGER NOT NULL DEFAULT 0,
    units_settled INTEGER NOT NULL DEFAULT 0,
    attempts_inconclusive INTEGER NOT NULL DEFAULT 0,
    cpu_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE block (
    job INTEGER NOT NULL,
    first_unit INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    units INTEGER NOT NULL,
    items_start INTEGER NOT NULL,
    items_end INTEGER NOT NULL,
    unit_items INTEGER NOT NULL,
    PRIMARY KEY (job, first_unit),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;

-- Attempts beyond a quorum's first ones.
CREATE TABLE attempt (
    job INTEGER NOT NULL REFERENCES job,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (job, unit, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE opinion (
    job INTEGER NOT NULL REFERENCES job,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker BLOB NOT NULL,
    answer BLOB NOT NULL,
    -- 'completed' or 'failure'.
    class TEXT NOT NULL,
    cpu_us INTEGER NOT NULL,
    outcome BLOB NOT NULL,
    PRIMARY KEY (job, unit, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE inconclusive (
    job INTEGER NOT NULL REFERENCES job,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker BLOB NOT NULL,
    outcome BLOB NOT NULL,
    PRIMARY KEY (job, unit, attempt)
) STRICT, WITHOUT ROWID;

-- In the order of a stage's units, which is the order of its items.
CREATE TABLE settled (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    items_start INTEGER NOT NULL,
    items_end INTEGER NOT NULL,
    PRIMARY KEY (job, stage, unit),
    FOREIGN KEY (job, stage) REFERENCES stage,
    -- A settled unit without its result would be a result lost.
    FOREIGN KEY (job, unit, attempt) REFERENCES opinion
) STRICT, WITHOUT ROWID;

CREATE TABLE output (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, stage, position),
    UNIQUE (job, stage, name),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;

-- Secrets are kept as hashes: who reads the store cannot join with them.
CREATE TABLE invitation (
    secret_hash BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    worker BLOB PRIMARY KEY,
    secret_hash BLOB NOT NULL REFERENCES invitation,
    admitted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
