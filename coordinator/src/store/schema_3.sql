-- What is still to be told of jobs, and what was told to nobody in spite of all tries. Rows of
-- notices that were delivered go.
CREATE TABLE notice (
    notice INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job,
    -- The submitter from elsewhere whose job it is; null is the operator.
    submitter BLOB,
    -- 'done', 'failed', 'cancelled' or 'stalled'.
    occasion TEXT NOT NULL,
    target BLOB NOT NULL,
    name TEXT NOT NULL,
    items INTEGER NOT NULL,
    items_failed INTEGER NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    -- When it is tried next; null once it was given up.
    due_at INTEGER,
    -- Why the last try failed.
    failure TEXT
) STRICT;

CREATE INDEX notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_by_job ON notice (job);

-- Jobs that were removed: neither their ids nor their submissions mean another job later.
CREATE TABLE removed_job (
    job INTEGER PRIMARY KEY,
    submission BLOB NOT NULL UNIQUE,
    -- Null is the operator.
    submitter BLOB,
    -- What is gone from the other tables: 0 nothing, 1 all but answers, 2 all.
    swept INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX removed_job_unswept ON removed_job (job) WHERE swept < 2;

-- Whether answers of a job are used.
CREATE INDEX kept_by_source ON kept (source_job, source_stage);

-- Blobs that hold the outputs of units.
CREATE TABLE outcome_blob (
    job INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (job, unit, attempt),
    FOREIGN KEY (job, unit, attempt) REFERENCES opinion
) STRICT, WITHOUT ROWID;

CREATE INDEX outcome_blob_by_hash ON outcome_blob (hash);

-- Blobs that removed jobs referred to, and that are to be removed unless something else does.
CREATE TABLE unused_blob (
    hash BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
