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

-- What tasks logged, for each attempt that logged something.
CREATE TABLE attempt_log (
    job INTEGER NOT NULL REFERENCES job,
    unit INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    log TEXT NOT NULL,
    PRIMARY KEY (job, unit, attempt)
) STRICT, WITHOUT ROWID;

-- Units that failed are found without looking at those that did not.
CREATE INDEX opinion_failed ON opinion (job, unit) WHERE class = 'failure';

-- What failed jobs failed of: 'task', 'no answer', 'no agreement' or 'stage'; `unit` is null for
-- the last.
CREATE TABLE job_failure (
    job INTEGER PRIMARY KEY REFERENCES job,
    cause TEXT NOT NULL,
    unit INTEGER
) STRICT;

-- Jobs that failed before causes were kept: a failed unit is told by its settled failure, one that
-- got no answer by the attempts it had.
INSERT INTO job_failure (job, cause, unit)
    SELECT job, 'task', min(unit) FROM settled JOIN opinion USING (job, unit, attempt)
    WHERE class = 'failure' AND job IN (SELECT job FROM job WHERE ended = 'failed') GROUP BY job;
INSERT INTO job_failure (job, cause, unit)
    SELECT job, 'no answer', unit FROM (
        SELECT job, unit, row_number() OVER (PARTITION BY job ORDER BY count(*) DESC, unit) AS place
        FROM inconclusive GROUP BY job, unit
    )
    JOIN job USING (job)
    WHERE place = 1 AND ended = 'failed' AND failure LIKE 'unit-%without an answer%'
        AND job NOT IN (SELECT job FROM job_failure);
INSERT INTO job_failure (job, cause)
    SELECT job, 'stage' FROM job WHERE ended = 'failed' AND job NOT IN (SELECT job FROM job_failure);

-- Stages by the question that they ask of each item: those of one key have the same answers.
CREATE TABLE stage_answers (
    key BLOB NOT NULL,
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    PRIMARY KEY (key, job, stage),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;

-- Items whose answers are those of an earlier job: of its settled units from `first_unit` to
-- before `end_unit`.
CREATE TABLE kept (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    items_start INTEGER NOT NULL,
    items_end INTEGER NOT NULL,
    source_job INTEGER NOT NULL,
    source_stage INTEGER NOT NULL,
    first_unit INTEGER NOT NULL,
    end_unit INTEGER NOT NULL,
    PRIMARY KEY (job, stage, items_start),
    FOREIGN KEY (job, stage) REFERENCES stage,
    -- While they are used, the answers stay.
    FOREIGN KEY (source_job, source_stage) REFERENCES stage (job, stage)
) STRICT, WITHOUT ROWID;

-- What was said about jobs since they were taken; one without a row was never spoken of.
CREATE TABLE job_order (
    job INTEGER PRIMARY KEY REFERENCES job,
    -- Null is the specification's.
    priority INTEGER,
    -- Null when it is not paused.
    paused_at INTEGER
) STRICT;

-- Items settled in a unit of their own, cut when their first unit found no answer; in the order of
-- a stage's items. Those settled in their first unit are in `settled`.
CREATE TABLE settled_alone (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    item INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    -- Null when no answer was found again.
    attempt INTEGER,
    PRIMARY KEY (job, stage, item),
    FOREIGN KEY (job, stage) REFERENCES stage,
    FOREIGN KEY (job, unit, attempt) REFERENCES opinion
) STRICT, WITHOUT ROWID;

-- Units that found no answer and gave way to a unit for each of their items.
CREATE TABLE replaced (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    PRIMARY KEY (job, stage, unit),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;

-- Items that gave no output, in the order of a stage's items.
CREATE TABLE failed (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    items_start INTEGER NOT NULL,
    items_end INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    -- In one word, as the control API says it.
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (job, stage, items_start),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;

CREATE INDEX failed_by_unit ON failed (job, unit);

-- How many items of a stage failed; those without a row have none.
CREATE TABLE failed_sum (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    items INTEGER NOT NULL,
    PRIMARY KEY (job, stage),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;
