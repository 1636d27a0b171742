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
